"""The two buttons that test a model with a prompt of ours, one click each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import streamlit as st

from core.access import Actor
from core.deliveries import views
from core.providers import catalogue
from pages.components import creating, formats


@dataclass(frozen=True)
class QuickTest:
    """A button: what it tests, and with which input."""

    key: str
    label: str
    model: str
    icon: str
    input: Mapping[str, Any] = field(default_factory=dict)


QUICK_TESTS = (
    QuickTest(
        key="flux",
        label="Test FLUX.2 Pro",
        model="flux-2/pro-text-to-image",
        icon="image",
        input={
            "prompt": "A red fox at the edge of a birch forest in morning mist, soft side light,"
            " sharp fur detail, shallow depth of field, photograph, 85 mm",
            "aspect_ratio": "4:3",
            "resolution": "1K",
        },
    ),
    QuickTest(
        key="kling",
        label="Test Kling 2.6",
        model="kling-2.6/text-to-video",
        icon="movie",
        input={
            "prompt": "A paper boat drifts down a rain-wet street gutter at dusk; the camera follows it"
            " low and slow, reflections of warm street lamps on the water",
            "sound": False,
            "aspect_ratio": "16:9",
            "duration": "5",
        },
    ),
)


def show(actor: Actor) -> None:
    """Both buttons, each with its price and how long it usually takes."""
    for test, column in zip(QUICK_TESTS, st.columns(2, gap="small", wrap=False), strict=True):
        with column, st.container(gap=None):
            _one(actor, test)


def _one(actor: Actor, test: QuickTest) -> None:
    model = catalogue.require(test.model)
    price = formats.money(catalogue.estimate_usd(test.model, test.input))
    usual = formats.duration(views.usual_seconds(actor, model.id, model.kind))
    st.button(
        test.label,
        key=f"so-quick-{test.key}",
        icon=f":material/{test.icon}:",
        type="primary",
        width="stretch",
        disabled=creating.why_not(actor) is not None,
        help=creating.why_not(actor),
        on_click=creating.start,
        args=(f"quick-{test.key}", creating.nonce(f"quick-{test.key}"), test.model, test.input),
    )
    st.html(f'<div class="so-quiet so-small so-centred">{escape(price)} · usually {escape(usual)}</div>')
