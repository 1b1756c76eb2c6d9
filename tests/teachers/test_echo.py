"""The toy teacher writes, offline, what the rest of distillation accepts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from factory.contracts import Message, Reply, Request
from factory.load import load
from factory.pairs import cells, prompts
from factory.pairs.accept import Accepted, Acceptor
from factory.persona import system_prompt
from factory.teachers.echo import EchoTeacher

PERSONAS = Path(__file__).resolve().parents[2] / "personas"


def ask(request: Request) -> Reply:
    async def story() -> Reply:
        async with EchoTeacher() as teacher:
            return await teacher.reply(request)

    return asyncio.run(story())


def asked(text: str) -> Request:
    message: Message = {"role": "user", "content": text}
    return Request((message,), max_tokens=300)


@pytest.mark.parametrize("name", ["humorous", "support", "tutor", "jianjie"])
def test_its_pairs_are_accepted(name: str) -> None:
    spec = load(PERSONAS / f"{name}.yaml")
    prompt = system_prompt(spec)
    acceptor = Acceptor(spec.language, spec.rules, spec.seeds, voice=spec.voice)
    shares = {**cells.DEFAULT_SHARES, "normal": 0.6, "safety": 0.1}
    plan = cells.plan(50, language=spec.language, seeds=spec.seeds, rules=spec.rules, shares=shares)
    missing, rejected = 50, []
    for cell in plan:
        wanted = cell.quota
        for sample in range(4):
            reply = ask(
                prompts.questions_request(
                    cell, wanted + 2, language=spec.language, domain="?", avoid=[], sample=sample
                )
            )
            for question in prompts.parse_questions(reply):
                if not wanted or acceptor.question(question, cell):
                    continue
                request = prompts.answer_request(
                    question, cell, persona_prompt=prompt, examples=spec.seeds[:3], sample=0
                )
                judged = acceptor.answer(question, ask(request), cell)
                plain = ask(prompts.plain_request(question, 0)).text
                if not isinstance(judged, Accepted):
                    rejected.append((cell.id, judged))
                elif not acceptor.twin(question, judged.text, plain):
                    wanted, missing = wanted - 1, missing - 1
    assert missing == 0, rejected
    assert len(rejected) <= 5, rejected


def test_equal_requests_have_equal_answers_and_others_other_ones() -> None:
    requests = [asked("Hello"), asked("Hello you"), replace(asked("Hello"), sample=1)]
    replies = [ask(request) for request in requests]
    assert replies == [ask(request) for request in requests]
    assert len({reply.text for reply in replies}) == 3


def test_answers_are_the_same_on_every_machine() -> None:
    assert ask(asked("Hello")).text == (
        "Striped notebook will hold every button, and all compass may roll on velvet muffin."
        " One pipe is for the silver scissors, and stir purple fence from the collar."
    )


def test_a_schema_is_followed() -> None:
    schema = {
        "type": "object",
        "properties": {
            "pairs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"q": {"type": "string"}, "n": {"type": "integer"}},
                    "required": ["q", "n"],
                },
            },
            "done": {"type": "boolean"},
        },
        "required": ["pairs", "done"],
    }
    value = json.loads(ask(replace(asked("Write 7 of them"), schema=schema)).text)
    jsonschema.validate(value, schema)
    assert len(value["pairs"]) == 7


def test_the_limit_cuts_off_as_a_model_would() -> None:
    reply = ask(replace(asked("Hello"), max_tokens=5))
    assert reply.finish_reason == "length" and len(reply.text) <= 20
    assert ask(asked("Hello")).finish_reason == "stop"


@pytest.mark.parametrize(
    ("told", "most"), [("Use 30 to 40 words.", 40), ("Use at most 40 words.", 40)]
)
def test_lengths_that_are_asked_for_are_kept(told: str, most: int) -> None:
    system: Message = {"role": "system", "content": told}
    for number in range(60):
        request = asked(f"Question {number}")
        text = ask(replace(request, messages=(system, *request.messages))).text
        assert len(text.split()) <= most


def test_braces_in_a_question_are_text() -> None:
    request = replace(asked("- {noun} {x}\n"), schema={"type": "string"})
    assert "{noun} {x}" in json.loads(ask(request).text)
