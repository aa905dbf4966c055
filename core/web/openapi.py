"""The API's document: what FastAPI cannot know by itself, and without what it wrongly supposes."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from core.errors import Busy, NotSignedIn, TooManyRequests

# The names of the security schemes in auth; an empty one beside them means that none is needed.
SCHEMES: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}]
CALLBACK_BODY = {
    "required": True,
    "description": "What KIE posts; only the task's id is used, the rest is kept as evidence.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "code": {"type": "integer"},
                    "msg": {"type": "string"},
                    "data": {
                        "type": "object",
                        "properties": {
                            "taskId": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,200}$"},
                            "state": {"type": "string"},
                        },
                        "required": ["taskId"],
                    },
                },
                "required": ["data"],
            }
        }
    },
}

WEBHOOK_BODY = {
    "required": True,
    "description": "What the provider posts; only its signature and its id are used.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}


# Served beside the API, whose bodies are small.
WEIGHTS_PATH = "/trainings/{call_id}/weights"
WEIGHTS = {
    "put": {
        "tags": ["Trainings"],
        "summary": "Weights",
        "description": "A pod of ours uploads its weights, up to 2.1 GB; of what breaks off nothing is kept.",
        "operationId": "weights",
        "parameters": [
            {
                "name": "call_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "format": "uuid"},
            },
            {
                "name": "sig",
                "in": "query",
                "required": True,
                "description": "The signature within the address given to the pod",
                "schema": {"type": "string"},
            },
        ],
        "requestBody": {
            "required": True,
            "description": "A safetensors file.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
    }
}


class Fault(BaseModel):
    """What went wrong: `code` for machines, `message` for people, `request_id` for the log."""

    code: str
    message: str
    request_id: str
    field: str | None = Field(default=None, description="The input at fault; with code invalid_input alone")


class ErrorAnswer(BaseModel):
    """The one shape of every error."""

    error: Fault


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A route's `responses`: the statuses it refuses with, all in the one shape."""
    if NotSignedIn.http_status in statuses:
        # Who is refused too often hears so, and who asks too often with a credential.
        statuses = tuple(dict.fromkeys((*statuses, TooManyRequests.http_status)))
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": HTTPStatus(status).phrase} for status in statuses
    }
    for status in (Busy.http_status, TooManyRequests.http_status):
        if status in found:
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}
            }
    return found


def _with_refusals(operations: dict[str, Any], statuses: Sequence[int]) -> dict[str, Any]:
    """Operations of a route that FastAPI does not know, which answers 204 or refuses in the one shape."""
    shape = {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}
    answers = {str(status): {"description": HTTPStatus(status).phrase} for status in (204, *statuses)}
    for status in statuses:
        answers[str(status)]["content"] = {"application/json": shape}  # type: ignore[assignment]
    return {method: {**told, "responses": answers} for method, told in operations.items()}


def install(app: FastAPI) -> None:
    """Make `app` describe itself without the 422 that FastAPI adds: our answer to bad input is 400."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, routes=app.routes)
            found["paths"][WEIGHTS_PATH] = _with_refusals(WEIGHTS, (401, 404, 408, 413, 502))
            for operations in found["paths"].values():
                for operation in operations.values():
                    schema = json.dumps(operation["responses"].get("422", ""))
                    if "HTTPValidationError" in schema:
                        del operation["responses"]["422"]
            for unused in ("HTTPValidationError", "ValidationError"):
                found["components"]["schemas"].pop(unused, None)
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
