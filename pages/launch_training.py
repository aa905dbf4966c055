"""Launch training: will these images make a good LoRA, and what does it cost?"""

import streamlit as st

from core.trainings import dataset, drafts, tools, views
from pages.components import dataset_sheet, draft, errors, look, times, training_form
from pages.components.actor import the_actor

actor = the_actor()
draft_id = draft.current()

look.title("Launch training", "Will these images make a good LoRA, and what does it cost?")
with errors.guarded("launch training"):
    choices = views.choices(actor, tools.current())
    chosen = training_form.chosen_trainer(choices)
    sheet = dataset.sheet(actor, draft_id, chosen.bounds if chosen else None)
    run = drafts.run_of(actor, draft_id, times.now())
    if run is not None:
        draft.launched(run)
    giving, asking = st.columns([7, 5], gap="medium")
    with giving:
        if run is None:
            dataset_sheet.add(actor, draft_id)
        dataset_sheet.show(actor, sheet, changeable=run is None)
        if run is None:
            dataset_sheet.guide(folded=bool(sheet.images))
    if run is None:
        with asking:
            launched = training_form.show(actor, draft_id, len(sheet.used), choices)
        if launched is not None:
            st.switch_page("training_runs.py", query_params={"run": str(launched.id)})
