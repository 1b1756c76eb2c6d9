"""Reads what an OpenAI-compatible endpoint sends back: an answer, or what went wrong in its own words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from factory.contracts import Reply, Request, TeacherError
from factory.pairs.failures import EmptyAnswer
from factory.teachers.dialect import answered

Kind = Literal["rate_limit", "overloaded", "refused", "fatal"]

_LONGEST = 400
"""Characters kept of an endpoint's words."""

_FINISHED: dict[str, Literal["stop", "length"]] = {
    "stop": "stop", "eos": "stop", "eos_token": "stop",
    "end_turn": "stop", "stop_sequence": "stop", "STOP": "stop", "length": "length",
    "max_tokens": "length", "MAX_TOKENS": "length", "model_length": "length",
}  # fmt: skip
"""Reasons that end an answer, as different endpoints call them."""

_FILTERED = re.compile(
    r"content.?filter|content.?policy|safety|sensitive|moderation|data_inspection", re.I
)
"""Codes and reasons that mean that the endpoint will not speak of this."""

_THOUGHT = re.compile(r"\A\s*<(think|thinking|thought)>(.*?)(?:</\1>|\Z)", re.S | re.I)
_THOUGHT_END = re.compile(r"</(?:think|thinking|thought)>", re.I)
"""Some templates open the thought in the question, so that the answer holds its end only."""

