"""Words of others as a button's label: shown as they are."""

import pytest

from pages.components import openers


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("FLUX 2", "FLUX 2"),
        ("a *bold* [link](https://x.y)", r"a \*bold\* \[link\]\(https\://x\.y\)"),
        ("$5 or $6", r"\$5 or \$6"),
        (":red[alarm] :material/home:", r"\:red\[alarm\] \:material/home\:"),
        ("<b>1</b> & `2`", r"\<b\>1\</b\> \& \`2\`"),
        ("two\n\nlines\tand more", "two lines and more"),
        ("98.2\u00a0%", "98\\.2\u00a0%"),
    ],
)
def test_nothing_in_it_is_taken_for_a_sign(words: str, label: str) -> None:
    assert openers.plain(words) == label
