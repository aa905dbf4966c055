"""What of the runs a number or an alert has counted: in the address, and as a chip that takes it away."""

from collections.abc import Mapping
from datetime import tzinfo

import streamlit as st

from core.trainings import counted
from core.trainings.counted import ALL, Counted, What
from pages.components import address, formats, times


def go(wanted: Counted) -> None:
    """Look at just these; for a button's `on_click`."""
    for name in counted.PARAMETERS:
        st.query_params.pop(name, None)
    for name, value in wanted.query().items():
        st.query_params[name] = value


def are_chosen() -> bool:
    """Whether the address names some of the runs."""
    return counted.read(st.query_params)[0] != ALL


def chosen(zone: tzinfo) -> Counted:
    """What of the runs was counted, where the address says so; with a chip that takes it away."""
    found, faults = counted.read(st.query_params)
    address.tell(faults)
    if found != ALL:
        st.button(
            formats.in_label(_words(found, zone)),
            icon=":material/close:",
            key="runs-chip-counted",
            help="Take this away",
            on_click=go,
            args=(ALL,),
        )
    return found


def are_of_one_kind() -> bool:
    """Whether what was counted says nothing of a state."""
    return counted.read(st.query_params)[0].what is None


def without(asked: Mapping[str, str]) -> dict[str, str]:
    """These parameters of an address but for what was counted."""
    return {name: value for name, value in asked.items() if name not in counted.PARAMETERS}


def _words(of: Counted, zone: tzinfo) -> str:
    """What was counted, for a chip."""
    until, month = times.exact(of.until, zone), f"{of.month:%B %Y}" if of.month else ""
    match of.what:
        case None:
            return f"launched from {times.exact(of.since, zone)} on"
        case What.SILENT:
            return f"in nobody's hands since before {until}"
        case What.UNJUDGED:
            return f"unjudged since before {until}"
        case What.FAILED:
            return f"failed, launched from {times.exact(of.since, zone)} on, none of a rehearsal"
        case What.FAILURES:
            return f"failed or cancelled, paid from the budget of {month}"
        case What.OVER:
            return f"over, paid from the budget of {month}"
        case What.VERDICT:
            return "waiting for a verdict"
        case What.DOUBT:
            return "in need of attention"
        case What.PODS:
            return "with a pod that runs now"
