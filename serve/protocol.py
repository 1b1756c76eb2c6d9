"""The part of the OpenAI chat API that this endpoint promises, and the shape of its errors.

Unknown fields are ignored, so that a client's newest option never breaks a conversation; so are those
that would bend the persona or show its prompt (`logit_bias`, `echo`, `chat_template`, `min_tokens`, ...):
nothing is passed on that is not named here. What would change the answer and cannot be honoured (tools
that must be called, images, JSON schemas, several choices) is refused in plain words instead.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

MAX_BODY = 1 << 20
"""Largest request body, in bytes."""
MAX_MESSAGES = 512
MAX_STOPS = 8
MAX_TOP_LOGPROBS = 5


class ApiError(Exception):
    """Anything that ends a request, in OpenAI's envelope.

    Args:
        status: HTTP status code.
        message: For the person at the other end; no paths, no prompt, no traceback.
        code: What programs look at, or None.
        param: The offending field, or None.
        headers: More response headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = headers or {}

    def envelope(self) -> dict[str, Any]:
        """`{error: {message, type, param, code}}`, always with all four keys."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(self.status, kind)
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }


class Lenient(BaseModel):
    """Base of everything a client sends."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TextPart(Lenient):
    """A piece of text in a list of content parts."""

    type: Literal["text", "input_text", "output_text"]
    text: str


class OtherPart(Lenient):
    """An image, a sound, a file: parsed only to be refused in plain words."""

    type: str


def _part_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "text" if kind in ("text", "input_text", "output_text") else "other"


Part = Annotated[
    Annotated[TextPart, Tag("text")] | Annotated[OtherPart, Tag("other")],
    Discriminator(_part_kind),
]


class ChatMessage(Lenient):
    """One message as clients send it."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: Any = None
    """Dropped: no chat template of ours shows it."""
    tool_calls: Any = None
    """Dropped: another model's."""


class StreamOptions(Lenient):
    """Options of a streamed answer."""

    include_usage: bool | None = None


class ResponseFormat(Lenient):
    """Parsed to refuse what is not text."""

    type: str = "text"


class Sampled(Lenient):
    """What every request for text may say about how it is written."""

    model: str
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logit_bias: dict[str, Any] | None = None
    """Ignored: it could force or forbid any word."""
    strict: bool | None = None
    """Whether a limit that is too large is refused instead of clamped."""

    @property
    def limit(self) -> int | None:
        """How long the answer may be, in tokens, if the client said."""
        return self.max_tokens

    @property
    def stops(self) -> list[str]:
        """Stop strings as a list; empty ones would end every answer at once and are dropped."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [text for text in given if text]

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a usage chunk."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Short codes of what was given, has a meaning elsewhere, and has no effect here."""
        return ("logit-bias-ignored",) if self.logit_bias else ()

    def refuse(self) -> None:
        """Raise what is wrong with fields that are valid but cannot be honoured.

        Raises:
            ApiError: 400 naming the field.
        """
        if self.n not in (None, 1):
            message = "only one choice per request: n must be 1"
            raise ApiError(400, message, code="unsupported_value", param="n")
        if len(self.stops) > MAX_STOPS:
            message = f"at most {MAX_STOPS} stop strings"
            raise ApiError(400, message, code="invalid_value", param="stop")


class ChatRequest(Sampled):
    """`POST /v1/chat/completions`: every field that has an effect, and some that get a clear no."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0)
    response_format: ResponseFormat | None = None
    tools: list[Any] | None = None
    """Ignored: a persona calls none."""
    tool_choice: str | dict[str, Any] | None = None

    @property
    def limit(self) -> int | None:
        """See `Sampled.limit`; the newer name wins."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def ignored(self) -> tuple[str, ...]:
        """See `Sampled.ignored`."""
        return (*super().ignored, *(("tools-ignored",) if self.tools else ()))

    def refuse(self) -> None:
        """See `Sampled.refuse`."""
        super().refuse()
        if self.response_format and self.response_format.type != "text":
            raise unsupported("response_format", "this persona answers in plain text only")
        if self.tool_choice not in (None, "auto", "none"):
            raise unsupported("tool_choice", "this persona calls no tools")


def unsupported(field: str, message: str) -> ApiError:
    """What a field that cannot be honoured gets."""
    return ApiError(400, message, code="unsupported_parameter", param=field)


Asked = TypeVar("Asked", bound=Sampled)


def parse(body: bytes, kind: type[Asked]) -> Asked:
    """Read a request body.

    Args:
        body: What the client sent.
        kind: What it ought to be.

    Raises:
        ApiError: 400 naming the first offending field.
    """
    try:
        request = kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise ApiError(400, "the body is not valid JSON", code="invalid_json") from error
        field = ".".join(str(part) for part in first["loc"] if not _branch(str(part)))
        raise ApiError(
            400, f"{field or 'body'}: {first['msg']}", code="invalid_value", param=field or None
        ) from error
    request.refuse()
    return request


def _branch(part: str) -> bool:
    """Whether a step of a location is pydantic's name for one of several types, and no field."""
    return part in ("text", "other", "str") or part.endswith("]")
