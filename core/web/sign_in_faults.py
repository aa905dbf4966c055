"""What went wrong while somebody was being signed in, in a sentence and on a page of our own."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.types import Message

from core import log, settings
from core.errors import ErrorCategory, ProviderError
from core.providers import oidc

# Looking up an address may take longer than any connection is let.
LOOK_WITHIN_S = oidc.DEADLINE_S + 1
AGAIN_AFTER_S = 30
HEADLINE = "You could not be signed in"
# What a provider says when the person themselves has not gone on: RFC 6749 4.1.2.1, OpenID Connect 3.1.2.6.
_GAVE_UP = {"access_denied", "login_required", "consent_required", "interaction_required"}
_LATER = "Try again in a minute; if it stays, give the error id to whoever runs Studio Ops."
_SET = "Give the error id to whoever runs Studio Ops: python -m jobs doctor names the setting."

_log = log.get(__name__)


@dataclass(frozen=True)
class Fault:
    """What a person reads instead of coming in, and why, for the log."""

    status: int
    why: str
    sentence: str


def refuses(said: Sequence[Message]) -> bool:
    """Whether Streamlit's answer to somebody who wants to sign in is its bare refusal."""
    return bool(said) and said[0]["status"] == 400


def brings_nobody(said: Sequence[Message], query: Mapping[str, str]) -> bool:
    """Whether a person who comes back from the provider is sent home signed out, and not by their own choice.

    A way back that was taken already changes no cookie, and whoever is signed in stays so.
    """
    if "error" in query:
        return query["error"] not in _GAVE_UP
    cookies = Headers(raw=said[0]["headers"]).getlist("set-cookie") if said else []
    taken = [cookie for cookie in cookies if cookie.startswith("_streamlit_user=")]
    return "code" in query and bool(taken) and all('=""' in one.partition(";")[0] for one in taken)


async def of_login(*, slow: bool) -> Fault:
    """Why the way to the provider did not begin; after one that was `slow` nobody is asked for the reason."""
    host = oidc.host_of(settings.current().oidc_metadata_url)
    found = _slow(host) if slow else await _of_provider(host)
    return found or Fault(
        503, "answers_again", f"{host}, where people sign in, did not answer a moment ago. {_LATER}"
    )


async def of_callback(query: Mapping[str, str], *, slow: bool) -> Fault:
    """Why somebody who comes from the provider does not come in."""
    host = oidc.host_of(settings.current().oidc_metadata_url)
    if "error" in query:
        why = f"the provider says {query['error'][:60]!r}"
        return Fault(502, why, f"{host} says that it could not sign you in. {_LATER}")
    found = _slow(host) if slow else await _of_provider(host)
    return found or Fault(502, "not_confirmed", f"{host} did not confirm who you are. {_LATER}")


async def _of_provider(host: str) -> Fault | None:
    """What is the matter with the provider now; None when nothing is."""
    look = partial(oidc.read, settings.current().oidc_metadata_url)
    try:
        async with asyncio.timeout(LOOK_WITHIN_S):
            await to_thread.run_sync(look, abandon_on_cancel=True)
    except TimeoutError:
        return _slow(host)
    except ProviderError as error:
        _log.warning("sign_in.provider", why=error.message)
        match error.category:
            case ErrorCategory.TIMEOUT:
                return _slow(host)
            case ErrorCategory.NETWORK:
                return Fault(503, "away", f"{host}, where people sign in, cannot be reached. {_LATER}")
            case ErrorCategory.SERVICE_ERROR:
                said = f"{host}, where people sign in, has a fault of its own. {_LATER}"
                return Fault(502, "broken", said)
            case _:
                return Fault(502, "no_document", f"{host} has no sign-in at the address that is set. {_SET}")
    return None


def _slow(host: str) -> Fault:
    return Fault(503, "slow", f"{host}, where people sign in, does not answer in time. {_LATER}")


def page(
    headline: str, sentence: str, status: int, *, again: str, error_id: str, retry_after: int = AGAIN_AFTER_S
) -> HTMLResponse:
    """A page outside of the pages: what, why, the id that the log knows, and the address to try again."""
    headers = {"Cache-Control": "no-store", "X-Request-Id": error_id}
    if status in {429, 503}:
        headers["Retry-After"] = str(retry_after)
    values = (headline, sentence, error_id, again)
    return HTMLResponse(_PAGE.format(*map(escape, values)), status, headers)


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{0} · Studio Ops</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; line-height: 1.5;
  font: 1rem/1.5 "Source Sans", system-ui, sans-serif;
  background: light-dark(#fbfcfd, #10141b); color: light-dark(#1b2330, #e4e9f0); }}
main {{ max-width: 34rem; margin: 1.5rem; padding: 1.4rem 1.6rem; border-radius: 8px;
  background: light-dark(#ffffff, #151b24); border: 1px solid light-dark(#d5dbe4, #313b4a); }}
h1 {{ font-size: 1.3rem; margin: 0 0 0.5rem; color: light-dark(#a8242a, #ff8f8f); }}
p {{ margin: 0 0 1rem; overflow-wrap: anywhere; }}
small {{ color: light-dark(#566173, #9aa6b8); }}
a {{ display: inline-block; padding: 0.45rem 1rem; border-radius: 8px; text-decoration: none;
  background: light-dark(#3451c7, #4f6bea); color: #ffffff; }}
a:focus-visible {{ outline: 2px solid light-dark(#2c48b8, #9db2ff); outline-offset: 2px; }}
</style></head><body><main><h1>{0}</h1><p>{1}</p><p><small>Error id <code>{2}</code></small></p>
<a href="{3}">Try again</a></main></body></html>
"""
