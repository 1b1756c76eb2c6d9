"""What scores answers: an answer that has no score is not forgotten, and none is scored for what it need not do."""

from __future__ import annotations

from collections.abc import Sequence

from factory.contracts import Case, Reply
from factory.gate import gate
from factory.graders.accuracy import Accuracy
from factory.spec import Evaluate
from factory.suite.material import material
from factory.suite.panel import Panel
from factory.suite.scores import Answers, Measured, Scores
from tests.suite.texts import case

PANEL = Panel((Accuracy((), "en"),), (), "en", None, None, None)
NO_SUITES = material([], [], [], [], language="en", suites=())


def scored(cases: Sequence[Case], said: str) -> dict[str, Scores]:
    """Every metric where all arms say the same to everything."""
    reply = Reply(said, "stop", 9)
    answers = {one.id: Answers(reply, (reply,) * 4) for one in cases}
    arms = ("base", "prompted", "tuned", "again")
    measured = {arm: Measured(dict(answers), {"held_out": {}}) for arm in arms}
    return {one.name: one for one in PANEL.scores(NO_SUITES, cases, measured)}


def test_a_metric_that_no_answer_could_be_scored_on_is_invalid_and_not_left_out() -> None:
    broken = {"json_schema": {"type": "objekt"}}
    found = scored([case(f"q{n}", f"What is {n}?", expect=broken) for n in range(6)], "A fine one.")
    assert found["accuracy"].unscored["tuned"] == 30
    assert not any(found["accuracy"].values.values())
    decision = gate(Evaluate(suites=()), list(found.values()), [])
    assert decision.verdict == "INVALID"
    assert "30 of 30 answers of the tuned model could not be scored" in decision.summary


def test_what_nothing_was_asked_for_is_left_out() -> None:
    found = scored([case(f"q{n}", f"What is {n}?") for n in range(6)], "A fine one.")
    assert not {"accuracy", "perplexity", "forgetting"} & set(found)


def test_an_answer_about_a_language_is_not_held_to_the_personas() -> None:
    translated = case("q0", "How do I say good night in French?")
    found = scored([translated, *(case(f"q{n}", f"What is {n}?") for n in range(1, 6))], "Well.")
    assert set(found["language"].item_means("tuned")) == {"q1", "q2", "q3", "q4", "q5"}
    assert "q0" in found["stop_rate"].item_means("tuned")
