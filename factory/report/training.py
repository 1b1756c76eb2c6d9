"""What this run's numbers say about the training: too much of it, or no need for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from factory.report.facts import BuildReport, curve_words
from factory.report.words import number, plural

OVERFIT = 0.3
"""Nats per token that tuning may add to the gap between training and held-out rows."""

NEARLY = 0.9
"""Share of the tuned model's style from which a prompt alone does nearly as well."""

SMALL_GAIN = 0.1
"""Nats per token over the prompted base below which the tuning gained little on held-out answers."""


def overfitted(report: BuildReport) -> Iterator[str]:
    """More data, fewer epochs, a lower rate: in this order, with this run's numbers."""
    gap = _added_gap(report)
    curve = curve_words(report).verdict
    if curve != "overfitting" and (gap is None or gap <= OVERFIT):
        return
    seen = (
        f"the gap between training and held-out rows grew by {number(gap)} nats per token"
        if gap is not None and gap > OVERFIT
        else "the held-out loss stopped falling while the training loss fell on"
    )
    rows = (report.dataset.get("splits") or {}).get("train")
    yield (
        f"Overfitting: {seen}. First, more data: "
        + (
            f"{plural(rows, 'row')} trained it, about {2 * rows:,} different ones"
            if rows
            else "rows"
        )
        + " would help most."
    )
    settings = {entry["name"]: entry.get("value") for entry in report.plan}
    epochs, rate = settings.get("epochs"), settings.get("learning_rate")
    if isinstance(epochs, int | float) and epochs > 1:
        wanted, why = _epochs(report, float(epochs))
        yield f"Second, fewer passes: tune.epochs {wanted} instead of {epochs:g}{why}."
    if isinstance(rate, int | float):
        yield f"Third, a lower rate: tune.learning_rate {rate / 2:.2g} instead of {rate:g}."


def _added_gap(report: BuildReport) -> float | None:
    """What tuning added to the gap between held-out and training loss, nats per token."""
    values = _values(report, "overfit")
    tuned = values.get("tuned")
    if tuned is None:
        return None
    before = values.get("prompted") if values.get("prompted") is not None else values.get("base")
    return tuned - (before or 0.0)


def _epochs(report: BuildReport, epochs: float) -> tuple[int, str]:
    """The epoch at which the held-out loss was lowest, else two thirds of the epochs."""
    held = [m for m in report.metrics if m.get("validation_loss") is not None and m.get("epoch")]
    best = min(held, key=lambda m: m["validation_loss"], default=None)
    if best and math.ceil(best["epoch"]) < epochs:
        return math.ceil(best["epoch"]), ", where the held-out loss was lowest"
    return max(1, round(epochs * 2 / 3)), ""


def prompt_alone(report: BuildReport) -> Iterator[str]:
    """Says so where a system prompt does nearly all that tuning did."""
    style, perplexity = _values(report, "style"), _values(report, "perplexity")
    base, prompted, tuned = (style.get(arm) for arm in ("base", "prompted", "tuned"))
    if base is None or prompted is None or tuned is None:
        return
    gain, noise = tuned - base, _metric(report, "style").get("spread") or 0.0
    if gain <= noise or prompted - base < NEARLY * gain:
        return
    before, after = perplexity.get("prompted"), perplexity.get("tuned")
    if before and after and math.log(before / after) > SMALL_GAIN:
        return
    share = min((prompted - base) / gain, 1.0)
    tokens = (report.scorecard.get("style") or {}).get("prompt_tokens")
    cost = f", for {tokens} tokens a request" if tokens else ""
    yield (
        f"A prompt alone gives you {number(share, 'share')} of this style{cost}: you may not need "
        "the tuned model."
    )


def _metric(report: BuildReport, name: str) -> dict[str, Any]:
    metrics: list[dict[str, Any]] = report.scorecard.get("metrics") or []
    return next((metric for metric in metrics if metric.get("name") == name), {})


def _values(report: BuildReport, name: str) -> dict[str, float | None]:
    return dict(_metric(report, name).get("values") or {})
