"""Which other sites' pages may read the API: those of ALLOWED_ORIGINS, and by default none."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from core import settings

METHODS = ("GET", "POST")
HEADERS = ("Authorization", "Content-Type", "X-API-Key", "Last-Event-ID")


class AllowedOrigins:
    """ASGI middleware. Cookies are never let through: who calls from elsewhere brings a token."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._opened: dict[tuple[str, ...], CORSMiddleware] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origins = settings.current().origins
        if not origins:
            await self._app(scope, receive, send)
            return
        if origins not in self._opened:
            self._opened = {origins: self._open(origins)}
        await self._opened[origins](scope, receive, send)

    def _open(self, origins: tuple[str, ...]) -> CORSMiddleware:
        return CORSMiddleware(
            self._app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=HEADERS,
            expose_headers=("X-Request-Id", "Retry-After"),
            allow_credentials=False,
            max_age=600,
        )
