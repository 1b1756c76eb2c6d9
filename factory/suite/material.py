"""What is asked and what is read: cases, texts and training answers, put together from one persona."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from factory.artifacts import Row, hash_json
from factory.contracts import Case, Expect, Message
from factory.questions import (
    ChoiceExpected,
    NumberExpected,
    PatternExpected,
    Question,
    SchemaExpected,
)
from factory.suite import items
from factory.suite.items import Script

T = TypeVar("T")

ANSWERED = 20
"""Held-out rows are answered too until this many cases are reached."""

ESCALATED = 40
"""The same after the escalation, as far as there are spare rows."""

TRAINED = 128
"""Training rows that are looked at again: for overfitting, memorisation, and the style of the base. With 56
instead of the 112 rows of `concise` the folds alone decided whether its style is clear: AUC 0.69 to 0.80."""

RECITED = 16
"""Training questions that are asked again, to see what is recited."""


@dataclass(frozen=True, slots=True)
class Material:
    """Everything the arms are measured with."""

    cases: tuple[Case, ...]
    """The persona's questions, then held-out rows."""
    spare: tuple[Case, ...]
    """More held-out rows, for the escalation: test rows first, then validation rows."""
    suites: tuple[Case, ...]
    """Items of the suites, answered greedily."""
    scripts: tuple[Script, ...]
    """Long conversations."""
    held_out: tuple[Row, ...]
    """Test rows."""
    train: tuple[Row, ...]
    """Some training rows, evenly spread."""
    trained: tuple[Case, ...]
    """Questions of some of these rows, to see what is recited."""
    answers: tuple[str, ...]
    """The persona's answers in all training rows."""
    general: tuple[tuple[str, str], ...]
    """Plain texts by id."""
    neutral: tuple[Case, ...]
    """Everyday questions, for drift."""
    refusals: tuple[str, ...]
    """Short refusals, for the teacher-forced probe."""

    @property
    def asked(self) -> dict[str, Case]:
        """Every case by id."""
        return {c.id: c for c in (*self.cases, *self.spare, *self.suites, *self.trained)}


def material(
    questions: Sequence[Question],
    test: Sequence[Row],
    validation: Sequence[Row],
    train: Sequence[Row],
    *,
    language: str,
    suites: Sequence[str],
) -> Material:
    """Choose what is asked.

    Args:
        questions: The persona file's.
        test: Held-out rows.
        validation: Rows that only chose when training stopped; spare ones for the escalation.
        train: Rows that were trained on.
        language: Two-letter code; decides the suites' items.
        suites: Names of the suites that are asked.
    """
    asked = [question_case(number, question) for number, question in enumerate(questions, 1)]
    rows = [row_case(row) for row in (*test, *validation)]
    room = max(0, ANSWERED - len(asked))
    now = rows[: min(room, len(test))]
    later = rows[len(now) :][: max(0, ESCALATED - len(asked) - len(now))]
    return Material(
        cases=(*asked, *now),
        spare=tuple(later),
        suites=tuple(case for name in suites for case in items.suite(name, language)),
        scripts=tuple(items.scripts(language)) if "hold" in suites else (),
        held_out=tuple(test),
        train=tuple(evenly(train, TRAINED)),
        trained=tuple(
            replace(row_case(row), id=f"trained:{row['id']}", suite="trained")
            for row in evenly(train, RECITED)
        ),
        answers=tuple(row["messages"][-1]["content"] for row in train),
        general=tuple(items.general(language)),
        neutral=tuple(items.neutral(language)),
        refusals=tuple(items.refusal_texts(language)),
    )


def evenly(found: Sequence[T], most: int) -> list[T]:
    """At most so many of them, from all parts of the list."""
    count = min(len(found), most)
    return [found[number * len(found) // count] for number in range(count)]


def question_case(number: int, question: Question) -> Case:
    """A question of the persona file; its reference is the first accepted text, where there is one."""
    expect = expected(question)
    reference = expect[0] if isinstance(expect, tuple) else None
    return Case(
        f"question {number}",
        [{"role": "user", "content": question.ask}],
        expect,
        stratum=question.stratum,
        reference=reference,
    )


def row_case(row: Row) -> Case:
    """A held-out row: its last answer is the reference."""
    *history, answer = row["messages"]
    return Case(row["id"], history, stratum="row", reference=answer["content"])


def expected(question: Question) -> Expect | None:
    """What a question expects, in the form that graders take."""
    match question.expect:
        case NumberExpected(number=number, tolerance=tolerance):
            return {"number": number, "tolerance": tolerance}
        case ChoiceExpected(choice=choice, options=options):
            return {"choice": choice, "options": dict(options)}
        case PatternExpected(pattern=pattern):
            return {"pattern": str(pattern)}
        case SchemaExpected(json_schema=schema):
            return {"json_schema": schema}
        case str(text):
            return (text,)
        case None:
            return None
        case texts:
            return tuple(texts)


def question_text(case: Case) -> str:
    """What the user asks last."""
    return case.messages[-1]["content"]


def with_answer(messages: Sequence[Message], answer: str) -> list[Message]:
    """A conversation that ends with this answer."""
    return [*messages, {"role": "assistant", "content": answer}]


def seed(random_seed: int, *parts: str | int) -> int:
    """A random seed of 63 bits that depends on all parts; the same on every machine."""
    text = "\0".join(map(str, (random_seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def fingerprint(cases: Sequence[Case]) -> str:
    """Hash of what is asked and what is right: two scorecards compare only if it is equal."""
    plain: list[Any] = [
        [c.id, list(c.messages), list(c.expect) if isinstance(c.expect, tuple) else c.expect]
        for c in cases
    ]
    return hash_json(plain)
