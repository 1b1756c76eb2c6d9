"""The gate: from measured arms to PASS, REGRESSION, INCONCLUSIVE or INVALID, with reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from factory.spec import Evaluate
from factory.suite import breaks, comparisons, validity
from factory.suite.breaks import Confirm
from factory.suite.checks import ALPHA, ARM_WORDS, Check, Verdict
from factory.suite.comparisons import Comparison, Draft
from factory.suite.scores import Instrument, Scores
from factory.suite.statistics import holm

__all__ = ["Check", "Confirm", "Decision", "Verdict", "gate", "gates", "spread"]

LOOKS = (0.025, 0.025)
"""Part of ALPHA that each look at sampled or judged answers may spend. What is deterministic is the
same at both looks, so that it is tested at ALPHA itself."""

LEAST_PERPLEXITY = 0.02
LEAST_STYLE = 0.25
"""Margins against the release served now are shares of what it gained, but at least this (nats per
token; logit): one that gained little need not be matched to the last digit."""

LARGE_STYLE = 1.0
"""Share of the style margin that a loss against the release served now must reach to be a regression;
less leaves it undecided. Fifteen harmless changes of a tune (another seed, an epoch fewer, another rank)
moved it by 0.12 (root mean square, logit; `benchmarks/gate_harmless.py`): half of the least margin."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict, in one or two sentences and check by check."""

    verdict: Verdict
    summary: str
    checks: tuple[Check, ...]
    undecided: tuple[str, ...]
    """Metrics that more samples could decide; empty at the last look."""


@dataclass(frozen=True, slots=True)
class _Gate:
    """How one metric is tested; against the release served now it must never be worse."""

    metric: str
    margin: str
    """Field of `Margins`."""
    test: Literal["falls", "wins", "not_worse", "passes", "budget"] = "not_worse"
    against: tuple[str, ...] = ("base",)
    noun: str = "questions"
    """What was asked."""
    sampled: bool = True
    """Whether more samples could decide it."""
    twice: bool = False
    """Whether a second look sees more of it although nothing is sampled: the judge reads the most
    likely answer to every question, and more questions are asked."""
    breaks: tuple[str, ...] = ()
    """Arms against which no single question may break."""
    large: float = 0.5
    """Share of the margin from which a significant loss against the release served now regresses."""


_BOTH = ("base", "previous")
_GATES = (
    _Gate("perplexity", "perplexity", "falls", ("base", "prompted"), "held-out answers", False),
    _Gate("style", "style", "wins", large=LARGE_STYLE),
    # That the base keeps a rule which it was never told is luck, nothing to lose.
    _Gate("rules", "rules", breaks=("previous",)),
    # A voice has words of its own, so that relevance is held to the base that was told of the voice.
    _Gate("relevance", "relevance", against=("prompted",)),
    _Gate("accuracy", "accuracy", breaks=_BOTH),
    _Gate("stop_rate", "form", breaks=_BOTH),
    _Gate("non_empty", "form", breaks=_BOTH),
    _Gate("no_repetition", "form", breaks=_BOTH),
    _Gate("language", "form", breaks=_BOTH),
    _Gate("forgetting", "forgetting", "passes", ("prompted",), "items", sampled=False),
    _Gate("safety", "safety", "passes", ("prompted",), "items", sampled=False),
    # Every voice leaves plain answers behind; how far it may go from the base, `drift` says.
    _Gate("plain", "plain", against=(), noun="plain answers", sampled=False),
    _Gate("general", "plain", noun="texts", sampled=False),
    _Gate("drift", "drift", "budget", (), "answers of the base", sampled=False),
    _Gate("judge_relevance", "relevance", sampled=False, twice=True),
    _Gate("judge_accuracy", "accuracy", sampled=False, twice=True),
)
_SAMPLED = frozenset(entry.metric for entry in _GATES if entry.sampled)
_TESTS: dict[str, Callable[[Comparison], Draft]] = {
    "falls": comparisons.must_fall,
    "wins": comparisons.must_win,
    "not_worse": comparisons.not_worse,
    "passes": comparisons.passes,
    "budget": comparisons.within_budget,
}
_ORDER: tuple[Verdict, ...] = ("INVALID", "REGRESSION", "INCONCLUSIVE")


def gates(name: str) -> bool:
    """Whether a metric may decide; the others are only shown."""
    return any(entry.metric == name for entry in _GATES)


def spread(metric: Scores) -> float | None:
    """A/A: how far the base's mean moved when it was asked once more; None where it was not."""
    base, again = metric.mean("base"), metric.mean("again")
    return None if base is None or again is None else abs(again - base)


def gate(
    config: Evaluate,
    scores: Sequence[Scores],
    instruments: Sequence[Instrument],
    *,
    look: int = 1,
    confirm: Confirm | None = None,
) -> Decision:
    """Decide.

    Args:
        config: Margins, suites, and whether there is a second look (`most_samples`).
        scores: What was measured; perplexity and the other likelihoods in nats per token.
        instruments: What was shown about the instruments.
        look: 1, or 2 once more answers were drawn.
        confirm: Draws five fresh answers of the tuned model to each suspect question; without it
            these stay undecided.

    Returns:
        The worst of all checks: INVALID, then REGRESSION, then INCONCLUSIVE, then PASS.
    """
    measured = {metric.name: metric for metric in scores if _has_values(metric)}
    looks = 2 if config.most_samples > config.samples else 1
    checks = [
        *validity.broken_instruments(instruments),
        *validity.missing(config, measured, _SAMPLED),
    ]
    drafts: list[Draft] = []
    for entry in _GATES:
        metric = measured.get(entry.metric)
        idle = validity.not_gated(entry.metric, instruments)
        if idle and (metric or entry.metric == "style"):
            checks.append(idle)
        elif metric and (broken := validity.unusable(metric, _arms(entry, metric))):
            checks.append(broken)
        elif metric:
            again = looks == 2 and (entry.sampled or entry.twice)
            alpha = LOOKS[look - 1] if again else ALPHA
            drafts += _compare(config, entry, metric, alpha)
    checks = _without_breaks([*checks, *_settled(drafts)], measured, confirm)
    found = {check.verdict for check in checks}
    verdict: Verdict = next((worst for worst in _ORDER if worst in found), "PASS")
    last = verdict != "INCONCLUSIVE" or look == looks
    undecided = () if last else tuple(dict.fromkeys(c.name for c in checks if _by_samples(c)))
    return Decision(verdict, _summary(verdict, checks), tuple(checks), undecided)


