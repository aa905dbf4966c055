"""What is known of a LoRA: what speaks for it, its file, the run behind it, and its other versions."""

from datetime import datetime, tzinfo
from html import escape

import streamlit as st

from core.access import Actor
from core.errors import NotFound
from core.loras import policy, views
from core.loras.models import Lora
from core.trainings import detail as run_detail
from core.trainings import tools
from core.trainings import views as trainings
from core.trainings.detail import Detail
from core.trainings.views import Filter
from pages.components import formats, look, times, training_facts
from pages.components.lora_words import LOOKS, proof_of, stars, uses
from pages.components.states import icon_html, pill_html


def _run(actor: Actor, lora: Lora) -> Detail | None:
    """The newest run behind it; None for one of another system."""
    rows = trainings.runs(actor, Filter(lora_id=lora.id), times.now(), limit=1).rows
    try:
        return run_detail.of_run(actor, rows[0].id, tools.current()) if rows else None
    except NotFound:
        return None


def quality(actor: Actor, lora: Lora, now: datetime) -> None:
    """Test pictures that show the character, rating, and how its uses ended."""
    found = views.quality(actor, lora.id, now)
    detail = _run(actor, lora)
    judged = [one for one in detail.pictures if one.shows is not None] if detail else []
    if judged:
        shown = f"{sum(bool(one.shows) for one in judged)} of {len(judged)} show the character"
    elif lora.validation_passed:
        shown = "passed"
    else:
        shown = "not judged"
    ended = found.succeeded + found.failed
    since = policy.since_recent(now).date()
    recent = sum(number for day, number in found.by_day if day > since)
    success = (
        f"{formats.percent(found.success)} of the last {formats.counted(ended, 'use', 'uses')} succeeded"
        if ended
        else "no use has ended yet"
    )
    score = f', corrected <span title="{escape(_CORRECTED)}">{lora.rating_score:.2f}</span>'
    with st.container(border=True, gap="small"):
        look.section("Quality")
        st.html(
            look.facts_html(
                (
                    ("Test images", escape(shown)),
                    (
                        "Rating",
                        escape(stars(lora.rating_average, lora.rating_count))
                        + (score if lora.rating_count else ""),
                    ),
                    ("Uses", f"{escape(uses(lora.uses))}, {formats.count(recent)} in 30 days"),
                    ("Success", escape(success)),
                )
            )
        )


_CORRECTED = (
    "The average with five ratings of three stars added, so that few ratings move it little; lists are sorted"
    " by it."
)


def file(actor: Actor, lora: Lora, now: datetime, zone: tzinfo) -> None:
    """Size, hash, the proof of it, and what keeping it costs."""
    proof = proof_of(lora)
    looked = times.ago_html(lora.proof_checked_at, now, zone) if lora.proof_checked_at else ""
    sha256 = lora.weights_sha256 or lora.proof_sha256 or ""
    facts = [
        ("Base model", escape(lora.base_model or "unknown")),
        ("Made", times.ago_html(lora.created_at, now, zone)),
        ("Completed", times.ago_html(lora.completed_at, now, zone) if lora.completed_at else "–"),
        ("Training cost", formats.total(lora.training_cost) if lora.training_cost is not None else "–"),
    ]
    if lora.file_size:
        monthly = policy.monthly_cost(lora.file_size, views.gigabyte_price(actor, now))
        told = f"{formats.money(monthly)} a month"
        if monthly > policy.DEAR_LORA:
            dear = "More than a cent a month: a LoRA of a usual rank is a tenth as large."
            told = f'<span class="so-attention so-dear" title="{dear}">{icon_html("warning")} {told}</span>'
        facts += [("Size", formats.size(lora.file_size)), ("Storage", told)]
    if lora.training_status == "completed":
        facts.append(("Proof", f'{pill_html(proof)} <span class="so-quiet">{looked}</span>'))
    if sha256:
        facts.append(("SHA-256", f'<code title="{escape(sha256)}">{escape(sha256[:16])}…</code>'))
    with st.container(border=True, gap="small"):
        look.section("File and cost")
        st.html(look.facts_html(facts))


def run(actor: Actor, lora: Lora, zone: tzinfo) -> None:
    """The run behind it, with everything that it was launched with."""
    detail = _run(actor, lora)
    with st.container(border=True, gap="small"):
        look.section("The run behind it")
        if detail is None:
            st.html('<div class="so-quiet so-small">Another system has trained it.</div>')
            return
        facts = [(name, escape(value)) for name, value in training_facts.launched_with(detail.run)]
        launched = escape(times.exact(detail.row.launched_at, zone))
        link = f'<a href="training_runs?run={detail.row.id}">{launched}</a>'
        st.html(look.facts_html([("Launched", link), *facts]))


def versions(actor: Actor, lora: Lora) -> None:
    """The other LoRAs of its character, the first one first."""
    found = views.versions(actor, lora.character_id or lora.id)
    if len(found) < 2:
        return
    lines = []
    for number, one in enumerate(found, 1):
        name = f"<b>{escape(one.name)}</b>" if one.id == lora.id else _link(str(one.id), one.name)
        state = LOOKS.get(one.training_status)
        lines.append(
            f"<li><span>{number}. {name}</span>{pill_html(state) if state else '<span></span>'}"
            f'<span class="so-quiet so-small">{escape(stars(one.rating_average, one.rating_count))},'
            f" {escape(uses(one.uses))}</span></li>"
        )
    with st.container(border=True, gap="small"):
        look.section("Versions of this character")
        st.html(f'<ul class="so-versions">{"".join(lines)}</ul>')


def _link(lora_id: str, name: str) -> str:
    return f'<a href="lora_library?lora={escape(lora_id)}">{escape(name)}</a>'
