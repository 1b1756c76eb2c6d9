"""Describes the endpoint as an OpenAPI document, from the very models that read requests.

Bodies are read by hand, so that their size is limited and errors have one shape; FastAPI therefore does
not know them. The shapes of answers are the openai SDK's own: what it can read is what is promised.
The document is not served; tools that try out every route make it from `app.openapi()`.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

PLACE = "#/components/schemas/{model}"

EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
}
"""What each event of a stream is; its data are JSON, or `[DONE]`."""

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "additionalProperties": False,
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
STATUSES = (400, 401, 403, 404, 405, 413, 429, 500, 502, 503, 504)


def answers(asked: str, told: str) -> dict[str, Any]:
    """What a route that answers says of itself, for FastAPI's decorator.

    Args:
        asked: Model of the request's body.
        told: Model of a whole answer.
    """
    streamed = {"text/event-stream": {"schema": EVENT}}
    whole = {"application/json": {"schema": {"$ref": PLACE.format(model=told)}}}
    body = {"application/json": {"schema": {"$ref": PLACE.format(model=asked)}}}
    return {
        "openapi_extra": {"requestBody": {"required": True, "content": body}},
        "responses": {200: {"description": "The answer.", "content": {**whole, **streamed}}},
    }


def describe(app: FastAPI) -> dict[str, Any]:
    """The document."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components = document.setdefault("components", {}).setdefault("schemas", {})
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, "validation") for model in _asked()),
        *((model, "serialization") for model in _told()),
    ]
    _, schemas = models_json_schema(models, ref_template=PLACE)
    components.update(schemas["$defs"])
    components["Error"] = ERROR
    failure = {"application/json": {"schema": {"$ref": PLACE.format(model="Error")}}}
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            for status in STATUSES:
                refusal = {"description": "The error envelope.", "content": failure}
                operation["responses"][str(status)] = refusal
    return document


def _asked() -> list[type[BaseModel]]:
    from serve.completions import CompletionRequest
    from serve.protocol import ChatRequest
    from serve.responses import ResponsesRequest

    return [ChatRequest, CompletionRequest, ResponsesRequest]


def _told() -> list[type[BaseModel]]:
    from openai.types import Completion
    from openai.types.chat import ChatCompletion
    from openai.types.responses import Response

    return [ChatCompletion, Completion, Response]
