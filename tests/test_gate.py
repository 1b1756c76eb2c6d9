"""The gate decides for reasons a person can check, and a broken instrument is never a score."""

from __future__ import annotations

from typing import Any

import pytest

from factory.gate import Arm, Metric, gate
from factory.spec import Evaluate


def metric(
    name: str, base: float | None, prompted: float | None, tuned: float | None, **more: Any
) -> Metric:
    values: dict[Arm, float | None] = {"base": base, "prompted": prompted, "tuned": tuned}
    return Metric(name, name, "higher", values, more.pop("n", 12), **more)


GOOD = {
    "perplexity": metric("perplexity", 80, 75, 60),
    "accuracy": metric("accuracy", 0.5, 0.5, 0.5, n=8),
    "rules": metric("rules", 0.6, 0.7, 0.9),
    "stop_rate": metric("stop_rate", 0.9, 0.9, 0.95),
}


def decide(
    rows: int = 12, losses: float = 4.0, **changed: Metric
) -> tuple[str, str, list[dict[str, Any]]]:
    held: dict[Arm, list[float]] = {
        "base": [4.4] * rows, "prompted": [4.3] * rows, "tuned": [losses] * rows,
    }  # fmt: skip
    return gate(Evaluate(), [*({**GOOD, **changed}).values()], held)


def test_a_better_model_passes_and_every_check_shows_what_was_seen() -> None:
    verdict, summary, gates = decide()
    assert verdict == "PASS"
    assert "4 checks" in summary
    assert all(g["rule"] and g["seen"] and g["passed"] for g in gates)


@pytest.mark.parametrize(
    ("changed", "blamed"),
    [
        ({"perplexity": metric("perplexity", 80, 75, 76)}, "perplexity"),
        ({"perplexity": metric("perplexity", 60, 75, 70)}, "perplexity"),
        ({"accuracy": metric("accuracy", 0.2, 0.75, 0.5, n=8)}, "accuracy"),
        ({"rules": metric("rules", 0.9, 0.7, 0.8)}, "rules"),
        ({"stop_rate": metric("stop_rate", 0.95, 0.9, 0.4)}, "stop_rate"),
    ],
)
def test_a_worse_model_is_a_regression_that_names_the_check(changed: Any, blamed: str) -> None:
    verdict, summary, gates = decide(**changed)
    assert verdict == "REGRESSION"
    assert blamed in summary
    assert [g["name"] for g in gates if not g["passed"]] == [blamed]


def test_one_question_lost_out_of_eight_is_inside_the_margin() -> None:
    assert decide(accuracy=metric("accuracy", 0.5, 0.5, 0.375, n=8))[0] == "PASS"


def test_too_few_held_out_rows_decide_nothing() -> None:
    verdict, summary, _ = decide(rows=2, perplexity=metric("perplexity", 80, 75, 60, n=2))
    assert verdict == "INCONCLUSIVE"
    assert "only 2" in summary


def test_a_likelihood_that_is_not_a_number_is_a_broken_instrument() -> None:
    assert decide(losses=float("nan"))[0] == "INVALID"


def test_many_ungraded_answers_are_a_broken_instrument_and_not_a_zero() -> None:
    broken = metric("accuracy", 0.5, 0.5, 0.0, n=8, ungraded=6)
    assert decide(accuracy=broken)[0] == "INVALID"


def test_a_base_that_never_stops_does_not_raise_the_bar() -> None:
    assert decide(stop_rate=metric("stop_rate", 0.1, 0.1, 0.5))[0] == "PASS"
