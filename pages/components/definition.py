"""What a number means, the SQL that counts it, and as of when: on hover, and by a click, a tap or a key.

The mark is drawn apart from its number, so that a number that changes takes nothing from who reads.
"""

from datetime import datetime, tzinfo
from html import escape

from core.queries import Figure
from pages.components import look, times
from pages.components.states import icon_html


def mark_html(name: str, figure: Figure, *, more: str = "", as_of: str = "") -> str:
    """The mark beside a number's `name`, with the box that it opens.

    `more` is said after the meaning; `as_of` where the number is of another moment than the page.
    """
    key = f"so-def-{look.safe_key(name)}"
    said = f"{figure.meaning} {more}".strip()
    moment = f'<span class="so-def-moment">{escape(as_of)}</span>' if as_of else ""
    return (
        f'<span class="so-def"><button class="so-def-mark" popovertarget="{key}"'
        f' aria-label="{escape(f"What “{name}” counts")}" aria-describedby="{key}-said">'
        f'{icon_html("info")}</button><span popover id="{key}" class="so-def-box">'
        f'<b>{escape(name)}</b><span id="{key}-said">{escape(said)}</span>'
        f'{moment or _PAGES_MOMENT}<code tabindex="0" aria-label="SQL">{escape(figure.sql)}</code>'
        "</span></span>"
    )


# Its words stand in a variable that each refresh of the page sets, so that the box itself stays as it is.
_PAGES_MOMENT = '<span class="so-def-moment so-def-now"></span>'


def as_of_html(said: str, now: datetime, zone: tzinfo) -> str:
    """The page's line of its moment (HTML), which is told to the boxes of its numbers too."""
    moment = f"As of {times.clock_time(now, zone)}"
    return f'<div class="so-as-of">{said}</div><style>:root {{ --so-as-of: "{moment}" }}</style>'


def head_html(name: str, aside: str, mark: str = "") -> str:
    """A panel's head with its mark; `aside` is text."""
    return (
        f'<div class="so-panel-head"><span><b>{escape(name)}</b>{mark}</span>'
        f'<span class="so-quiet so-small">{escape(aside)}</span></div>'
    )
