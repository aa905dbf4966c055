"""Launch training: will these images make a good LoRA, and what does it cost?"""

import streamlit as st

from core.trainings import tools, views
from pages.components import draft, errors, job_characters, look, own_images
from pages.components.actor import the_actor

OWN, JOB = "My own images", "An earlier job"

actor = the_actor()
draft_id = draft.current()

look.title("Launch training", "Will these images make a good LoRA, and what does it cost?")
giving, asking = st.columns([7, 5], gap="medium")
with giving:
    source = st.segmented_control(
        "Images from",
        [OWN, JOB],
        default=OWN,
        required=True,
        key="source",
        bind="query-params",
        label_visibility="collapsed",
    )
with errors.guarded("launch training"):
    choices = views.choices(actor, tools.current())
    if source == JOB:
        job_characters.show(actor, draft_id, choices, giving, asking)
    else:
        own_images.show(actor, draft_id, choices, giving, asking)
