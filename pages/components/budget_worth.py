"""Whether a month's trainings were worth what they cost, in four numbers."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from html import escape

import streamlit as st

from core.budget.ledger import FAILURES, Filter
from core.trainings.counted import Counted, What
from core.trainings.figures import FIGURES
from core.trainings.spending import Quota, Worth
from pages.components import chosen_lora, definition, formats
from pages.components.budget_parts import go
from pages.components.training_words import trainer


def show(found: Worth, quotas: Sequence[Quota], month: date) -> None:
    """Four numbers: a completed LoRA, failures, estimate against actual, quotas; each opens its rows."""
    over = Counted(What.OVER, month=month)
    per = found.per_completed_usd
    drift = sum((one.settled_usd - one.quoted_usd for one in found.drifts), Decimal(0))
    quoted = sum((one.quoted_usd for one in found.drifts), Decimal(0))
    full = sum(one.used >= one.quota for one in quotas)
    numbers = (
        (
            "A completed LoRA",
            "per_completed",
            formats.total(per) if per is not None else formats.NO_DATA,
            (
                f"{formats.counted(found.completed, 'completed', 'completed')}, failed ones' share included"
                if found.completed
                else "none is completed yet"
            ),
            over,
        ),
        (
            "Cost of failures",
            "failures",
            formats.total(found.failures_usd),
            (
                f"{formats.counted(found.failed, 'run', 'runs')} failed or cancelled,"
                f" {formats.percent(found.failure_share)} of ended ones' cost"
                if found.failed
                else "no run has failed or was cancelled"
            ),
            Filter(month, runs=FAILURES),
        ),
        (
            "Actual against quoted",
            "drift",
            signed(float(drift / quoted) if quoted else None),
            ", ".join(f"{trainer(one.trainer)} {signed(one.share)}" for one in found.drifts)
            or "none has ended",
            over,
        ),
        (
            "LoRAs this month",
            "quotas",
            formats.count(sum(one.used for one in quotas)),
            (
                f"{formats.counted(len(quotas), 'creator', 'creators')}, {full} at their quota of"
                f" {quotas[0].quota}"
                if quotas
                else "nobody has begun one"
            ),
            month if quotas else None,
        ),
    )
    with st.grid(4, min_column_width=150, gap="small"):
        for number in numbers:
            _number(*number)


def _number(name: str, figure: str, big: str, small: str, opens: Filter | Counted | date | None) -> None:
    kind = "tile" if opens is None else "card-worth"
    with st.container(key=f"so-{kind}-{figure}", gap=None, height="stretch"):
        st.html(definition.name_html(name, definition.mark_html(name, FIGURES[figure])))
        st.html(
            f'<div class="so-number-card"><div class="so-big">{escape(big)}</div>'
            f'<div class="so-small so-quiet">{escape(small)}</div></div>'
        )
        if isinstance(opens, Filter):
            st.button(f"Show the lines of {name}", key=f"so-open-{figure}", on_click=go, args=(opens,))
        elif isinstance(opens, Counted) and st.button(f"Show the runs of {name}", key=f"so-open-{figure}"):
            st.switch_page("training_runs.py", query_params=opens.query())
        elif isinstance(opens, date) and st.button("Show the LoRAs of this month", key=f"so-open-{figure}"):
            st.switch_page("lora_library.py", query_params={chosen_lora.COUNTED: f"{opens:%Y-%m}"})


def signed(share: float | None) -> str:
    """`+2.4 %`, `−1.0 %`, of a share that may be either."""
    if share is None:
        return formats.NO_DATA
    return f"{'−' if share < 0 else '+'}{formats.percent(round(abs(share), 4))}"
