"""The HTTP API and the files without the pages: `uvicorn core.web.app:app` behind a proxy's /api."""

from starlette.applications import Starlette

from core import log
from core.web.routes import MIDDLEWARE, ROUTES

log.configure("web")
app = Starlette(routes=ROUTES, middleware=MIDDLEWARE)
