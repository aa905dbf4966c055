"""Who holds a link that was made for somebody who was signed in: them, while that sign-in counts."""

from dataclasses import replace

from core import access
from core.access import Action, Actor
from core.errors import NotAllowed, NotSignedIn


def of(session: str, action: Action) -> Actor:
    """The person that a link was made for, with the rights of this moment, which what is begun is ended with.

    NotSignedIn when the sign-in has ended, or its person may no longer do that.
    """
    try:
        person = access.check(access.signed_in(session), action)
    except (NotSignedIn, NotAllowed) as refused:
        raise NotSignedIn(
            f"This link was made for a sign-in that no longer counts. {refused.message}"
        ) from None
    return replace(person, session=None)
