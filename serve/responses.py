"""`/v1/responses`, without a memory: each request carries its whole conversation, and nothing is kept.

The request becomes a chat request and the chat's answer is told in the words of the Responses API. What
would need stored state (`previous_response_id`, `conversation`, `background`) is refused in plain words;
`store` is answered with what is true, false.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Any, Literal

from pydantic import Field
from pydantic_core import to_json

from serve.dialect import Dialect, Events, Whole
from serve.protocol import (
    MAX_MESSAGES,
    ApiError,
    ChatMessage,
    ChatRequest,
    Lenient,
    Part,
    ResponseFormat,
    Sampled,
    StreamOptions,
    unsupported,
)
from serve.proxy import Upstream
from serve.proxy import build as build_chat
from serve.relay import COMMENT, Chunks
from serve.served import Served

STATEFUL = ("previous_response_id", "conversation", "background", "prompt")
"""Fields that mean something kept on the server."""

CHAT_ROLES = ("system", "developer", "user", "assistant")


class Item(Lenient):
    """One item of an input list: a message, or traffic of tools and thoughts, which is dropped."""

    type: str = "message"
    role: str | None = None
    content: str | list[Part] | None = None


class TextOptions(Lenient):
    """How the answer is to be laid out."""

    format: ResponseFormat | None = None


class ResponsesRequest(Sampled):
    """`POST /v1/responses`."""

    input: str | list[Item] = Field(min_length=1, max_length=1 << 20)
    instructions: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    text: TextOptions | None = None
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = None
    metadata: dict[str, str] | None = None
    previous_response_id: Any = None
    conversation: Any = None
    background: Any = None
    prompt: Any = None

    @property
    def limit(self) -> int | None:
        """See `Sampled.limit`."""
        return self.max_output_tokens or self.max_tokens

    @property
    def include_usage(self) -> bool:
        """Always: the last event of the stream holds it."""
        return True

    def refuse(self) -> None:
        """See `Sampled.refuse`."""
        super().refuse()
        for field in STATEFUL:
            if getattr(self, field):
                message = f"nothing is kept here between requests: {field} is not available"
                raise unsupported(field, f"{message}; send the whole conversation as input")
        if isinstance(self.input, list):
            if len(self.input) >= MAX_MESSAGES:  # the instructions are one more message
                message = f"fewer than {MAX_MESSAGES} items"
                raise ApiError(400, message, code="invalid_value", param="input")
            for i, item in enumerate(self.input):
                if item.type == "item_reference":
                    raise unsupported(f"input.{i}", "nothing is kept here that it could refer to")
        self.chat().refuse()

    def chat(self) -> ChatRequest:
        """The same as a chat request."""
        talk = [ChatMessage(role="system", content=self.instructions)] if self.instructions else []
        if isinstance(self.input, str):
            talk.append(ChatMessage(role="user", content=self.input))
        else:
            talk += [_message(item, i) for i, item in enumerate(self.input)]
        shared = {name: getattr(self, name) for name in Sampled.model_fields}
        changed = {
            "messages": talk,
            "max_tokens": self.limit,
            "stream_options": StreamOptions(include_usage=True),
            "response_format": self.text.format if self.text else None,
            "tools": self.tools,
            "tool_choice": self.tool_choice,
        }
        return ChatRequest(**{**shared, **changed})


def _message(item: Item, index: int) -> ChatMessage:
    if item.type != "message":
        return ChatMessage(role="tool")  # dropped, and said so
    if item.role not in CHAT_ROLES:
        message = f"a message's role is one of {', '.join(CHAT_ROLES)}"
        raise ApiError(400, message, code="invalid_value", param=f"input.{index}.role")
    return ChatMessage.model_validate({"role": item.role, "content": item.content})


def build(served: Served, model: str, request: ResponsesRequest, salt: str) -> Upstream:
    """See `serve.proxy.build`."""
    return build_chat(served, model, request.chat(), salt)


# --- the answer --------------------------------------------------------------------------------

Status = Literal["in_progress", "completed", "incomplete", "failed"]


def _response(asked: ResponsesRequest, found: dict[str, Any], status: Status) -> dict[str, Any]:
    """The response object around an answer, with what was asked for.

    Args:
        asked: The request.
        found: The chat completion or any chunk of it.
        status: How far it is.
    """
    return {
        "id": found["id"].replace("chatcmpl-", "resp_"),
        "object": "response",
        "created_at": found["created"],
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.limit,
        "model": found["model"],
        "system_fingerprint": found["system_fingerprint"],
        "output": [],
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "store": False,
        "temperature": asked.temperature,
        "text": {"format": {"type": "text"}},
        "tool_choice": "none",
        "tools": [],
        "top_p": asked.top_p,
        "truncation": "disabled",
        "usage": None,
        "metadata": asked.metadata or {},
    }


def _item(found: dict[str, Any], status: Status, *content: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": found["id"].replace("chatcmpl-", "msg_"),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": list(content),
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _finished(
    asked: ResponsesRequest, found: dict[str, Any], text: str, reason: str | None, counts: Any
) -> dict[str, Any]:
    status: Status = "incomplete" if reason == "length" else "completed"
    whole = _response(asked, found, status)
    whole["output"] = [_item(found, status, _part(text))]
    if status == "completed":
        whole["completed_at"] = int(time.time())
    if counts:
        whole["usage"] = {
            "input_tokens": counts["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": counts["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": counts["total_tokens"],
        }
    return whole


def _whole(asked: ResponsesRequest, found: Whole) -> Whole:
    choice = found["choices"][0]
    text, reason = choice["message"]["content"], choice["finish_reason"]
    return _finished(asked, found, text, reason, found["usage"])


async def _events(asked: ResponsesRequest, chunks: Chunks) -> Events:
    """The typed events, numbered; no `[DONE]`, for the last event is the end."""
    told = _Told(asked)
    async with aclosing(chunks):
        async for batch in chunks:
            parts = [part for chunk in batch for part in told.chunk(chunk)]
            if parts or not batch:
                yield b"".join(parts) or COMMENT
    yield b"".join(told.end())


class _Told:
    """What has been told of one streamed response."""

    def __init__(self, asked: ResponsesRequest) -> None:
        self.asked = asked
        self.first: dict[str, Any] = {}
        self.text = ""
        self.reason: str | None = None
        self.usage: Any = None
        self.error: dict[str, Any] | None = None
        self.count = 0

    def chunk(self, chunk: dict[str, Any]) -> list[bytes]:
        """Events for one chunk of the chat stream."""
        if "error" in chunk:
            self.error = chunk["error"]
            return []
        events = [] if self.first else self._opening(chunk)
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            self.reason = choice["finish_reason"] or self.reason
            if piece := choice["delta"].get("content"):
                self.text += piece
                events.append(
                    self._event("output_text.delta", **self._at, delta=piece, logprobs=[])
                )
        return events

    def end(self) -> list[bytes]:
        """The last events."""
        if self.error is not None or not self.first:
            said = (self.error or {}).get("message", "the engine broke off the answer")
            found = self.first or {
                "id": "chatcmpl-", "created": int(time.time()), "model": self.asked.model,
                "system_fingerprint": None,
            }  # fmt: skip
            failed = _response(self.asked, found, "failed")
            failed["error"] = {"code": "server_error", "message": said}
            return [self._event("failed", response=failed)]
        whole = _finished(self.asked, self.first, self.text, self.reason, self.usage)
        return [
            self._event("output_text.done", **self._at, text=self.text, logprobs=[]),
            self._event("content_part.done", **self._at, part=_part(self.text)),
            self._event("output_item.done", output_index=0, item=whole["output"][0]),
            self._event(whole["status"], response=whole),
        ]

    @property
    def _at(self) -> dict[str, Any]:
        return {
            "item_id": _item(self.first, "in_progress")["id"],
            "output_index": 0,
            "content_index": 0,
        }

    def _opening(self, chunk: dict[str, Any]) -> list[bytes]:
        self.first = chunk
        begun = _response(self.asked, chunk, "in_progress")
        return [
            self._event("created", response=begun),
            self._event("in_progress", response=begun),
            self._event("output_item.added", output_index=0, item=_item(chunk, "in_progress")),
            self._event("content_part.added", **self._at, part=_part("")),
        ]

    def _event(self, kind: str, **fields: Any) -> bytes:
        name = f"response.{kind}"
        data = {"type": name, "sequence_number": self.count, **fields}
        self.count += 1
        return b"event: " + name.encode() + b"\ndata: " + to_json(data) + b"\n\n"


RESPONSES = Dialect(ResponsesRequest, build, _whole, _events)
