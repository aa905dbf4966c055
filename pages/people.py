"""People: who is let in, as what, and what each role may do."""

from core.access import Action
from pages.components import errors, look, people, permissions, person, times
from pages.components.actor import the_actor

actor = the_actor()

look.title("People", "Who may do what?")
if actor.may(Action.MANAGE_STAFF):
    with errors.guarded("people"):
        now, zone = times.now(), times.viewer_zone()
        people.show(actor, now, zone, lambda email: person.show(actor, email, now, zone))
look.section("What each role may do")
permissions.show(actor)
