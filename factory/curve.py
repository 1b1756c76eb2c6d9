"""The verdict on a loss curve, in plain words, each with its remedy."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

NOISE = 0.35
"""Spread of the loss around its own trend, relative to the whole fall, above which it is too noisy."""

FLAT = 0.03
"""Relative fall of the loss below which it counts as flat."""

OVERFIT = 0.02
"""Relative rise of the held-out loss above its best from which the run counts as overfitting;
so does a run that stopped early because the held-out loss had ceased to fall."""

REMEDIES = {
    "falling and stable": "nothing to do",
    "too noisy": "lower tune.learning_rate, or raise tune.batch_size",
    "rising": "lower tune.learning_rate by a factor of three; check the data for contradictions",
    "flat": "raise tune.learning_rate by a factor of three, or add tune.epochs",
    "overfitting": "use fewer tune.epochs or a lower tune.learning_rate, or add more varied rows",
}


def judge(metrics: Sequence[dict[str, Any]], best_step: int, stopped_early: bool) -> dict[str, Any]:
    """Look at a finished run.

    Args:
        metrics: Entries with `step` and `loss` or `validation_loss`, in order.
        best_step: The update whose adapter was kept.
        stopped_early: Whether training ended before its last planned update.

    Returns:
        `verdict`, `explanation`, `remedy`, and `applied`: what was already done about it, or None.
    """
    losses = [m["loss"] for m in metrics if "loss" in m]
    held_out = [(m["step"], m["validation_loss"]) for m in metrics if "validation_loss" in m]
    third = max(1, len(losses) // 3)
    begin, end = statistics.fmean(losses[:third]), statistics.fmean(losses[-third:])
    numbers = f"the loss went from {begin:.2f} to {end:.2f} nats per token"
    applied = None
    if held_out:
        first, best, last = held_out[0][1], min(v for _, v in held_out), held_out[-1][1]
        numbers += f", the held-out loss from {first:.2f} to {last:.2f} (best {best:.2f})"
        if best_step < metrics[-1]["step"]:
            applied = f"kept the adapter of update {best_step}, where the held-out loss was lowest"
            if stopped_early:
                applied += ", and stopped early"
    verdict = _verdict(losses, begin, end, held_out, stopped_early)
    return {
        "verdict": verdict,
        "explanation": numbers,
        "remedy": REMEDIES[verdict],
        "applied": applied,
    }


def _verdict(
    losses: Sequence[float],
    begin: float,
    end: float,
    held_out: Sequence[tuple[int, float]],
    stopped_early: bool,
) -> str:
    fall = begin - end
    if fall < -FLAT * begin:
        return "rising"
    if fall < FLAT * begin:
        return "flat"
    if held_out:
        best = min(v for _, v in held_out)
        if stopped_early or held_out[-1][1] > best * (1 + OVERFIT):
            return "overfitting"
    steps = [b - a for a, b in pairwise(losses)]
    # Successive differences measure noise without the trend (von Neumann 1941).
    spread = (statistics.fmean(s * s for s in steps) / 2) ** 0.5 if steps else 0.0
    return "too noisy" if spread > NOISE * max(fall, 0.15 * begin) else "falling and stable"
