"""What a teacher is asked for questions, answers and plain twins; `VERSION` is part of the ledger's key."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from factory.contracts import Message, Request
from factory.pairs.cells import Cell
from factory.pairs.listing import parse_questions
from factory.pairs.phrases import foreign, name_of, phrases
from factory.rows.similarity import Read, likeness, read, similarity
from factory.spec import Seed

__all__ = [
    "VERSION", "answer_request", "choose_examples", "parse_questions", "plain_request",
    "questions_request",
]  # fmt: skip

VERSION = 1
"""Raise it when the same cell is asked for in other words: old answers are then not reused."""

MOST_EXAMPLES = 8
_LIKE_THE_QUESTION = 0.7
"""Likeness of a seed to the question from which it is no example: it would be copied."""

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"questions": {"type": "array", "items": {"type": "string"}}},
    "required": ["questions"],
    "additionalProperties": False,
}


def questions_request(
    cell: Cell, count: int, *, language: str, domain: str, avoid: Sequence[str], sample: int
) -> Request:
    """Ask for questions of one cell; the writer is told nothing of the persona.

    Args:
        cell: What kind of questions, and about what.
        count: How many.
        language: Two-letter code of the answers.
        domain: What people come with, in neutral words.
        avoid: Questions that are there already.
        sample: How often this cell was asked for before; every time other people write otherwise.
    """
    words = phrases(language)
    start = _number(cell.id)
    asked_in = foreign(language) if cell.register == "other_language" else language
    kind = words["kinds"].get(cell.register, "")
    special = cell.register in ("format", "break_character")
    first = sample * count
    many = min(count, len(cell.topics))
    topics = [cell.topics[(first + k) % len(cell.topics)] for k in range(many)]
    listed = "\n".join(f"- {' '.join(text.split())}" for text in avoid)
    text = words["writer"].format(
        count=count,
        domain=domain,
        intent=words["intents"][cell.intent],
        kind=kind.format(form=words["forms"].get(cell.form), language=name_of(asked_in, language)),
        topics="\n".join(f"- {topic}" for topic in topics),
        people=words["people"][(start + sample) % len(words["people"])],
        way=words["ways"][(start + sample) % len(words["ways"])],
        neutral="" if special else words["neutral"],
        language=name_of(asked_in, language),
        avoid=words["avoid"].format(questions=listed) if avoid else "",
    )
    return Request(
        messages=({"role": "user", "content": text},),
        max_tokens=200 + 80 * count,
        temperature=1.0,
        seed=_number(f"{cell.id}|{sample}"),
        schema=_SCHEMA,
        sample=sample,
    )


def answer_request(
    question: str, cell: Cell, *, persona_prompt: str, examples: Sequence[Seed], sample: int
) -> Request:
    """Ask for one answer in the persona's voice, as plain text.

    Args:
        question: What the user says.
        cell: How long the answer is, and in which register.
        persona_prompt: The persona's system prompt; may be empty.
        examples: Seeds shown as earlier turns.
        sample: Which of several answers to the same question this is.
    """
    words = phrases(cell.language)
    language = name_of(cell.language, cell.language)
    low, high = cell.words
    told = [words["examples"]] if examples else []
    if cell.register in words["registers"]:
        told.append(words["registers"][cell.register].format(language=language))
    if cell.form:
        told.append(words["form"].format(form=words["forms"][cell.form]))
    # a list or a JSON object is as long as what it holds
    upper_only = cell.form or cell.length == "short"
    bound = words["length_at_most"] if upper_only else words["length"]
    told.append(bound.format(low=low, high=high))
    told += [words["language"].format(language=language), words["quiet"]]
    joint = "" if cell.language == "zh" else " "
    system = "\n\n".join(part for part in (persona_prompt, joint.join(told)) if part)
    messages: list[Message] = [{"role": "system", "content": system}]
    for seed in examples:
        messages += _turns(seed)
    return Request(
        messages=(*messages, {"role": "user", "content": question}),
        max_tokens=64 + 3 * high,
        temperature=0.9,
        seed=_number(f"{question}|{sample}"),
        sample=sample,
    )


def plain_request(question: str, sample: int) -> Request:
    """Ask the same without any persona: the twin that an answer is compared with."""
    return Request(
        messages=({"role": "user", "content": question},),
        max_tokens=400,
        temperature=0.7,
        seed=_number(f"plain|{question}|{sample}"),
        sample=sample,
    )


def choose_examples(seeds: Sequence[Seed], question: str, sample: int) -> list[Seed]:
    """At most eight seeds to show with a question, each as unlike those before it as possible.

    The first one depends on the question and the sample, so that seeds take turns; seeds that ask
    nearly the same as the question are left out. Take as many from the front as are to be shown.
    """
    asked = read(question)
    fit = [s for s in seeds if likeness(read(s.instruction), asked) < _LIKE_THE_QUESTION]
    waiting = [(seed, _read(f"{seed.instruction}\n{seed.output}")) for seed in fit]
    if not waiting:
        return []
    chosen = [waiting.pop((_number(question) + sample) % len(waiting))]
    while waiting and len(chosen) < MOST_EXAMPLES:
        nearest = [max(similarity(text, other) for _, other in chosen) for _, text in waiting]
        chosen.append(waiting.pop(nearest.index(min(nearest))))
    return [seed for seed, _ in chosen]


def _turns(seed: Seed) -> list[Message]:
    asked = f"{seed.instruction}\n\n{seed.input}" if seed.input.strip() else seed.instruction
    turns: list[Message] = []
    for user, assistant in [*seed.history, (asked, seed.output)]:
        turns += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    return turns


def _number(text: str) -> int:
    """A number below 2^31 that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) & 0x7FFFFFFF


@lru_cache(512)
def _read(text: str) -> Read:
    return read(text)
