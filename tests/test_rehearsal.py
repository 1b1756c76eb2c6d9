"""What a base is asked while it learns a voice is in its own language, and nothing that judges it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from factory import rehearsal
from factory.rows.similarity import read, similarity
from factory.suite import items

PERSONAS = sorted((Path(__file__).parents[1] / "personas").glob("*.yaml"))


@pytest.mark.parametrize("language", rehearsal.LANGUAGES)
def test_nothing_that_judges_is_rehearsed_or_read(language: str) -> None:
    judged = [
        m["content"]
        for suite in ("forgetting", "safety", "switch", "hold")
        for case in items.suite(suite, language)
        for m in case.messages
    ]
    judged += [turn for script in items.scripts(language) for turn in script.turns]
    judged += [m["content"] for case in items.neutral(language) for m in case.messages]
    for file in PERSONAS:
        judged += [q["ask"] for q in yaml.safe_load(file.read_text("utf-8")).get("questions", [])]
    seen = [read(text) for text in judged]
    for ask in rehearsal.asks(language):
        assert max(similarity(read(ask), other) for other in seen) < 0.82, ask
    general = [read(text) for _, text in items.general(language)]
    for text in rehearsal.prose(language):
        assert max(similarity(read(text), other) for other in general) < 0.55, text


@pytest.mark.parametrize("language", rehearsal.LANGUAGES)
def test_questions_are_many_and_different(language: str) -> None:
    asks = rehearsal.asks(language)
    assert len(asks) == len(set(asks)) >= 128
    assert all(3 <= len(ask) <= 120 and ask == ask.strip() for ask in asks)


def test_a_language_without_texts_has_no_questions_and_english_prose() -> None:
    assert rehearsal.asks("de") == ()
    assert rehearsal.prose("de") == rehearsal.prose("en")
