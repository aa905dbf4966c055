"""Debug & sync: where is this picture, and can I fix it now?"""

from pages.components import errors, look, searching, verdict
from pages.components.actor import the_actor

actor = the_actor()

look.title("Debug & sync", "Where is this picture, and can I fix it now?")
pasted = searching.box()
with errors.guarded("search"):
    found = searching.find(actor, pasted)
    if found is not None and found.only is not None:
        verdict.show(actor, found.only.id)
    elif found is not None:
        searching.choose(actor, found)
