"""What to compare a callback with: a route that reads the body and answers 200, nothing else."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def _callback(request: Request) -> JSONResponse:
    await request.body()
    return JSONResponse({"code": 200, "msg": "success"})


async def _health(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


app = Starlette(
    routes=[Route("/api/kie/callback", _callback, methods=["POST"]), Route("/api/health", _health)]
)
