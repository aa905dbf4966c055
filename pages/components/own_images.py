"""Launching a training of one's own images: given, judged, filled up where they are few, and launched."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.access import Actor
from core.trainings import dataset, drafts, filling_up, tools
from core.trainings.filling_up import FillUp
from core.trainings.models import Launch
from core.trainings.sheet import Sheet
from core.trainings.views import TrainerChoice
from pages.components import (
    dataset_sheet,
    draft,
    generated_images,
    times,
    training_form,
    training_quote,
)
from pages.components.training_quote import Ahead


def show(
    actor: Actor,
    draft_id: UUID,
    choices: Sequence[TrainerChoice],
    giving: DeltaGenerator,
    asking: DeltaGenerator,
) -> None:
    """The images into `giving`, the form and the one button into `asking`; once launched, where it is."""
    chosen = training_form.chosen_trainer(choices)
    sheet = dataset.sheet(actor, draft_id, chosen.bounds if chosen else None)
    run = drafts.run_of(actor, draft_id, times.now())
    if run is not None:
        with giving:
            draft.launched(run)
            dataset_sheet.show(actor, sheet, changeable=False)
        return
    fill_up = filling_up.of(actor, draft_id, tools.current())
    with giving:
        dataset_sheet.add(actor, draft_id)
        generated_images.show(actor, sheet, fill_up, dataset_sheet.why_not(actor))
        dataset_sheet.show(actor, sheet, fill_up)
        dataset_sheet.guide(folded=bool(sheet.images))
    with asking:
        _ask(actor, sheet, fill_up, choices)


def _ask(actor: Actor, sheet: Sheet, fill_up: FillUp, choices: Sequence[TrainerChoice]) -> None:
    images, filled_up = len(sheet.used), not generated_images.stands_alone(sheet, fill_up)

    def one(said: Launch) -> tuple[Launch]:
        return (replace(said, filled_up=filled_up),)

    before = one(training_form.wanted(sheet.draft_id, training_form.chosen_trainer(choices)))
    failure = training_quote.refusal_of(before, images) or generated_images.refused(sheet.draft_id)
    said = training_form.show(sheet.draft_id, choices, failure)
    if said is None:
        return
    ahead = Ahead(spent_usd=fill_up.spent_usd)
    if filled_up and not fill_up.by_words:
        ahead = Ahead(fill_up.missing, fill_up.ahead_usd, fill_up.spent_usd)
    with st.container(border=True, gap="small", key="so-quote"):
        runs = training_quote.show(actor, one(said), images, at_fields=training_form.AT_FIELDS, ahead=ahead)
    if runs:
        st.switch_page("training_runs.py", query_params={"run": str(runs[0].id)})