_UNKNOWN_MODEL = re.compile(
    r"\bmodel\b[^\n;]{0,120}?\b(?:not exist|doesn't exist|not (?:be )?found|not available|no access"
    r"|not have access|no(?:t| longer) supported|not loaded|decommissioned)"
    r"|\b(?:unknown|invalid|no such|unsupported)\b.{0,20}\bmodel\b|not a valid model"
    r"|model_not_found|模型不存在",
    re.I,
)
_TEMPLATE = re.compile(
    r"system role|roles must alternate|response_format|json_schema|jinja|chat template", re.I
)
"""What some servers say with the status of a fault of their own."""
_OUT_OF_MONEY = re.compile(
    r"insufficient[_ ](?:quota|balance|credit|funds)|exceeded your current quota|余额不足|欠费",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response that holds no answer."""

    status: int
    words: str
    """The endpoint's own, short enough to show."""
    param: str = ""
    """What it named as the cause."""
    code: str = ""
    retry_after: float | None = None

    @property
    def mendable(self) -> bool:
        """Whether the same question may be taken if it is written in another way."""
        if self.status in (400, 422):
            return not self.filtered
        return self.status in (500, 501) and self._says(_TEMPLATE)

    @property
    def about_model(self) -> bool:
        """Whether it does not know the model."""
        named = self.param in ("", "model")
        return self.status in (400, 404, 422) and named and self._says(_UNKNOWN_MODEL)

    @property
    def filtered(self) -> bool:
        """Whether it will not speak of what was asked."""
        return _FILTERED.search(self.code) is not None

    @property
    def kind(self) -> Kind:
        """What it means for the call, see `TeacherError`; 400 and 422 may be mended by the caller."""
        if self.status in (400, 413, 422):
            return "fatal" if self.about_model else "refused"
        if self.status == 429:
            return "fatal" if self._says(_OUT_OF_MONEY) else "rate_limit"
        if self.status in (408, 409, 425) or self.status >= 500:
            return "overloaded"
        return "fatal"

    def _says(self, pattern: re.Pattern[str]) -> bool:
        return pattern.search(f"{self.code} {self.words}") is not None


def refusal(status: int, headers: Mapping[str, str], content: bytes) -> Refusal:
    """Read a response whose status is no success."""
    wait = _retry_after(headers)
    text = content.decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except ValueError:
        return Refusal(status, _short(re.sub(r"<[^>]*>|\s+", " ", text)), retry_after=wait)
    return _refused(status, found, wait)


def _refused(status: int, found: Any, wait: float | None) -> Refusal:
    """Errors come as `error: {message}`, `error: text`, `message` or `detail`, by endpoint."""
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return Refusal(status, _short(str(found)), retry_after=wait)
    error = found.get("error") or found
    if not isinstance(error, dict):
        return Refusal(status, _short(str(error)), retry_after=wait)
    detail = error.get("detail")
    if isinstance(detail, list):  # one entry for each wrong parameter
        parts = [d for d in detail if isinstance(d, dict)]
        detail = "; ".join(f"{_path(d.get('loc'))}: {d.get('msg')}" for d in parts)
    words = error.get("message") or detail or json.dumps(error)
    param, code = error.get("param"), error.get("code") or error.get("type")
    return Refusal(status, _short(str(words)), str(param or ""), str(code or ""), wait)


def reply(content: bytes, request: Request) -> Reply:
    """Read a response whose status is a success.

    Raises:
        TeacherError: If it is none: empty, broken off, unreadable, an error in disguise. An answer
            that is empty because the length limit cut it off is one.
    """
    try:
        found = json.loads(content)
    except ValueError as error:
        what = "the response is not valid JSON" if content.strip() else "the response is empty"
        raise TeacherError("overloaded", f"{what}: {_short(str(error))}") from error
    choices = found.get("choices") if isinstance(found, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or choice.get("error"):
        raise _disguised(found, choice)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise TeacherError("overloaded", "the response has no message")
    reason = str(choice.get("finish_reason") or "stop")
    if _FILTERED.search(reason):
        raise TeacherError("refused", "the endpoint's content filter held the answer back")
    if reason not in _FINISHED:
        raise TeacherError("overloaded", f"the endpoint broke the answer off: {reason}")
    text, thoughts = _said(message)
    usage = found.get("usage") or {}
    whole = Reply(
        text=answered(text, request),
        finish_reason=_FINISHED[reason],
        token_count=_count(usage, "completion_tokens") or (len(text) + len(thoughts)) // 4 + 1,
        prompt_tokens=_count(usage, "prompt_tokens"),
        reasoning=thoughts,
    )
    if not whole.text.strip() and whole.finish_reason != "length":
        held = "only thoughts, and no answer" if thoughts else "no text"
        raise EmptyAnswer(f"the answer holds {held}", whole)
    return whole


def _said(message: Mapping[str, Any]) -> tuple[str, str]:
    """The answer and the thoughts of a message."""
    content = message.get("content") or message.get("refusal") or ""
    thoughts = str(message.get("reasoning_content") or message.get("reasoning") or "")
    if isinstance(content, list):  # parts, of which some may be thoughts
        parts = [part for part in content if isinstance(part, dict)]
        thoughts += "".join(_part(p.get("thinking")) for p in parts if p.get("type") == "thinking")
        content = "".join(_part(p.get("text")) for p in parts if p.get("type") == "text")
    text = str(content)
    if opened := _THOUGHT.search(text):
        thoughts += opened[2].strip()
        text = text[opened.end() :]
    elif ended := _THOUGHT_END.search(text):
        thoughts += text[: ended.start()].strip()
        text = text[ended.end() :]
    return text.strip(), thoughts


def _part(value: Any) -> str:
    if isinstance(value, list):
        return "".join(_part(entry.get("text")) for entry in value if isinstance(entry, dict))
    return str(value or "")


def _disguised(found: Any, choice: Any) -> TeacherError:
    """The error that came with a status of 200."""
    error = choice if isinstance(choice, dict) else found
    if not isinstance(error, dict) or not error.get("error"):
        return TeacherError("overloaded", "the response holds no answer")
    inner = error["error"]
    code = inner.get("code") if isinstance(inner, dict) else None
    status = code if isinstance(code, int) and 400 <= code <= 599 else 502
    seen = _refused(status, error, None)
    return TeacherError(seen.kind, f"{seen.words} ({status})")


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value > 0 else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from either header and either form."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        date = parsedate_to_datetime(headers["retry-after"])
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None


def _path(where: Any) -> str:
    return ".".join(map(str, where)) if isinstance(where, list) else ""


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
