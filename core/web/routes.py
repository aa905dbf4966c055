"""Every HTTP route of the product, as the pages' process and the API alone both serve them."""

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount

from core.version import VERSION
from core.web import answers, files, health, kie
from core.web.headers import SecurityHeaders

api = FastAPI(
    title="Studio Ops",
    version=VERSION,
    openapi_url="/openapi.json",
    docs_url=None,
    redoc_url=None,
    middleware=[Middleware(answers.RequestGuard)],
)
answers.install(api)
api.include_router(health.router)
api.include_router(kie.router)

ROUTES: list[BaseRoute] = [Mount("/api", api), *files.routes]
MIDDLEWARE: list[Middleware] = [Middleware(SecurityHeaders)]
