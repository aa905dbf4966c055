"""Two runs side by side: what was asked of each, what it took and cost, and what it can draw."""

from html import escape

import streamlit as st

from core.access import Actor
from core.trainings.detail import Detail
from core.trainings.models import Stage
from pages.components import chosen_run, formats, look, media, times, training_facts
from pages.components.states import icon_html, pill_html
from pages.components.training_pictures import thumbnail_html, verdict_of
from pages.components.training_words import look_of, named_html


def show(actor: Actor, one: Detail, other: Detail) -> None:
    """Parameters with the differences marked, then the test images."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        look.title("Two runs", "What was different, and which one shows the character better?")
        st.button(
            "All runs",
            icon=":material/arrow_back:",
            type="tertiary",
            on_click=chosen_run.close,
            key="so-runs-back",
        )
    with st.container(border=True):
        st.html(_table_html(one, other))
    for column, detail in zip(st.columns(2, gap="medium"), (one, other), strict=True):
        with column, st.container(border=True, gap="small"):
            _pictures(detail)


def _table_html(one: Detail, other: Detail) -> str:
    lines = []
    for (name, left), (_, right) in zip(_lines(one), _lines(other), strict=True):
        differs = left != right and name != "Launched"
        mark = f'<span class="so-attention">{icon_html("difference")}</span> ' if differs else ""
        cells = "".join(f"<td>{f'<b>{value}</b>' if differs else value}</td>" for value in (left, right))
        lines.append(f"<tr><th>{mark}{escape(name)}</th>{cells}</tr>")
    heads = "".join(
        f"<td>{pill_html(look_of(detail.row))}<br>{named_html(detail.row)}</td>" for detail in (one, other)
    )
    return (
        f'<div class="so-scroll"><table class="so-table so-compared"><tbody><tr><th></th>{heads}</tr>'
        f"{''.join(lines)}</tbody></table></div>"
    )


def _lines(detail: Detail) -> list[tuple[str, str]]:
    """Names and values; the values are HTML."""
    trained = next((stage for stage in detail.stages if stage.stage is Stage.TRAINING), None)
    shown = sum(bool(picture.shows) for picture in detail.pictures)
    judged = sum(picture.shows is not None for picture in detail.pictures)
    return [
        *((name, escape(value)) for name, value in training_facts.launched_with(detail.run)),
        ("Training took", formats.duration(trained.seconds if trained else None)),
        ("Cost", formats.total(detail.row.cost_usd)),
        ("Shows the character", f"{shown} of {judged} judged" if judged else formats.NO_DATA),
        ("Launched", escape(times.exact(detail.row.launched_at, times.viewer_zone()))),
    ]


def _pictures(detail: Detail) -> None:
    st.html(f"<div>{named_html(detail.row)}</div>")
    if not detail.pictures:
        st.html(look.empty_html("imagesmode", "No test image", "This run has made none."))
    with st.grid(3, min_column_width=90, gap="small"):
        for picture in detail.pictures:
            state = verdict_of(picture)
            st.html(
                thumbnail_html(media.safe_url(picture.url), picture.prompt, state)
                + f'<div class="so-card-text">{pill_html(state)}</div>'
            )
    st.button(
        "Open this run",
        icon=":material/arrow_forward:",
        icon_position="right",
        key=f"so-compared-{detail.row.id}",
        on_click=chosen_run.choose,
        args=(detail.row.id,),
    )
