"""The verdict on a loss curve, each with its remedy."""

from __future__ import annotations

import math
from typing import Any

import pytest

from factory.curve import judge


def run(losses: list[float], held_out: list[float] | None = None) -> list[dict[str, Any]]:
    metrics: list[dict[str, Any]] = [{"step": i, "loss": v} for i, v in enumerate(losses, 1)]
    every = max(1, len(losses) // len(held_out)) if held_out else 0
    for k, value in enumerate(held_out or [], 1):
        metrics.append({"step": k * every, "validation_loss": value})
    return sorted(metrics, key=lambda m: m["step"])


def wobble(amount: float, count: int = 60) -> list[float]:
    return [4 - i * 0.02 + amount * math.sin(i * 2.5) for i in range(count)]


CURVES = {
    "falling and stable": run(wobble(0.05), [3.8, 3.5, 3.4]),
    "too noisy": run(wobble(2.0)),
    "rising": run([3 + i * 0.05 for i in range(60)]),
    "flat": run([3.0 + 0.001 * (i % 2) for i in range(60)]),
    "overfitting": run(wobble(0.05), [3.6, 3.4, 3.9]),
}


@pytest.mark.parametrize("verdict", CURVES)
def test_each_kind_of_curve_is_recognised_and_has_a_remedy(verdict: str) -> None:
    found = judge(CURVES[verdict], best_step=60, stopped_early=False)
    assert found["verdict"] == verdict
    assert found["remedy"]
    assert "nats" in found["explanation"]


def test_what_was_done_about_it_is_said() -> None:
    found = judge(CURVES["overfitting"], best_step=40, stopped_early=True)
    assert "update 40" in found["applied"]
    assert "stopped early" in found["applied"]
    assert judge(CURVES["falling and stable"], 60, False)["applied"] is None
