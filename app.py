"""The web process: pages and HTTP API on one port.

`streamlit run app.py`, or `uvicorn app:app` in production. With no DATABASE_URL it brings up the whole
local stack beside itself.
"""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route
from streamlit import config

from core.local.address import WebAddress
from core.local.lifespan import DEFAULT_PORT, WhileStarting, lifespan
from core.web.routes import MIDDLEWARE, ROUTES
from core.web.streamlit_paths import KnownBase

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


app = st.App(
    Path(__file__).parent / "pages" / "navigation.py",
    routes=[*ROUTES, Route("/overview", first_page)],
    middleware=[*MIDDLEWARE, Middleware(WhileStarting), Middleware(KnownBase)],
    lifespan=lifespan(streamlit_address),
)
