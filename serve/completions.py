"""`/v1/completions`: goes on with a raw text, for clients that lay out turns themselves.

Off unless the persona's file says `serve: {completions: true}`, for the text carries no persona prompt:
what answers is the tuned model, not the persona as it was tested.
"""

from __future__ import annotations

from contextlib import aclosing

from pydantic import Field

from serve.dialect import Dialect, Events, Whole
from serve.protocol import ApiError, Sampled, unsupported
from serve.proxy import Upstream, sampled
from serve.relay import COMMENT, DONE, Chunks, event
from serve.served import Served

PATH = "/v1/completions"

MARGIN = 1
"""Tokens an engine may put in front of a text: the one that begins texts."""


class CompletionRequest(Sampled):
    """`POST /v1/completions`; token ids instead of text are refused, as are several prompts."""

    prompt: str | list[str] = Field(min_length=1)
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None

    @property
    def text(self) -> str:
        """The one prompt."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    def refuse(self) -> None:
        """See `Sampled.refuse`."""
        super().refuse()
        if isinstance(self.prompt, list) and len(self.prompt) > 1:
            raise unsupported("prompt", "one prompt per request")
        if not self.text:
            raise ApiError(400, "the prompt is empty", code="invalid_value", param="prompt")
        if self.best_of not in (None, 1):
            raise unsupported("best_of", "only one answer is written: best_of must be 1")
        for field in ("echo", "suffix"):
            if getattr(self, field):
                raise unsupported(field, f"{field} is not available here")


def build(served: Served, model: str, request: CompletionRequest, salt: str) -> Upstream:
    """The engine's request.

    Args:
        served: The release that answers.
        model: The engine's name for it.
        request: What the client sent.
        salt: Keeps this tenant's cached prompts apart from everybody else's.

    Raises:
        ApiError: 403 if this persona takes no raw text; 400 if it does not fit the window.
    """
    if not served.completions:
        raise ApiError(
            403,
            f"{served.name} takes conversations only: use /v1/chat/completions; whoever runs this"
            " endpoint can allow raw text with `serve: {completions: true}` in the persona's file",
            code="completions_not_enabled",
            param="model",
        )
    used = len(served.format.tokenizer.encode(request.text).ids) + MARGIN
    body, clamped = sampled(served, model, request, used, param="prompt")
    body |= {"prompt": request.text, "cache_salt": salt}
    return Upstream(body, clamped, request.ignored, PATH)


def _whole(asked: CompletionRequest, found: Whole) -> Whole:
    return _told(found)


async def _events(asked: CompletionRequest, chunks: Chunks) -> Events:
    async with aclosing(chunks):
        async for batch in chunks:
            told = [_told(chunk) if "choices" in chunk else chunk for chunk in batch]
            yield b"".join(map(event, told)) if told else COMMENT
    yield DONE


def _told(found: Whole) -> Whole:
    choices = [
        {
            "index": choice["index"],
            "text": (choice.get("message") or choice.get("delta") or {}).get("content") or "",
            "logprobs": None,
            "finish_reason": choice["finish_reason"],
        }
        for choice in found["choices"]
    ]
    name = found["id"].replace("chatcmpl-", "cmpl-")
    return {**found, "id": name, "object": "text_completion", "choices": choices}


TEXT = Dialect(CompletionRequest, build, _whole, _events)
