"""How a request is written for an endpoint: everything at first, then without what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

from factory.contracts import Message, Request

Feature = Literal[
    "json_schema", "json_object", "seed", "max_tokens", "max_completion_tokens", "system",
    "temperature",
]  # fmt: skip

_NAMED: dict[Feature, re.Pattern[str]] = {
    "json_schema": re.compile(
        r"response_format|json_?schema|json_?object|structured|guided|grammar|additionalProperties",
        re.I,
    ),
    "seed": re.compile(r"\bseed\b", re.I),
    "max_tokens": re.compile(r"\bmax_(?:completion_)?tokens\b", re.I),
    "system": re.compile(
        r"\bsystem\b|\bdeveloper\b|\broles?\b.{0,40}\balternat|messages\[0\]\.role"
        r"|first message .{0,30}\buser\b",
        re.I | re.S,
    ),
    "temperature": re.compile(r"\btemperature\b", re.I),
}
"""What the words of a refusal look like that means a feature; the order is that of giving up."""
_NAMED["json_object"] = _NAMED["json_schema"]
_NAMED["max_completion_tokens"] = _NAMED["max_tokens"]

_TOO_LONG = re.compile(
    r"context[ _](?:length|window|size)|too (?:large|long|many tokens)|exceed|at most \d+", re.I
)
"""Words of a refusal that no other way of writing would mend."""

_WRAPPER = "items"
"""The field that holds a list where only an object may be asked for."""

_TAGGED = re.compile(r"<json>\s*(.*?)\s*(?:</json>|\Z)", re.S | re.I)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an endpoint understands."""

    schema: Literal["json_schema", "json_object", "text"] = "json_schema"
    """How it is told which form an answer has."""
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What it calls the longest answer."""
    seed: bool = True
    system: bool = True
    """Whether it takes a message with the role `system`."""
    temperature: bool = True

    def features(self, request: Request) -> list[Feature]:
        """What a request makes use of, the first to be given up first."""
        used: dict[Feature, bool] = {
            "json_schema": bool(request.schema) and self.schema == "json_schema",
            "json_object": bool(request.schema) and self.schema == "json_object",
            "seed": self.seed and request.seed is not None,
            "max_tokens": self.limit == "max_tokens",
            "max_completion_tokens": self.limit == "max_completion_tokens",
            "system": self.system and any(m["role"] == "system" for m in request.messages),
            "temperature": self.temperature,
        }
        return [feature for feature, yes in used.items() if yes]

    def without(self, feature: Feature) -> Dialect:
        """The dialect with the next best in the place of a feature."""
        match feature:
            case "json_schema":
                return replace(self, schema="json_object")
            case "json_object":
                return replace(self, schema="text")
            case "max_tokens":
                return replace(self, limit="max_completion_tokens")
            case "max_completion_tokens":
                return replace(self, limit="max_tokens")
            case "seed":
                return replace(self, seed=False)
            case "system":
                return replace(self, system=False)
            case "temperature":
                return replace(self, temperature=False)

    def body(self, model: str, request: Request) -> dict[str, Any]:
        """The request as the endpoint gets it."""
        messages = list(request.messages)
        if request.schema and self.schema != "json_schema":
            messages = _with_form(messages, request.schema, tagged=self.schema == "text")
        if not self.system:
            messages = _without_system(messages)
        body: dict[str, Any] = {
            "model": model,
            "messages": messages,
            self.limit: request.max_tokens,
        }
        if self.temperature:
            body["temperature"] = request.temperature
        if self.seed and request.seed is not None:
            # Another sample of the same question has to come out differently.
            body["seed"] = (request.seed + request.sample) % 2**31
        if request.schema and self.schema == "json_schema":
            form = {"name": "answer", "strict": True, "schema": _object(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        elif request.schema and self.schema == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body


def speaks_of(words: str) -> bool:
    """Whether a refusal names something that could be written in another way."""
    return any(pattern.search(words) for pattern in _NAMED.values())


def humbler(
    dialect: Dialect,
    request: Request,
    words: str,
    *,
    proven: Collection[str],
    tried: Collection[str],
) -> tuple[Dialect, Feature] | None:
    """The dialect to try after a refusal, and what it gives up; None if that would not help.

    Args:
        dialect: How the refused request was written.
        request: What was asked.
        words: The endpoint's words, and the parameter it named.
        proven: Features that it has understood before, which cannot be at fault.
        tried: Features already given up for this request.
    """
    if _TOO_LONG.search(words):
        return None
    open_ = [f for f in dialect.features(request) if f not in proven and not _twin(f, tried)]
    named = [feature for feature in open_ if _NAMED[feature].search(words)]
    if not named and any(_NAMED[f].search(words) for f in dialect.features(request)):
        return None  # it speaks of something that it does understand
    chosen = (named or open_)[:1]
    return (dialect.without(chosen[0]), chosen[0]) if chosen else None


def _twin(feature: Feature, tried: Collection[str]) -> bool:
    """Whether giving a feature up leads back to one that was given up."""
    back = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
    return feature in tried or back.get(feature) in tried


def answered(text: str, request: Request) -> str:
    """The text of an answer, out of the wrapping that a dialect put around its form."""
    if not request.schema:
        return text
    tagged = _TAGGED.search(text)
    text = tagged[1] if tagged else text
    if request.schema.get("type") == "object":
        return text
    try:
        found = json.loads(text)
    except ValueError:
        return text
    if isinstance(found, dict) and found.keys() == {_WRAPPER}:
        return json.dumps(found[_WRAPPER], ensure_ascii=False)
    return text


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema in an object, since many endpoints take no other root."""
    if schema.get("type") == "object":
        return schema
    return {
        "type": "object",
        "properties": {_WRAPPER: schema},
        "required": [_WRAPPER],
        "additionalProperties": False,
    }


def _with_form(messages: list[Message], schema: dict[str, Any], *, tagged: bool) -> list[Message]:
    """The form of the answer in words, behind the last message."""
    form = json.dumps(schema if tagged else _object(schema), ensure_ascii=False)
    place = "Put the JSON between <json> and </json>." if tagged else "Write nothing else."
    asked = f"Answer with JSON that follows this JSON Schema: {form}\n{place}"
    *before, last = messages
    return [*before, {"role": last["role"], "content": f"{last['content']}\n\n{asked}"}]


def _without_system(messages: list[Message]) -> list[Message]:
    """The system text at the head of the first user message."""
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    talk = [m for m in messages if m["role"] != "system"]
    if not system:
        return talk
    if not talk or talk[0]["role"] != "user":
        return [{"role": "user", "content": system}, *talk]
    first: Message = {"role": "user", "content": f"{system}\n\n{talk[0]['content']}"}
    return [first, *talk[1:]]
