"""Whether the measurement itself can be trusted: finite likelihoods, real answers, a quiet A/A."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from factory.contracts import Case
from factory.suite.scores import Instrument, Measured, Scores
from factory.suite.statistics import holm, sign_flip

DISTINCT = 5
"""From so many different questions on, one and the same answer to all of them is no answer."""

LOUD = 0.001
"""Level of the A/A test over all metrics: it must fail only when something is really broken, for it
is run with every evaluation."""


def sound(
    cases: Sequence[Case], measured: Mapping[str, Measured], scores: Sequence[Scores]
) -> list[Instrument]:
    """Look at what was measured before anything is concluded from it."""
    return [_finite(measured), _answered(cases, measured), _quiet(scores)]


def _finite(measured: Mapping[str, Measured]) -> Instrument:
    bad = [
        f"{arm} on {texts} {item}"
        for arm, found in measured.items()
        for texts, ones in found.likelihoods.items()
        for item, one in ones.items()
        if not math.isfinite(one.nll)
    ]
    rule = "every log-likelihood is a number"
    if bad:
        return Instrument(
            "likelihoods_finite", rule, False, f"{len(bad)} are not, the first: {bad[0]}"
        )
    return Instrument("likelihoods_finite", rule, True, "all are")


def _answered(cases: Sequence[Case], measured: Mapping[str, Measured]) -> Instrument:
    rule = "the arms say something, and not the same to every question"
    for arm in ("tuned", "previous"):
        if arm not in measured:
            continue
        texts = [measured[arm].answers[c.id].greedy.text.strip() for c in cases]
        if texts and not any(texts):
            return Instrument("answers", rule, False, f"every answer of {arm} is empty")
        if len(texts) >= DISTINCT and len(set(texts)) == 1:
            seen = f'{arm} answers "{texts[0][:60]}" to all {len(texts)} questions'
            return Instrument("answers", rule, False, seen)
    return Instrument("answers", rule, True, "they do")


def _quiet(scores: Sequence[Scores]) -> Instrument:
    """The base against itself, with other random numbers and in another order."""
    rule = f"the base does not differ from itself (exact sign-flip tests, {LOUD:g} after Holm)"
    tested = {}
    for one in scores:
        pairs = one.paired("again", "base")
        if len(pairs) >= DISTINCT:
            differences = [a - b for _, a, b in pairs]
            tested[one.label] = 2 * min(
                sign_flip(differences), sign_flip([-d for d in differences]), 0.5
            )
    if not tested:
        return Instrument("a_a", rule, None, "too few items")
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    worst = min(adjusted, key=lambda name: adjusted[name])
    seen = f"the largest difference is in {worst.lower()} (p {adjusted[worst]:.2g} after Holm)"
    return Instrument("a_a", rule, adjusted[worst] > LOUD, seen)
