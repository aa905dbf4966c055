"""Configuration: is it set up right, what is missing?"""

import streamlit as st

from core.access import Action
from pages.components import configuration_checks, configuration_settings, look
from pages.components.actor import the_actor

actor = the_actor()

look.title("Configuration", "Is it set up right, what is missing?")
if actor.may(Action.CHECK_CONFIGURATION):
    configuration_checks.show(actor)
    configuration_settings.show(actor)
else:
    st.html(look.notice_html("waiting", "lock", "The configuration is for operations and admins."))
