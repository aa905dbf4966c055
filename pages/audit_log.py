"""Audit log: who did that?"""

import streamlit as st

from core import trail
from pages.components import address, audit_filters, audit_lines, errors, look, times
from pages.components.actor import the_actor

actor = the_actor()
wanted, faults = trail.read(st.query_params)

look.title("Audit log", "Who did that?")
address.tell(faults)
with errors.guarded("audit log"):
    now, zone = times.now(), times.viewer_zone()
    audit_filters.show(actor, wanted, now)
    audit_lines.page(actor, wanted, now, zone)
