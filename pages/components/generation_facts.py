"""What is known of a generation, name by name, and its ids."""

from datetime import tzinfo
from decimal import Decimal
from html import escape

import streamlit as st

from core.access import Actor
from core.deliveries import views
from core.deliveries.models import DeliveryState, Generation
from core.deliveries.views import Detail
from core.providers import catalogue
from core.providers.registry import name_of
from pages.components import formats, ids, lora_made, media, times
from pages.components.look import facts_html

_WITHOUT_FILE = frozenset({DeliveryState.FAILED, DeliveryState.LOST, DeliveryState.NEEDS_ATTENTION})


def label(generation: Generation) -> str:
    """The model as people call it."""
    known = catalogue.find(generation.model or "")
    return known.label if known else generation.model or "Unknown model"


def estimate(generation: Generation) -> str:
    """What the same once more is expected to cost."""
    return formats.money(views.again_usd(generation))


def show(actor: Actor, detail: Detail, zone: tzinfo) -> None:
    """The facts, and under them the ids."""
    st.html(facts_html([*_facts(detail, zone), *lora_made.facts(actor, detail.generation)]))
    _identifiers(detail)


def _facts(detail: Detail, zone: tzinfo) -> list[tuple[str, str]]:
    generation = detail.generation
    facts = [
        (
            "Model",
            f"{escape(label(generation))} <span class='so-quiet'>{escape(generation.model or '')}</span>",
        )
    ]
    settings = [
        f"{name.replace('_', ' ')} {_said(value)}"
        for name, value in generation.input.items()
        if name != "prompt" and not _is_picture(value)
    ]
    if settings:
        facts.append(("Settings", escape(" · ".join(settings))))
    paid = [line.amount_usd for line in detail.costs if line.amount_usd is not None]
    if paid:
        facts.append(("Cost", escape(formats.money(sum(paid, Decimal(0))))))
    elif generation.delivery_state in _WITHOUT_FILE:
        facts.append(("Cost", "none recorded"))
    elif generation.input and catalogue.find(generation.model or ""):
        facts.append(("Cost", f"{escape(estimate(generation))} <span class='so-quiet'>expected</span>"))
    facts.append(("Begun", escape(times.exact(generation.created_at, zone))))
    if generation.delivered_at is not None:
        took = (generation.delivered_at - generation.created_at).total_seconds()
        facts.append(("Delivered", f"after {escape(formats.duration(took))}"))
    facts.extend(
        ("File", escape(f"{media.type_name(file.content_type)}, {formats.size(file.bytes)}"))
        for file in detail.files
    )
    return facts


def _is_picture(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and "://" in value)


def _said(value: object) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _identifiers(detail: Detail) -> None:
    """Every id that somebody may ask for."""
    generation = detail.generation
    found = [
        ("Generation", str(generation.id)),
        (f"{name_of(generation.provider)} task", generation.task_id),
        ("Customer", str(generation.user_id) if generation.user_id else None),
        ("SHA-256", detail.files[0].sha256 if detail.files else None),
    ]
    with st.grid(3, min_column_width=140, gap="small"):
        for name, value in found:
            if value:
                ids.copyable(name, value, name.lower().replace(" ", "-"))
