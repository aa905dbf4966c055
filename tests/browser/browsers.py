"""Chromium's browsers, which tests have one after the other.

A new page takes four seconds of CPU until it shows the product for the first time, and one afterwards. Each
browser therefore keeps its first page for the next test, and loses what a test has left in it: cookies,
storage, permissions, further pages.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext

PATIENCE_S = 60.0
# More of one kind are closed: each is a process of some 200 MB.
MOST_KEPT = 2
# What the security policy of a page has refused, for whoever asks.
SEEN_BY_POLICY = """
window.__refused = [];
document.addEventListener('securitypolicyviolation', event =>
    window.__refused.push(`${event.effectiveDirective}: ${event.blockedURI}`));
"""


@dataclass(frozen=True)
class Kind:
    """What can't be changed in a browser: whether it is a phone's, and whether a test moves its clock."""

    phone: bool = False
    clock: bool = False


class Browsers:
    """Browsers of different people: each has cookies and a storage of its own, and a page that is open."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._free: dict[Kind, list[BrowserContext]] = defaultdict(list)

    def take(self, kind: Kind = Kind()) -> BrowserContext:
        """One in which nobody has been."""
        if self._free[kind]:
            return self._free[kind].pop()
        context = self._browser.new_context(
            viewport={"width": 1280, "height": 800},
            has_touch=kind.phone,
            is_mobile=kind.phone,
            timezone_id="Europe/Berlin",
            accept_downloads=True,
            reduced_motion="reduce",  # what moves while something is made is drawn sixty times a second
        )
        context.set_default_timeout(PATIENCE_S * 1000)
        context.add_init_script(SEEN_BY_POLICY)
        if kind.clock:
            context.clock.install()
        context.new_page()
        return context

    def give_back(self, context: BrowserContext, origin: str, kind: Kind = Kind()) -> None:
        """Take away what somebody has left in it at the product of this address."""
        page, *further = context.pages
        if len(self._free[kind]) >= MOST_KEPT:
            context.close()
            return
        for other in further:
            other.close()
        page.goto(f"{origin}/api/health")
        page.evaluate("localStorage.clear(), sessionStorage.clear()")
        page.mouse.move(0, 0)
        context.clear_cookies()
        context.clear_permissions()
        context.set_extra_http_headers({})
        self._free[kind].append(context)

    def close(self, kind: Kind) -> None:
        """Close those of a kind that nobody will want any more."""
        for context in self._free.pop(kind, []):
            context.close()


def refused_by_policy(page: Any) -> Any:
    """What the security policy of the page that stands there has refused."""
    return page.evaluate("window.__refused")
