"""The web process: pages and HTTP API on one port.

`streamlit run app.py`, or `uvicorn app:app` in production. With no DATABASE_URL it brings up the whole
local stack beside itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route
from streamlit import config

from core import settings
from core.errors import SettingsError
from core.local.address import WebAddress
from core.local.lifespan import DEFAULT_PORT, WhileStarting, lifespan
from core.web.routes import MIDDLEWARE, ROUTES
from core.web.sign_in import SignInDoor
from core.web.streamlit_paths import KnownBase
from pages.components.activity import Listening
from pages.components.leaving import Leaving

# Streamlit tries so many ports after the default one when nobody chose a port.
PORTS_TRIED = 100


def streamlit_address() -> WebAddress:
    """The address that `streamlit run` has bound; it moves from a default port that is taken."""
    host, port = str(config.get_option("server.address")), int(config.get_option("server.port"))
    chosen = config.is_manually_set("server.port") or not DEFAULT_PORT < port <= DEFAULT_PORT + PORTS_TRIED
    return WebAddress(
        host=host,
        port=port,
        wanted=port if chosen else DEFAULT_PORT,
        bound=True,
        command="STREAMLIT_SERVER_PORT={port} streamlit run app.py",
    )


def first_page(request: Request) -> RedirectResponse:
    """The first page lives at `/` alone; Streamlit would call its own name unknown."""
    return RedirectResponse(f"/?{request.url.query}" if request.url.query else "/")


def sign_in_provider() -> Mapping[str, Any] | None:
    """What Streamlit's sign-in takes for its secrets, from our settings; None where nobody signs in.

    A wrong setting is said by the start itself, in one sentence.
    """
    try:
        current = settings.current()
    except SettingsError:
        return None
    if not current.signs_in:
        return None
    secret = current.require("SESSION_SECRET")
    # Signs the state of a login under way, so that another web process may finish it.
    config.set_option("server.cookieSecret", secret)
    return {
        "auth": {
            "redirect_uri": current.redirect_uri,
            "cookie_secret": secret,
            "client_id": current.oidc_client_id,
            "client_secret": current.require("OIDC_CLIENT_SECRET"),
            "server_metadata_url": current.oidc_metadata_url,
        }
    }


app = st.App(
    Path(__file__).parent / "pages" / "navigation.py",
    routes=[*ROUTES, Route("/overview", first_page)],
    middleware=[
        *MIDDLEWARE,
        Middleware(SignInDoor),
        Middleware(Leaving),
        Middleware(Listening),
        Middleware(WhileStarting),
        Middleware(KnownBase),
    ],
    lifespan=lifespan(streamlit_address),
    secrets=sign_in_provider(),
)
