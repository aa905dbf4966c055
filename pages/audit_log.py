"""Audit log: who did that?"""

from html import escape

import streamlit as st

from core import trail
from pages.components import audit_filters, audit_lines, errors, look, times
from pages.components.actor import the_actor

actor = the_actor()
wanted, faults = trail.read(st.query_params)

look.title("Audit log", "Who did that?")
for fault in faults:
    st.html(
        look.notice_html(
            "attention", "link_off", "The address asks for something that is not there", escape(fault)
        )
    )
with errors.guarded("audit log"):
    now, zone = times.now(), times.viewer_zone()
    audit_filters.show(actor, wanted, now)
    audit_lines.page(actor, wanted, now, zone)
