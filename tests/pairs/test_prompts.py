"""prompts: the writer never sees the persona, answers are asked for in voice, lists are read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from factory.contracts import Reply, Request
from factory.load import load
from factory.pairs.cells import INTENTS, REGISTERS, Cell, plan
from factory.pairs.prompts import (
    answer_request,
    choose_examples,
    parse_questions,
    plain_request,
    questions_request,
)
from factory.spec import Seed

PERSONAS = sorted((Path(__file__).resolve().parents[2] / "personas").glob("*.yaml"))
TOPICS = ("cooking for one", "a slow computer", "birds in the yard", "old maps")


def cell(**changed: Any) -> Cell:
    given: dict[str, Any] = {
        "id": "normal-explain-medium-train", "intent": "explain", "length": "medium",
        "register": "normal", "side": "train", "quota": 3, "topics": TOPICS, "words": (16, 60),
    }  # fmt: skip
    return Cell(**{**given, **changed})


def asked(at: Cell, count: int = 3, sample: int = 0, **changed: Any) -> Request:
    given: dict[str, Any] = {"language": at.language, "domain": "everyday life", "avoid": []}
    return questions_request(at, count, sample=sample, **{**given, **changed})


def said(request: Request) -> str:
    return "\n".join(message["content"] for message in request.messages)


def reply(text: str, finish_reason: Literal["stop", "length"] = "stop") -> Reply:
    return Reply(text, finish_reason, 9)


# --- questions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", PERSONAS, ids=lambda file: file.stem)
def test_the_writer_of_questions_never_sees_the_persona(file: Path) -> None:
    spec = load(file, [])
    cells = plan(120, language=spec.language, seeds=spec.seeds, rules=spec.rules)
    secret = [spec.description, *(trait for trait in spec.voice if len(trait) > 4)]
    secret += [text for seed in spec.seeds for text in (seed.instruction, seed.output)]
    for one in cells:
        told = said(asked(one))
        assert not [text for text in secret if text in told]
        assert "3" in told and one.topics[0] in told


@pytest.mark.parametrize("language", ["en", "zh", "de"])
def test_every_kind_of_question_can_be_asked_for(language: str) -> None:
    seen = set()
    for register in REGISTERS:
        for intent in INTENTS:
            form = "json" if register == "format" else ""
            told = said(asked(cell(register=register, intent=intent, form=form, language=language)))
            assert not set("{}") & set(told.replace('{"questions": ["...", "..."]}', ""))
            assert form.upper() in told
            seen.add(told)
    assert len(seen) == len(REGISTERS) * len(INTENTS)


def test_questions_are_asked_for_as_a_json_list_in_the_right_language() -> None:
    request = asked(cell())
    assert request.schema is not None
    assert request.schema["properties"]["questions"]["items"] == {"type": "string"}
    assert "Write in English" in said(request)
    assert "Write in German" in said(asked(cell(language="de")))
    assert "用中文写" in said(asked(cell(language="zh")))
    abroad = said(asked(cell(register="other_language")))
    assert "Write in Spanish" in abroad and "English" not in abroad
    assert "用英文写" in said(asked(cell(register="other_language", language="zh")))


def test_the_same_cell_is_asked_for_otherwise_each_time() -> None:
    first, second = asked(cell(), 2, sample=0), asked(cell(), 2, sample=1)
    assert first == asked(cell(), 2, sample=0)
    assert first.seed != second.seed
    assert [topic in said(first) for topic in TOPICS] == [True, True, False, False]
    assert [topic in said(second) for topic in TOPICS] == [False, False, True, True]
    people = {said(asked(cell(), 4, sample=sample)) for sample in range(10)}
    assert len(people) == 10


def test_questions_that_are_there_are_not_to_be_repeated() -> None:
    assert "repeat" not in said(asked(cell()))
    assert "- Why is\n" not in said(asked(cell(), avoid=["Why is\nit so?"]))
    assert "- Why is it so?" in said(asked(cell(), avoid=["Why is\nit so?"]))


GOOD = ["Why do cats purr?", 'What does "budget" mean?']


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"questions": GOOD}),
        json.dumps(GOOD),
        json.dumps([{"question": GOOD[0], "topic": "cats"}, {"question": GOOD[1]}]),
        f"```json\n{json.dumps(GOOD)}\n```",
        f"Here they are:\n```\n{json.dumps(GOOD, indent=2)}\n```\nEnjoy!",
        f"Certainly! {json.dumps({'questions': GOOD})} I hope this helps.",
        '{"questions": ["Why do cats purr?", "What does \\"budget\\" mean?",]}',
        '["Why do cats purr?",\n "What does \\"budget\\" mean?"',
        f"<question>{GOOD[0]}</question>\n<question>{GOOD[1]}</question>",
        f"1. {GOOD[0]}\n2. {GOOD[1]}",
        f"Here are two:\n\n- {GOOD[0]}\n- {GOOD[1]}\n",
        f"Q1: {GOOD[0]}\nQ2: {GOOD[1]}",
        f'1) "{GOOD[0]}"\n2) {GOOD[1]}',
        f"1. **{GOOD[0]}**\n2. {GOOD[1]}",
        f"{GOOD[0]}\n\n{GOOD[1]}",
        f"  1. {GOOD[0]}\r\n  2.   {GOOD[1]}\r\n  3. {GOOD[0]}\r\n",
    ],
)
def test_questions_are_read_whatever_they_are_wrapped_in(text: str) -> None:
    assert parse_questions(reply(text)) == GOOD


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"questions": ["Why do cats purr?", "What does a bu', ["Why do cats purr?"]),
        ('```json\n["Why do cats purr?", "What does a bu', ["Why do cats purr?"]),
        ("1. Why do cats purr?\n2. What does a bu", ["Why do cats purr?"]),
        ("Why do cats purr?\nWhat does a bu", ["Why do cats purr?"]),
    ],
)
def test_half_a_question_is_none(text: str, found: list[str]) -> None:
    assert parse_questions(reply(text, "length")) == found


@pytest.mark.parametrize(
    "text",
    ["", "I cannot help with that.", "[]", '{"questions": []}', "[1, 2]", "null", "```\n```"],
)
def test_no_list_is_no_question(text: str) -> None:
    assert parse_questions(reply(text)) == []


def test_chinese_lists_are_read_and_mojibake_is_mended() -> None:
    assert parse_questions(reply("1、猫为什么打呼噜？\n2、什么是预算？")) == [
        "猫为什么打呼噜？", "什么是预算？",
    ]  # fmt: skip
    spoiled = "Why is the caf\u00c3\u00a9 closed?"
    assert parse_questions(reply(json.dumps([spoiled]))) == ["Why is the caf\u00e9 closed?"]


# --- answers -------------------------------------------------------------------------------------

SEEDS = [
    Seed(instruction="Why is the sky blue?", output="Air scatters blue light."),
    Seed(instruction="Why is the sea blue?", output="Water swallows red light."),
    Seed(instruction="My dog died.", output="I am sorry. Take your time."),
    Seed(instruction="Sum this up.", input="A long text.", output="It is long."),
    Seed(instruction="And you?", output="Fine.", history=(("Hi!", "Hello."),)),
]


def test_an_answer_is_asked_for_in_voice_after_examples_and_as_plain_text() -> None:
    request = answer_request(
        "Why do cats purr?", cell(), persona_prompt="You are dry.", examples=SEEDS[3:], sample=2
    )
    first, *turns, last = request.messages
    assert first["role"] == "system" and first["content"].startswith("You are dry.\n\n")
    assert "16 to 60 words" in first["content"]
    assert [(m["role"], m["content"]) for m in turns] == [
        ("user", "Sum this up.\n\nA long text."),
        ("assistant", "It is long."),
        ("user", "Hi!"),
        ("assistant", "Hello."),
        ("user", "And you?"),
        ("assistant", "Fine."),
    ]
    assert last == {"role": "user", "content": "Why do cats purr?"}
    assert request.schema is None and request.sample == 2


def test_every_register_has_instructions_of_its_own() -> None:
    def told(**changed: Any) -> str:
        request = answer_request("Why?", cell(**changed), persona_prompt="", examples=[], sample=0)
        return request.messages[0]["content"]

    assert "no jokes" in told(register="grave")
    assert "Decline" in told(register="safety")
    assert "Stay as you are" in told(register="break_character")
    assert "answer in English" in told(register="other_language")
    assert "用中文回答" in told(register="other_language", language="zh")
    assert "JSON object" in told(register="format", form="json")
    assert "at most 15 words" in told(length="short", words=(1, 15))
    registers = {told(register=register) for register in REGISTERS if register != "format"}
    assert len(registers) == len(REGISTERS) - 1
    assert "earlier turns" not in told()
    assert not [c for c in told(language="zh") if c.isascii() and c.isalpha()]


def test_the_twin_is_asked_without_any_persona() -> None:
    request = plain_request("Why do cats purr?", 0)
    assert request.messages == ({"role": "user", "content": "Why do cats purr?"},)
    assert request.schema is None
    assert plain_request("Why do cats purr?", 1) != request


def test_examples_take_turns_and_differ_from_each_other() -> None:
    questions = [f"What about topic {number}?" for number in range(40)]
    chosen = [choose_examples(SEEDS, question, 0) for question in questions]
    assert chosen == [choose_examples(SEEDS, question, 0) for question in questions]
    assert {found[0].instruction for found in chosen} == {seed.instruction for seed in SEEDS}
    twins = {SEEDS[0].instruction, SEEDS[1].instruction}
    assert not [found for found in chosen if {s.instruction for s in found[:2]} == twins]
    assert choose_examples(SEEDS, questions[0], 0)[0] != choose_examples(SEEDS, questions[0], 1)[0]


def test_a_seed_that_asks_the_same_is_no_example() -> None:
    shown = choose_examples(SEEDS, "Why is the sky so blue?", 0)
    assert len(shown) == 4 and SEEDS[0] not in shown
    assert choose_examples([], "Why?", 0) == []
    assert choose_examples(SEEDS[:1], "Why is the sky blue?", 0) == []
    many = [Seed(instruction=f"Ask {n} of {n + 7}?", output=f"Say {n}.") for n in range(30)]
    assert len(choose_examples(many, "Why do cats purr?", 0)) == 8
