"""A table's HTML: each kind of cell, what is too wide said on hover, boxes that add or take a row."""

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from pages.components import keyset_table
from pages.components.keyset_table import Column, Row

ONE, OTHER = UUID(int=1), UUID(int=2)


def html_of(column: Column, value: Any, **address: str) -> str:
    return keyset_table.table_html([Row(ONE, "1", {"it": value})], {"it": column}, address)


@pytest.mark.parametrize(
    ("column", "value", "cell"),
    [
        (Column("A", 300), "<b>&", "<td>&lt;b&gt;&amp;</td>"),
        (Column("A", 60), "a long sentence", '<td title="a long sentence">a long sentence</td>'),
        (Column("A", 60), None, "<td></td>"),
        (Column("A", 60, "number"), 1234, '<td class="so-count">1,234</td>'),
        (Column("A", 60, "time"), datetime(2026, 11, 5, 7, 8, 9), "<td>5 Nov, 07:08:09</td>"),  # noqa: DTZ001
        (Column("A", 60, "time", "%b %Y"), datetime(2026, 11, 5), "<td>5 Nov 2026</td>"),  # noqa: DTZ001
        (Column("A", 60, "link"), f"/runs?run={ONE}", f'<td><a href="/runs?run={ONE}">00000001</a></td>'),
        (Column("A", 90, "link"), "00000001", "<td>00000001</td>"),
        (
            Column("A", 60, "image"),
            "/x?a&b",
            '<td><img src="/x?a&amp;b" alt="" loading="lazy" decoding="async"></td>',
        ),
    ],
    ids=["text", "long", "nothing", "number", "time", "day", "link", "no link", "picture"],
)
def test_a_cell_is_drawn_by_its_kind(column: Column, value: Any, cell: str) -> None:
    assert cell in html_of(column, value)


def test_a_box_adds_its_row_to_the_address_or_takes_it_away() -> None:
    assert f'aria-checked="false" aria-label="Select …00000001" href="?q=a+b&amp;picked={ONE}"' in html_of(
        Column("A", 60), "x", q="a b"
    )
    ticked = html_of(Column("A", 60), "x", q="a", picked=f"{OTHER},{ONE}")
    assert f'aria-checked="true" aria-label="Select …00000001" href="?q=a&amp;picked={OTHER}"' in ticked
    assert "class=so-picked" in ticked
    assert 'href="?"' in html_of(Column("A", 60), "x", picked=str(ONE))


def test_a_head_says_what_the_column_is() -> None:
    assert '<th scope="col" title="Opens it">A</th>' in html_of(
        Column("A", 60, "link", help="Opens it"), None
    )
    assert keyset_table.head_html("<b>", None) == (
        '<div class="so-rows-head"><h2 class="so-section">&lt;b&gt;</h2></div>'
    )
    assert 'href="/api/x?a&amp;b" download>' in keyset_table.head_html("A", "/api/x?a&b")
