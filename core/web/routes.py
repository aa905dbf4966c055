"""Every HTTP route of the product, as the pages' process and the API alone both serve them."""

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route

from core.version import VERSION
from core.web import (
    answers,
    export,
    files,
    health,
    image_proxy,
    kie,
    lora_events,
    lora_models,
    metrics,
    openapi,
    plans,
    webhooks,
)
from core.web.cross_origin import AllowedOrigins
from core.web.crowds import Crowds
from core.web.headers import LocalHosts, SecurityHeaders

api = FastAPI(
    title="Studio Ops",
    version=VERSION,
    openapi_url="/openapi.json",
    docs_url=None,
    redoc_url=None,
    redirect_slashes=False,
    # Images of trainings come as files.
    middleware=[
        Middleware(AllowedOrigins),
        Middleware(answers.RequestGuard, larger={lora_models.router.prefix: (64 * 1024 * 1024, 120.0)}),
    ],
)
answers.install(api)
# Routers are asked in turn; the LoRAs' is the one that customers poll.
api.include_router(lora_models.router)
api.include_router(lora_events.router)
api.include_router(health.router)
api.include_router(kie.router)
api.include_router(export.router)
api.include_router(plans.router)
api.include_router(image_proxy.router)
api.include_router(webhooks.router)

openapi.install(api)

# The pages' server would answer 200 with a page to whatever is not ours.
_NOT_OURS = [Route("/api", answers.NothingHere())]
ROUTES: list[BaseRoute] = [*webhooks.routes, Mount("/api", api), *files.routes, *metrics.routes, *_NOT_OURS]
MIDDLEWARE: list[Middleware] = [Middleware(SecurityHeaders), Middleware(LocalHosts), Middleware(Crowds)]
