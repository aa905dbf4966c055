"""A run's money, line by line, and everything that it was launched with."""

from datetime import tzinfo
from decimal import Decimal
from html import escape

import streamlit as st

from core.trainings.detail import Detail, LedgerLine
from core.trainings.figures import FIGURES
from core.trainings.models import ENDED, Run, RunState
from pages.components import definition, formats, ids, look, media, times
from pages.components.training_words import trainer

KINDS = {
    "reserve": "Reserved",
    "settle": "Settled",
    "release": "Given back",
    "correct": "Corrected",
}
_STAGES = {"training": "training", "validation": "test image", "generated": "generated image"}


def cost(detail: Detail, zone: tzinfo) -> None:
    """What was promised, what was paid, what was given back."""
    settled = _sum(detail, "settle") + _sum(detail, "correct")
    held = (
        max(_sum(detail, "reserve") + _sum(detail, "release"), Decimal(0))
        if detail.run.reservation_key
        else Decimal(0)
    )
    quoted = f", quoted {formats.total(detail.run.quoted_usd)}" if detail.run.quoted_usd is not None else ""
    rests = detail.row.state in ENDED and not held
    said = f"in all{escape(quoted)}" if rests else f"so far, {formats.total(held)} reserved{escape(quoted)}"
    with st.container(border=True, gap="small"):
        st.html(f'<h2 class="so-section">Cost{definition.mark_html("Cost", FIGURES["run_cost"])}</h2>')
        st.html(
            f'<div class="so-row"><span class="so-big">{formats.total(settled)}</span>'
            f'<span class="so-quiet">{said}</span></div>'
        )
        if detail.ledger:
            with st.expander(
                formats.counted(len(detail.ledger), "ledger line", "ledger lines"), key="so-ledger"
            ):
                st.html(_ledger_html(detail, zone))


def _sum(detail: Detail, kind: str) -> Decimal:
    return sum((line.amount_usd for line in detail.ledger if line.kind == kind), Decimal(0))


def _ledger_html(detail: Detail, zone: tzinfo) -> str:
    lines = "".join(_line_html(line, zone) for line in detail.ledger)
    return (
        '<div class="so-scroll"><table class="so-table"><thead><tr><th>When</th><th>What</th>'
        f"<th>Quantity</th><th>Amount</th></tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _line_html(line: LedgerLine, zone: tzinfo) -> str:
    what = KINDS.get(line.kind, line.kind)
    of = _STAGES.get(line.stage or "", line.stage or "")
    where = f", {trainer(line.provider)}" if line.provider and line.kind != "release" else ""
    quantity = ""
    if line.quantity is not None and line.unit and line.unit_price is not None:
        each = (
            formats.money(line.unit_price)
            if line.unit_price >= Decimal("0.0001")
            else f"${line.unit_price.normalize():f}"
        )
        quantity = f"{line.quantity.normalize():,f} {line.unit.replace('_', ' ')} at {each}"
    version = f' title="price: {escape(line.price_version)}"' if line.price_version else ""
    told = f"{what} {of}{where}" if line.kind == "settle" else what
    exact, clock = escape(times.exact(line.occurred_at, zone)), times.clock_time(line.occurred_at, zone)
    return (
        f'<tr><td title="{exact}">{clock}</td>'
        f"<td>{escape(told)}</td><td{version}>{escape(quantity)}</td>"
        f"<td>{formats.money(line.amount_usd)}</td></tr>"
    )


def parameters(detail: Detail, zone: tzinfo) -> None:
    """What it was launched with, what came of it, and its ids."""
    run = detail.run
    facts = [(name, escape(value)) for name, value in launched_with(run)]
    if run.description:
        facts.append(("Description", escape(run.description)))
    if run.zip_bytes:
        facts.append(
            ("ZIP", f"{formats.size(run.zip_bytes)}, {formats.counted(run.images or 0, 'image', 'images')}")
        )
    url = media.safe_url(detail.weights_url)
    if url is not None:
        name = escape(f"{run.trigger_word or 'lora'}.safetensors")
        facts.append(
            (
                "Weights",
                f'{formats.size(run.weights_bytes)} · <a href="{escape(url)}" download="{name}">Download</a>',
            )
        )
    hub = media.safe_url(run.huggingface_url)
    if hub is not None:
        link = f'<a href="{escape(hub)}" target="_blank">{escape(hub)}</a>'
        facts.append(("Hugging Face", f'{link}<div class="so-small so-quiet">{escape(_card(run))}</div>'))
    facts.append(("Launched", escape(times.exact(run.created_at, zone))))
    if run.completed_at is not None:
        took = (run.completed_at - run.created_at).total_seconds()
        facts.append(("Ended", f"after {formats.duration(took)}"))
    with st.container(border=True, gap="small"):
        look.section("Parameters")
        st.html(look.facts_html(facts))
        with st.grid(2, min_column_width=140, gap="small"):
            for label, value in (
                ("Run", str(run.id)),
                ("LoRA", str(run.lora_id)),
                *((f"{trainer(call.provider)} id", call.remote_id) for call in detail.calls[:1]),
                ("SHA-256", run.weights_sha256),
            ):
                if value:
                    ids.copyable(label, value, look.safe_key(label))


def _card(run: Run) -> str:
    """Whether the model's card shows what the LoRA makes."""
    if run.state is not RunState.COMPLETED:
        return "Its card gets the test images once they are judged."
    if run.card_due_at is not None:
        tried = f" The last try failed: {run.card_error}" if run.card_error else ""
        return f"Its test images are being added to the card.{tried}"
    if run.card_error is not None:
        return f"Its test images are not on the card: {run.card_error}"
    if run.card_samples:
        return f"{formats.counted(run.card_samples, 'test image', 'test images')} on its card"
    return "No test images on its card"


def wants_samples(run: Run) -> bool:
    """Whether a person may have the test images added to the card."""
    published = run.state is RunState.COMPLETED and run.huggingface_url is not None
    return published and run.card_due_at is None and (run.card_error is not None or not run.card_samples)


def launched_with(run: Run) -> list[tuple[str, str]]:
    """The parameters, name by name; the same names for every run, so that two can be compared."""
    return [
        ("Provider", trainer(run.trainer)),
        ("Steps", formats.count(run.steps)),
        (
            "Learning rate",
            f"{run.learning_rate.normalize():f}" if run.learning_rate is not None else "the trainer's own",
        ),
        ("Rank", formats.count(run.rank) if run.rank is not None else "the trainer's own"),
        ("Trigger word", run.trigger_word),
        ("Images", formats.count(run.images or 0)),
        ("Hugging Face", "to be published" if run.publish else "not published"),
    ]
