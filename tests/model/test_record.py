"""A model is held to a record on what both were asked, by scorers that see both, at either look."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from factory.artifacts import Row
from factory.base import Base
from factory.graders.rules import Rules
from factory.model.examine import Local, Persona, examine
from factory.questions import Question
from factory.spec import Evaluate, Margins, MaxWords, Rule
from factory.suite.cache import Cache
from factory.suite.material import material
from factory.suite.record import Record
from tests.suite.texts import rows, usual

NARROW = Margins(form=0.01, rules=0.01)
"""So narrow that one look at a few questions never decides."""

QUESTIONS = [Question(ask=ask) for ask, _ in rows("tutor")[:6]]
BRIEF: list[Row] = [
    {
        "id": f"rows.jsonl:{n}",
        "messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}],
        "twin": plain,
    }
    for n, ((ask, answer), plain) in enumerate(zip(rows("concise"), usual(), strict=False))
][:48]
RULES: tuple[Rule, ...] = (MaxWords(max_words=5),)
SAMPLED = ("style", "rules", "relevance", "stop_rate", "non_empty", "no_repetition", "language")

Look = Callable[..., tuple[dict[str, Any], Record | None]]


@pytest.fixture(scope="module")
def look(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Examines a base that is told to be brief, in the place of a tuned model."""
    home = tmp_path_factory.mktemp("home")
    base = Base("tiny", tiny_llama, None)

    def run(
        *,
        validation: Sequence[Row] = BRIEF[:4],
        train: Sequence[Row] = BRIEF[10:30],
        rules: tuple[Rule, ...] = RULES,
        samples: int = 4,
        **more: Any,
    ) -> tuple[dict[str, Any], Record | None]:
        config = Evaluate(
            suites=(), max_new_tokens=8, samples=samples, most_samples=6, margins=NARROW
        )
        asked = material(QUESTIONS, [], validation, train, language="en", suites=())
        with Cache(home / "measured.sqlite") as cache:
            card, _, record = examine(
                config,
                asked,
                Persona("Be brief.", "Brief.", (), rules, "en", {"temperature": 0.9}, 17),
                base=base,
                candidate=Local("brief@1", tiny_llama, "digest", "Be brief."),
                previous=None,
                graders=[Rules(rules, "en")],
                ledger=home / "factory.sqlite",
                cache=cache,
                progress=lambda **_: None,
                **more,
            )
        return card, record

    return run


@pytest.fixture(scope="module")
def record(look: Look) -> Record:
    """Of the same model, as it is read from a file."""
    _, kept = look(keep=True, samples=6)
    assert kept is not None
    return Record.parse(json.loads(json.dumps(kept.as_dict())))


def held(card: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Sampled checks against the record, by metric."""
    assert [gate for gate in card["gates"] if gate["verdict"] == "INVALID"] == []
    found = {gate["name"]: gate for gate in card["gates"] if gate["against"] == "previous"}
    return {name: found[name] for name in SAMPLED}


def tuned(card: dict[str, Any], name: str) -> float:
    (found,) = (metric for metric in card["metrics"] if metric["name"] == name)
    value: float = found["values"]["tuned"]
    return value


def test_a_first_look_is_compared_on_what_it_asked(look: Look, record: Record) -> None:
    card, _ = look(record=record, samples=6)
    assert card["looks"] == 1
    assert len(record.asked) == len(QUESTIONS) + 4
    assert {check["n"] for check in held(card).values()} == {len(QUESTIONS)}


def test_a_second_look_is_compared_on_all_that_it_asked(look: Look, record: Record) -> None:
    card, _ = look(record=record)
    assert card["looks"] == 2
    assert {check["n"] for check in held(card).values()} == {len(QUESTIONS) + 4}


def test_a_row_that_became_another_is_not_asked_beside_a_record(look: Look, record: Record) -> None:
    other: Row = {**BRIEF[0], "messages": BRIEF[7]["messages"]}
    card, _ = look(record=record, validation=[other, *BRIEF[1:4]])
    assert card["looks"] == 2
    assert {check["n"] for check in held(card).values()} == {len(QUESTIONS) + 3}


def test_a_model_does_not_differ_from_its_own_record_after_data_and_rules_changed(
    look: Look, record: Record
) -> None:
    """Its scores did, for the style scorer and the rules are others: on both sides alike."""
    before, _ = look(record=record, samples=6)
    after, _ = look(
        record=record, samples=6, train=BRIEF[20:48], rules=(*RULES, MaxWords(max_words=3))
    )
    for card in (before, after):
        assert {check["estimate"] for check in held(card).values()} <= {0.0, None}
        assert held(card)["style"]["estimate"] == 0.0
    for name in ("style", "rules"):
        assert tuned(before, name) != tuned(after, name)
