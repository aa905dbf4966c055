"""Users of the API: their tokens, their clients, and the errors that they get."""

import time
from typing import Any

import httpx
import jwt

from tests.journeys.world import World

JWT_SECRET = "jwt-secret-of-the-tests-0123456789abcdef"


def token(subject: str, secret: str = JWT_SECRET, **claims: Any) -> str:
    given = {"sub": subject, "aud": "authenticated", "exp": time.time() + 600, "role": "authenticated"}
    given.update(claims)
    return jwt.encode({name: value for name, value in given.items() if value is not None}, secret, "HS256")


def caller(world: World, **headers: str) -> httpx.Client:
    return httpx.Client(base_url=world.environment["PUBLIC_BASE_URL"], headers=headers, timeout=30)


def customer(world: World, bearer: str) -> httpx.Client:
    return caller(world, Authorization=f"Bearer {bearer}")


def is_error(answer: httpx.Response, status: int, code: str) -> bool:
    """Whether the answer is an error of the one shape."""
    error = answer.json()["error"]
    assert set(error) >= {"code", "message", "request_id"}, answer.text
    assert error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return (answer.status_code, error["code"]) == (status, code)
