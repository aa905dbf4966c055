"""Test generation: does this model work today?"""

import streamlit as st

from pages.components import (
    errors,
    history,
    look,
    lora_made,
    lora_trial,
    model_form,
    quick_tests,
    result,
)
from pages.components.actor import the_actor
from pages.components.chosen import chosen

actor = the_actor()

look.title("Test generation", "Does this model work today?")
with st.container(key="so-workbench"):
    making, seeing = st.columns([5, 7], gap="medium")
with making:
    with st.container(key="so-quick"):
        quick_tests.show(actor)
    with st.container(border=True):
        model_form.show(actor)
with (
    seeing,
    errors.guarded("result"),
    st.container(key="so-result" if chosen() else "so-no-result"),
):
    first, second = chosen(), lora_trial.beside()
    if first and second:
        lora_trial.show(actor, first, second)
    else:
        result.show(actor)
with making, errors.guarded("history"):
    lora_made.offers(actor)
    history.show(actor)