def _has_values(metric: Scores) -> bool:
    return any(map(metric.item_means, metric.values)) or any(metric.unscored.values())


def _arms(entry: _Gate, metric: Scores) -> list[str]:
    return [*entry.against, *(["previous"] if metric.item_means("previous") else [])]


def _compare(config: Evaluate, entry: _Gate, metric: Scores, alpha: float) -> list[Draft]:
    margin: float = getattr(config.margins, entry.margin)
    if entry.test == "budget":
        return [_TESTS["budget"](Comparison(metric, "", alpha, entry.noun, margin))]
    drafts = []
    for arm in _arms(entry, metric):
        if arm == "previous":
            test = "passes" if entry.test == "passes" else "not_worse"
            most = _share_of_gain(metric, margin)
            given = Comparison(metric, arm, alpha, entry.noun, most, entry.large)
        else:
            test, given = entry.test, Comparison(metric, arm, alpha, entry.noun, margin)
        drafts.append(_TESTS[test](given))
    return drafts


def _share_of_gain(metric: Scores, margin: float) -> float:
    """The margin against the previous release: for perplexity and style a share of its gain."""
    base, prompted, previous = (metric.mean(arm) for arm in ("base", "prompted", "previous"))
    if base is None or previous is None:
        return margin
    if metric.name == "perplexity":
        best = base if prompted is None else min(base, prompted)
        return max(LEAST_PERPLEXITY, margin * (best - previous))
    if metric.name == "style":
        return max(LEAST_STYLE, margin * (previous - base))
    return margin


def _settled(drafts: Sequence[Draft]) -> list[Check]:
    """Checks with Holm's adjustment over all tests of harm; a large and significant loss regresses."""
    adjusted = iter(holm([draft.harm for draft in drafts if draft.harm is not None]))
    checks = []
    for draft in drafts:
        check, p = draft.check, None if draft.harm is None else next(adjusted)
        if check.p is None:
            check = replace(check, p=p)
        may = check.verdict == "INCONCLUSIVE" or (check.verdict == "PASS" and draft.firm)
        if may and draft.large and p is not None and p <= ALPHA:
            seen = f"{check.seen}; worse, p = {p:.2g} after Holm's adjustment"
            check = replace(check.decided("REGRESSION", seen), p=p)
        elif check.verdict == "INCONCLUSIVE":
            check = check.decided("INCONCLUSIVE", check.seen + draft.unsure)
        checks.append(replace(check, items=()) if check.verdict == "PASS" else check)
    return checks


def _without_breaks(
    checks: Sequence[Check], measured: Mapping[str, Scores], confirm: Confirm | None
) -> list[Check]:
    """Checks with the questions that broke; each suspect is asked again once."""
    arms = {entry.metric: entry.breaks for entry in _GATES}
    suspects = {
        (check.name, check.against): breaks.suspects(measured[check.name], check.against)
        for check in checks
        if check.against and check.against in arms[check.name]
    }
    fresh: dict[str, Mapping[str, Sequence[float]]] = {}
    for name in dict.fromkeys(name for name, _ in suspects):
        of_either = [i for (metric, _), items in suspects.items() if metric == name for i in items]
        if of_either and confirm:
            fresh[name] = confirm(name, tuple(dict.fromkeys(of_either)))
    return [
        breaks.confirmed(check, measured[check.name], suspects[of], fresh.get(check.name, {}))
        if (of := (check.name, check.against)) in suspects
        else check
        for check in checks
    ]


def _by_samples(check: Check) -> bool:
    undecided = check.verdict == "INCONCLUSIVE" and check.name in _SAMPLED
    return undecided and (check.estimate is not None or bool(check.items))


def _summary(verdict: Verdict, checks: Sequence[Check]) -> str:
    if verdict == "PASS":
        idle = _listed([check for check in checks if check.passed is None])
        passed = sum(check.passed is True for check in checks)
        return f"All {passed} checks passed." + (f" Not gated: {idle}." if idle else "")
    blamed = [check for check in checks if check.verdict == verdict]
    starts = {
        "INVALID": "The measurement failed, so there is no score:",
        "REGRESSION": "The tuned model is worse than allowed:",
        "INCONCLUSIVE": "The evidence does not decide:",
    }
    first = blamed[0]
    than = f" against {ARM_WORDS[first.against]}" if first.against else ""
    return (
        f"{starts[verdict]} {_listed(blamed)}. For {_words(first)}{than}: {first.seen.rstrip('.')}."
    )


def _listed(checks: Sequence[Check]) -> str:
    return ", ".join(dict.fromkeys(map(_words, checks)))


def _words(check: Check) -> str:
    return check.name.replace("_", " ")
