"""What narrows a list, each to be taken away by a click."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import streamlit as st

from pages.components import formats


class Narrowing(Protocol):
    """A filter of a list."""

    def but(self, **changes: Any) -> "Narrowing":
        """The same with other values."""
        ...


def show(prefix: str, chips: Mapping[str, str | None], wanted: Narrowing, go: Callable[[Any], None]) -> None:
    """A button for each part of the filter that has words; its click goes to the list without that part."""
    if not any(chips.values()):
        return
    with st.container(horizontal=True, gap="small"):
        for name, words in chips.items():
            if words:
                st.button(
                    formats.in_label(words),
                    icon=":material/close:",
                    key=f"{prefix}-chip-{name}",
                    help="Take this away",
                    on_click=go,
                    args=(wanted.but(**{name: None}),),
                )
