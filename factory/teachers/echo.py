"""A teacher without a model and without a network: what it writes depends on what it is asked, only.

Ships as a product: a whole build can be tried offline with it. Its pairs are well formed and varied,
in English and Chinese, and teach nothing.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal, Self

from factory.artifacts import hash_json
from factory.base import Base
from factory.contracts import Reply, Request
from factory.teachers.toy import CHINESE, ENGLISH, Toy
from factory.teaching import Teacher

_HAN = re.compile("[\u4e00-\u9fff]")
_RANGE = re.compile(r"\bUse (\d+) to (\d+) words|用(\d+)到(\d+)个字")
_MOST = re.compile(r"\b(?:at most|up to) (\d+) words|(?:最多|不超过)(\d+)个?字")
_MUST = re.compile(r"^(?:Always include: (.+)\.|回答里要有：(.+)。)$", re.M)
_DECLINE = re.compile(r"\bDecline this\b|拒绝")
_FORM = re.compile(r"Write nothing but (.+?)\.(?: Use|$)|只写(.+?)，别的都不要")
_ASKED_FORM = re.compile(r"asks for the answer as (.+)\.$|明确要求用(.+?)来回答", re.M)
_FORMS = {
    "sentence": ("one single sentence", "一句话"),
    "numbered": ("numbered list", "编号列表"),
    "commas": ("with commas", "用逗号隔开"),
    "lines": ("one item on each", "每行一项"),
    "labels": ("Label: text", "名称：内容"),
    "json": ("JSON", "JSON"),
    "bullets": ("bullet list", "项目列表"),
    "table": ("table", "表格"),
}
_DETAILS = re.compile(r" of | with |[,，（(“]")
_COUNT = re.compile(r"\b(\d+)\b|(\d+)条")
_TOPIC = re.compile(r"^- (.+)$", re.M)


class EchoTeacher:
    """Answers at once; equal requests get equal answers, in every process and on every machine."""

    name = "echo"
    endpoint = "echo"
    model = "echo"

    @classmethod
    def of(cls, section: Teacher, base: Base | None) -> Self:
        """See `factory.contracts.Teacher`; nothing is needed."""
        return cls()

    async def __aenter__(self) -> Self:
        """Nothing to open."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Nothing to close."""

    async def reply(self, request: Request) -> Reply:
        """Answer a conversation; never fails."""
        chance = random.Random(hash_json(asdict(request)))
        asked = request.messages[-1]["content"]
        toy = CHINESE if _HAN.search(asked) else ENGLISH
        if request.schema:
            text = json.dumps(_value(request.schema, asked, toy, chance), ensure_ascii=False)
        else:
            system = "\n".join(m["content"] for m in request.messages if m["role"] == "system")
            shown = [m["content"] for m in request.messages if m["role"] == "assistant"]
            text = _answer(system, shown, toy, chance)
        reason: Literal["stop", "length"] = "stop"
        if _tokens(text) > request.max_tokens:
            text, reason = text[: 4 * request.max_tokens], "length"
        prompt = sum(_tokens(message["content"]) for message in request.messages)
        return Reply(text, reason, _tokens(text), prompt)


def _tokens(text: str) -> int:
    return len(text) // 4 + 1


def _value(schema: dict[str, Any], asked: str, toy: Toy, chance: random.Random) -> Any:
    """Something that follows a schema; its texts are questions about what was asked."""
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {name: _value(inner, asked, toy, chance) for name, inner in fields.items()}
        case "array":
            count = next((int(n or m) for n, m in _COUNT.findall(asked)), 3)
            return [_value(schema.get("items", {}), asked, toy, chance) for _ in range(count)]
        case "integer" | "number":
            return chance.randrange(100)
        case "boolean":
            return chance.random() < 0.5
        case _:
            return _question(asked, toy, chance)


def _question(asked: str, toy: Toy, chance: random.Random) -> str:
    topic = chance.choice(_TOPIC.findall(asked) or [chance.choice(toy.nouns)])
    text = toy.say(chance.choice(toy.questions), chance).replace("{topic}", topic)
    if form := _ASKED_FORM.search(asked):
        wanted = _DETAILS.split(form[1] or form[2])[0]
        text += f"用{wanted}。" if toy is CHINESE else f" As {wanted}, please."
    return text[:1].upper() + text[1:]


def _answer(system: str, shown: Sequence[str], toy: Toy, chance: random.Random) -> str:
    """Some sentences, as long as asked for, with the mark at the end that all examples have."""
    ends = {example.rstrip()[-1:] for example in shown}
    mark = ends.pop() if len(ends) == 1 and ends <= set("?!？！") else ""
    if form := _FORM.search(system):
        text = _formed(form[1] or form[2], toy, chance)
        return text[:-1] + mark if mark and text.endswith(toy.stop.strip()) else text
    low, high = _bounds(system)
    wanted = chance.randint(low, max(low, (low + high) // 2))
    first = chance.choice(toy.declined) if _DECLINE.search(system) else None
    # what must be said comes in the middle, where it is nobody's usual opening or ending
    must = ["".join(found) for found in _MUST.findall(system)]
    text = toy.sentence(chance, first=first, must=must)
    while _length(text) < wanted:
        longer = text + toy.sentence(chance)
        if _length(longer) > high:
            break
        text = longer
    return text.strip()[:-1] + mark if mark else text.strip()


def _bounds(system: str) -> tuple[int, int]:
    """Least and most words, as far as anything is said of them."""
    found = [int(n) for match in _RANGE.findall(system)[-1:] for n in match if n]
    low, high = found or (1, 60)
    most = [int(n) for match in _MOST.findall(system) for n in match if n]
    return min(low, *most, high), min([high, *most])


def _length(text: str) -> int:
    return len(_HAN.findall(text)) or len(text.split())


def _formed(wanted: str, toy: Toy, chance: random.Random) -> str:
    """An answer of one of the forms that `factory.pairs.forms` knows."""
    form = next((name for name, marks in _FORMS.items() if any(m in wanted for m in marks)), "")
    items = [toy.say(chance.choice(("{verb} {noun}", "{color} {noun}")), chance) for _ in range(3)]
    names = chance.sample(toy.nouns, 4)
    match form:
        case "numbered":
            steps = [toy.sentence(chance).strip() for _ in items]
            return "\n".join(f"{n}. {step}" for n, step in enumerate(steps, 1))
        case "commas":
            return ", ".join(names)
        case "lines":
            return "\n".join(items)
        case "labels":
            return "\n".join(f"{name}: {item}" for name, item in zip(names, items, strict=False))
        case "json":
            return json.dumps(dict(zip(names, items, strict=False)), ensure_ascii=False)
        case "bullets":
            return "\n".join(f"- {item}" for item in items)
        case "table":
            rows = [f"| {name} | {item} |" for name, item in zip(names, items, strict=False)]
            return "\n".join([rows[0], "| --- | --- |", *rows[1:]])
        case _:
            return toy.sentence(chance).strip()
