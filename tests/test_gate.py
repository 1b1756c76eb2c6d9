"""The gate decides for reasons a person can check, and a broken instrument is never a score."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from factory.gate import Check, Decision, gate, gates, spread
from factory.spec import Evaluate
from factory.suite.scores import Better, Instrument, Scores
from factory.suite.statistics import non_inferiority

N, K = 16, 5
STYLE = Instrument("style", "tells the voice from plain answers", True, "AUC 0.93")
FORM = ("stop_rate", "non_empty", "no_repetition", "language")

Arms = dict[str, list[list[float]]]


def scores(
    name: str, arms: Arms, unit: str = "share", better: Better = "higher", **more: Any
) -> Scores:
    if name == "relevance" and "base" in arms:  # it is held to the base that was told of the voice
        arms = {"prompted": arms["base"], **arms}
    values = {
        arm: {f"{name}-{i}" if name in ("safety", "forgetting") else f"question {i}": v for i, v in enumerate(found, 1)}
        for arm, found in arms.items()
    }  # fmt: skip
    return Scores(name, name, "content", better, values, unit, **more)


def noisy(mean: float, n: int = N, k: int = K, seed: int = 0, sd: float = 0.1) -> list[list[float]]:
    """Values that differ between items the same way in every arm, and within items by chance."""
    items = np.random.default_rng(1).normal(mean, 0.3, (n, 1))
    return (items + np.random.default_rng(seed).normal(0, sd, (n, k))).tolist()


def right(*counts: int, k: int = K) -> list[list[float]]:
    """Items of k answers of which so many are right."""
    return [[1.0] * count + [0.0] * (k - count) for count in counts]


def rows(
    base: float, tuned: float, n: int = 12, better: Better = "lower", name: str = "perplexity"
) -> Scores:
    def nats(mean: float, seed: int) -> list[list[float]]:
        return noisy(mean, n, 1, seed, 0.03)

    arms = {"base": nats(base, 2), "prompted": nats(base - 0.05, 3), "tuned": nats(tuned, 4)}
    return scores(name, arms, "nats per token", better)


def suite(name: str, lost: int = 0, gained: int = 0, n: int = 64) -> Scores:
    """A suite that the prompted base passes to three quarters."""
    prompted = right(*([1] * (n * 3 // 4) + [0] * (n // 4)), k=1)
    tuned = [*right(*([0] * lost), k=1), *prompted[lost:]]
    tuned[-gained or n :] = right(*([1] * gained), k=1)
    return scores(name, {"base": prompted, "prompted": prompted, "tuned": tuned})


def good() -> dict[str, Scores]:
    """A tuned model that learned its voice and lost nothing."""
    mixed = [5, 5, 5, 4, 5, 5, 0, 0, 5, 5, 5, 5, 0, 5, 5, 5]
    made = [
        rows(3.0, 2.4),
        scores("style", {"base": noisy(-2), "tuned": noisy(2, seed=1)}, ""),
        scores("rules", {"base": noisy(0.6), "tuned": noisy(0.9, seed=1)}),
        scores("relevance", {"base": noisy(0.7), "tuned": noisy(0.7, seed=1)}, ""),
        scores("accuracy", {"base": right(*mixed), "tuned": right(*mixed)}),
        *(scores(name, {"base": right(*[5] * N), "tuned": right(*[5] * N)}) for name in FORM),
        suite("forgetting"),
        suite("safety", n=128),
        rows(2.5, 2.55, name="plain"),
        rows(3.5, 3.52, n=30, name="general"),
        scores("drift", {"tuned": noisy(0.1, 24, 1, sd=0.02)}, "nats per token", "lower"),
    ]
    return {metric.name: metric for metric in made}


def decide(
    *changed: Scores,
    instruments: Sequence[Instrument] = (STYLE,),
    without: Sequence[str] = (),
    config: Evaluate | None = None,
    **more: Any,
) -> Decision:
    measured = {**good(), **{metric.name: metric for metric in changed}}
    found = [metric for name, metric in measured.items() if name not in without]
    return gate(config or Evaluate(), found, instruments, **more)


def blamed(decision: Decision) -> set[tuple[str, str]]:
    return {(c.name, c.against) for c in decision.checks if c.verdict == decision.verdict}


def check(decision: Decision, name: str, against: str = "base") -> Check:
    return next(c for c in decision.checks if (c.name, c.against) == (name, against))


def served(metric: Scores, values: list[list[float]]) -> Scores:
    """The same metric with a release that is served now."""
    items = list(metric.values["tuned"])
    arms = {**metric.values, "previous": dict(zip(items, values, strict=True))}
    return Scores(metric.name, metric.label, metric.family, metric.better, arms, metric.unit)


def all_served() -> list[Scores]:
    """Every metric, with the tuned model itself as the release that is served now."""
    return [served(m, [list(v) for v in m.values["tuned"].values()]) for m in good().values()]


# --- the verdict -------------------------------------------------------------------------------


def test_a_model_that_learned_its_voice_and_lost_nothing_passes() -> None:
    decision = decide()
    assert decision.verdict == "PASS"
    assert all(c.passed and c.rule and c.seen for c in decision.checks)
    assert f"All {len(decision.checks)} checks passed" in decision.summary
    assert decision.undecided == ()


def test_a_model_compared_with_itself_as_the_release_served_now_passes() -> None:
    decision = decide(*all_served())
    assert decision.verdict == "PASS"
    compared = {c.name for c in decision.checks if c.against == "previous"}
    assert compared == set(good()) - {"drift"}
    assert all(
        c.low == 0.0 for c in decision.checks if c.against == "previous" and c.name == "rules"
    )


def test_checks_are_plain_data() -> None:
    found = [c.as_dict() for c in decide(suite("safety", lost=30, n=128)).checks]
    assert json.loads(json.dumps(found)) == found
    keys = {"name", "against", "rule", "passed", "verdict", "seen", "n", "estimate", "low", "high",
            "margin", "detectable", "p", "unit", "items"}  # fmt: skip
    assert set(found[0]) == keys


LOST = [
    (rows(3.0, 3.4), {("perplexity", "base"), ("perplexity", "prompted")}),
    (scores("style", {"base": noisy(0), "tuned": noisy(-1, seed=1)}, ""), {("style", "base")}),
    (scores("rules", {"base": noisy(0.9), "tuned": noisy(0.6, seed=1)}), {("rules", "base")}),
    (scores("relevance", {"base": noisy(0.8), "tuned": noisy(0.4, seed=1)}, ""), {("relevance", "prompted")}),
    (scores("accuracy", {"base": right(*[4] * N), "tuned": right(*[2] * N)}), {("accuracy", "base")}),
    (scores("stop_rate", {"base": right(*[4] * N), "tuned": right(*[1] * N)}), {("stop_rate", "base")}),
    (suite("forgetting", lost=20), {("forgetting", "prompted")}),
    (suite("safety", lost=30, n=128), {("safety", "prompted")}),
    (rows(3.5, 4.2, n=30, name="general"), {("general", "base")}),
    (scores("drift", {"tuned": noisy(0.9, 24, 1)}, "nats per token", "lower"), {("drift", "")}),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "names"), LOST, ids=[metric.name for metric, _ in LOST])
def test_clear_harm_is_a_regression_that_names_metric_and_numbers(
    metric: Scores, names: set[tuple[str, str]]
) -> None:
    decision = decide(metric)
    assert decision.verdict == "REGRESSION"
    assert blamed(decision) == names
    assert metric.name.replace("_", " ") in decision.summary
    bad = check(decision, metric.name, next(iter(names))[1])
    assert bad.passed is False
    assert bad.estimate is not None
    assert bad.estimate < 0  # signed so that negative is worse, whichever way the metric points


@pytest.mark.parametrize("name", [name for name in good() if name not in ("style", "drift")])
def test_what_is_worse_than_the_release_served_now_is_a_regression(name: str) -> None:
    metric = good()[name]
    harm = 0.8 if metric.better == "lower" else -0.8
    tuned = metric.values["tuned"]
    arms = {**metric.values, "previous": tuned}
    arms["tuned"] = {item: [value + harm for value in found] for item, found in tuned.items()}
    decision = decide(Scores(name, name, "content", metric.better, arms, metric.unit))
    assert decision.verdict == "REGRESSION"
    assert (name, "previous") in blamed(decision)


def test_style_may_lose_a_quarter_of_what_the_release_gained() -> None:
    style = good()["style"]
    previous = [list(v) for v in style.values["tuned"].values()]
    # as much as another seed may move it is no regression, however sure it is
    for mean, sd, verdict in (
        (1.5, 0.1, "PASS"), (1.25, 1.0, "INCONCLUSIVE"), (0.0, 0.1, "REGRESSION"),
    ):  # fmt: skip
        arms = {"base": noisy(-2), "tuned": noisy(mean, seed=5, sd=sd)}
        decision = decide(served(scores("style", arms, ""), previous))
        assert decision.verdict == verdict
        assert check(decision, "style", "previous").margin == pytest.approx(1.0, abs=0.05)


# --- what must be better -----------------------------------------------------------------------


def test_the_base_served_instead_of_the_tuned_model_is_noticed() -> None:
    same = noisy(3.0, 12, 1)
    arms = {"base": noisy(3.1, 12, 1), "prompted": same, "tuned": same}
    decision = decide(scores("perplexity", arms, "nats per token", "lower"))
    assert decision.verdict == "REGRESSION"
    assert "no different" in check(decision, "perplexity", "prompted").seen


def test_no_clear_gain_of_likelihood_or_style_decides_nothing() -> None:
    for flat in (
        rows(3.0, 2.95),
        scores("style", {"base": noisy(0), "tuned": noisy(0.01, seed=1)}, ""),
    ):
        decision = decide(flat)
        assert decision.verdict == "INCONCLUSIVE"
        assert {name for name, _ in blamed(decision)} == {flat.name}
    assert decision.undecided == ("style",)  # likelihoods are what they are


def test_too_few_rows_or_questions_say_how_many_are_needed() -> None:
    few = decide(rows(3.0, 2.0, n=4))
    assert few.verdict == "INCONCLUSIVE"
    assert "only 4 held-out answers, 5 are needed" in few.summary
    assert few.undecided == ()
    none = decide(without=["perplexity"])
    assert (none.verdict, blamed(none)) == ("INCONCLUSIVE", {("perplexity", "")})
    three = {
        name: Scores(
            name, name, m.family, m.better,
            {arm: dict(list(v.items())[:3]) for arm, v in m.values.items()}, m.unit,
        )
        for name, m in good().items()
        if name in ("style", "rules", "relevance", "accuracy", *FORM)
    }  # fmt: skip
    persona = decide(*three.values())
    assert persona.verdict == "INCONCLUSIVE"
    assert "only 3" in check(persona, "questions", "").seen


def test_few_questions_with_a_known_answer_do_not_gate_but_still_may_not_break() -> None:
    same = scores("accuracy", {"base": right(5, 5, 4), "tuned": right(5, 5, 3)})
    decision = decide(same)
    assert decision.verdict == "PASS"
    assert check(decision, "accuracy").passed is None
    assert "Not gated: accuracy" in decision.summary
    broken = scores("accuracy", {"base": right(5, 5, 4), "tuned": right(5, 0, 4)})
    assert (
        decide(broken, confirm=lambda _, items: {i: [0.0] * 5 for i in items}).verdict
        == "REGRESSION"
    )


# --- noise is not harm -------------------------------------------------------------------------


def test_a_small_loss_inside_the_margin_passes_and_a_noisy_one_is_undecided() -> None:
    close = scores("relevance", {"base": noisy(0.7), "tuned": noisy(0.66, seed=1, sd=0.05)}, "")
    assert decide(close).verdict == "PASS"
    loud = decide(
        scores("relevance", {"base": noisy(0.7, sd=0.6), "tuned": noisy(0.68, seed=7, sd=0.6)}, "")
    )
    assert loud.verdict == "INCONCLUSIVE"
    assert loud.undecided == ("relevance",)
    undecided = check(loud, "relevance", "prompted")
    assert undecided.passed is None
    assert undecided.detectable is not None
    assert undecided.margin is not None
    assert undecided.detectable > undecided.margin
    assert "could not have shown" in undecided.seen


def test_the_second_look_is_the_last() -> None:
    loud = scores(
        "relevance", {"base": noisy(0.7, sd=0.6), "tuned": noisy(0.68, seed=7, sd=0.6)}, ""
    )
    assert decide(loud, look=2).undecided == ()
    once = Evaluate(samples=4, most_samples=4)
    assert decide(loud, config=once).undecided == ()
    narrow, wide = (
        check(decide(loud, config=once), "relevance", "prompted"),
        check(decide(loud), "relevance", "prompted"),
    )
    assert narrow.low is not None
    assert wide.low is not None
    assert narrow.low > wide.low  # one look may spend all of alpha


def test_what_a_judge_says_is_tested_at_both_looks_too() -> None:
    """At the second one it has read more answers."""
    base, tuned = noisy(0.7, k=1), noisy(0.7, k=1, seed=1)
    judged = scores("judge_accuracy", {"base": base, "tuned": tuned})
    changes = [after[0] - before[0] for before, after in zip(base, tuned, strict=True)]
    works = Instrument("judge", "rejects 80% of planted bad answers", True, "20 of 20")
    for most, alpha in ((12, 0.025), (4, 0.05)):
        config = Evaluate(samples=4, most_samples=most)
        decision = decide(judged, instruments=[STYLE, works], config=config)
        expected = non_inferiority(changes, config.margins.accuracy, alpha)
        assert check(decision, "judge_accuracy").low == pytest.approx(expected.low)


def test_a_run_without_spread_does_not_see_every_loss() -> None:
    same = right(*[5] * 20)
    equal = check(decide(scores("accuracy", {"base": same, "tuned": same})), "accuracy")
    assert equal.estimate == 0
    assert equal.detectable == pytest.approx(1 - 0.025 ** (1 / 20))
    # of what is no share nothing is known
    other = decide(scores("relevance", {"base": same, "tuned": same}, ""))
    assert check(other, "relevance", "prompted").detectable is None
    # the last digit of a mean is no spread
    thirds = [[0.1 + 0.2], [0.3]] * 10
    rounded = scores("accuracy", {"base": [[0.3]] * 20, "tuned": thirds})
    assert check(decide(rounded), "accuracy").detectable == equal.detectable


def test_harm_on_one_of_many_metrics_must_stand_the_adjustment_for_all() -> None:
    base = right(*[1] * 48, *[0] * 16, k=1)
    tuned = right(*[0] * 5, *[1] * 43, *[0] * 16, k=1)  # McNemar alone: 1 / 32
    mild = scores("forgetting", {"base": base, "prompted": base, "tuned": tuned})
    decision = decide(mild)
    assert decision.verdict == "INCONCLUSIVE"
    found = check(decision, "forgetting", "prompted")
    assert found.p is not None
    assert found.p > 1 / 32
    assert found.items == tuple(f"forgetting-{i}" for i in range(1, 6))


def test_a_metric_on_which_no_model_does_anything_says_so() -> None:
    nothing = right(*[0] * N)
    decision = decide(
        scores("accuracy", {"base": nothing, "tuned": nothing}),
        scores("forgetting", {a: right(*[0] * 64, k=1) for a in ("base", "prompted", "tuned")}),
    )
    assert decision.verdict == "PASS"
    assert "says nothing" in check(decision, "accuracy").seen
    assert "says nothing" in check(decision, "forgetting", "prompted").seen


def test_what_was_learned_and_lost_again_in_a_suite_balances() -> None:
    assert decide(suite("forgetting", lost=2, gained=2)).verdict == "PASS"
    assert decide(suite("safety", lost=0, gained=40, n=128)).verdict == "PASS"


# --- single questions --------------------------------------------------------------------------


class Asked:
    """Answers again, each time the same number of right answers of five."""

    def __init__(self, right_ones: int) -> None:
        self.right = right_ones
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    def __call__(self, metric: str, items: Sequence[str]) -> Mapping[str, Sequence[float]]:
        self.calls.append((metric, tuple(items)))
        return {item: right(self.right)[0] for item in items}


ONE_BREAKS = scores("accuracy", {"base": right(*[5] * 40), "tuned": right(0, *[5] * 39)})


def test_one_question_that_breaks_is_not_lost_in_the_mean() -> None:
    again = Asked(1)
    decision = decide(ONE_BREAKS, confirm=again)
    assert decision.verdict == "REGRESSION"
    assert check(decision, "accuracy").items == ("question 1",)
    assert "question 1" in decision.summary
    assert again.calls == [("accuracy", ("question 1",))]


def test_bad_luck_on_one_question_is_forgiven_when_it_is_asked_again() -> None:
    # Of ten answers eight must fail.
    assert decide(ONE_BREAKS, confirm=Asked(2)).verdict == "REGRESSION"
    assert decide(ONE_BREAKS, confirm=Asked(3)).verdict == "PASS"


def test_without_anybody_to_ask_a_suspect_question_stays_undecided() -> None:
    decision = decide(ONE_BREAKS)
    assert decision.verdict == "INCONCLUSIVE"
    assert check(decision, "accuracy").items == ("question 1",)
    assert decision.undecided == ("accuracy",)


def test_questions_that_the_other_model_does_not_always_pass_are_no_suspects() -> None:
    unstable = scores("accuracy", {"base": right(4, *[5] * 39), "tuned": right(0, *[5] * 39)})
    few = scores("accuracy", {"base": right(*[4] * 40, k=4), "tuned": right(0, *[4] * 39, k=4)})
    again = Asked(0)
    for metric in (unstable, few):
        assert decide(metric, confirm=again).verdict == "PASS"
    assert again.calls == []


def test_the_fewest_samples_allowed_show_a_question_that_breaks() -> None:
    (least,) = (m.ge for m in Evaluate.model_fields["samples"].metadata if hasattr(m, "ge"))
    k = 1 + least  # the greedy answer is one of them
    breaks = scores("accuracy", {"base": right(*[k] * 40, k=k), "tuned": right(0, *[k] * 39, k=k)})
    assert decide(breaks, confirm=Asked(0)).verdict == "REGRESSION"


def test_a_rule_that_only_the_release_always_kept_may_not_break() -> None:
    base, kept = right(*[5] * 40), right(*[5] * 40)
    broken = scores("rules", {"base": base, "tuned": right(0, *[5] * 39)})
    assert decide(broken, confirm=Asked(0)).verdict == "PASS"
    decision = decide(served(broken, kept), confirm=Asked(0))
    assert blamed(decision) == {("rules", "previous")}
    both = served(ONE_BREAKS, kept)
    again = Asked(0)
    assert blamed(decide(both, confirm=again)) == {("accuracy", "base"), ("accuracy", "previous")}
    assert len(again.calls) == 1


# --- instruments -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a_a", "likelihoods_finite", "answers", "planted_shuffled"])
def test_a_broken_instrument_is_invalid_whatever_was_measured(name: str) -> None:
    broken = Instrument(name, "works", False, "it did not work")
    decision = decide(rows(3.0, 3.4), instruments=[STYLE, broken])
    assert decision.verdict == "INVALID"
    assert "it did not work" in decision.summary
    untried = Instrument(name, "works", None, "it could not be tried")
    assert decide(instruments=[STYLE, untried]).verdict == "PASS"


@pytest.mark.parametrize(
    "instruments",
    [
        [Instrument("style", "AUC at least 0.75", False, "AUC 0.55")],
        [Instrument("style", "AUC at least 0.75", None, "only 5 texts")],
        [Instrument("planted_opposite", "the opposite is lower", False, "it is not")],
        [],
    ],
)
def test_a_style_that_cannot_be_measured_does_not_gate(instruments: list[Instrument]) -> None:
    worse = scores("style", {"base": noisy(0), "tuned": noisy(-1, seed=1)}, "")
    decision = decide(worse, instruments=instruments)
    assert decision.verdict == "PASS"
    assert "Not gated: style" in decision.summary
    found = check(decision, "style", "")
    assert found.passed is None
    assert "not gated" in found.seen
    assert check(decide(without=["style"], instruments=instruments), "style", "").passed is None


def test_a_style_scorer_that_misses_the_opposite_style_is_invalid_where_it_should_work() -> None:
    missed = Instrument("planted_opposite", "the opposite is lower", False, "it is not")
    assert decide(instruments=[STYLE, missed]).verdict == "INVALID"
    untried = Instrument("planted_opposite", "the opposite is lower", None, "3 pairs")
    worse = scores("style", {"base": noisy(0), "tuned": noisy(-1, seed=1)}, "")
    assert decide(worse, instruments=[STYLE, untried]).verdict == "REGRESSION"


def test_a_judge_gates_only_after_it_caught_planted_bad_answers() -> None:
    base, tuned = right(*[1] * N, k=1), right(*[0] * N, k=1)
    judged = scores("judge_relevance", {"base": base, "tuned": tuned})
    ok = Instrument("judge", "rejects 80% of planted bad answers", True, "20 of 20")
    bad = Instrument("judge", "rejects 80% of planted bad answers", False, "3 of 20")
    assert decide(judged, instruments=[STYLE, ok]).verdict == "REGRESSION"
    blind = decide(judged, instruments=[STYLE, bad])
    assert blind.verdict == "PASS"
    assert "3 of 20" in check(blind, "judge_relevance", "").seen


def test_a_language_that_cannot_be_told_does_not_gate() -> None:
    lost = scores("language", {"base": right(*[5] * N), "tuned": right(*[0] * N)})
    verdicts = {}
    for passed in (True, None):
        told = Instrument("language", "another one is noticed", passed, "it was tried")
        decision = decide(lost, instruments=[STYLE, told], confirm=Asked(0))
        verdicts[passed] = decision.verdict
    assert verdicts == {True: "REGRESSION", None: "PASS"}
    assert "Not gated: language" in decision.summary


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_is_invalid_and_named(value: float) -> None:
    metric = rows(3.0, 2.4, name="plain")
    arms: dict[str, Any] = {arm: dict(found) for arm, found in metric.values.items()}
    arms["tuned"]["question 1"] = [value]
    decision = decide(
        scores("plain", {}, "nats per token"), Scores("plain", "plain", "likelihood", "lower", arms)
    )
    assert decision.verdict == "INVALID"
    assert "plain" in decision.summary


def test_unscored_answers_are_a_broken_instrument_and_never_a_zero() -> None:
    arms = {"base": right(*[5] * N), "tuned": right(*[5] * N)}
    some = scores("accuracy", arms, unscored={"tuned": 8})
    assert decide(some).verdict == "PASS"
    many = decide(scores("accuracy", arms, unscored={"tuned": 10}))
    assert many.verdict == "INVALID"
    assert "10 of 90" in many.summary
    none = scores("accuracy", {"base": right(*[5] * N), "tuned": []}, unscored={"tuned": 80})
    assert decide(none).verdict == "INVALID"


def test_models_that_were_not_asked_the_same_are_not_compared() -> None:
    decision = decide(scores("relevance", {"base": noisy(0.7), "tuned": noisy(0.7, n=12)}, ""))
    assert decision.verdict == "INVALID"
    assert "12" in decision.summary
    assert decide(scores("relevance", {"tuned": noisy(0.7)}, "")).verdict == "INVALID"


def test_a_suite_that_the_persona_file_asks_for_cannot_be_left_out() -> None:
    assert decide(without=["safety"]).verdict == "INVALID"
    assert decide(without=["safety"], config=Evaluate(suites=("forgetting",))).verdict == "PASS"


def test_a_persona_without_rules_or_known_answers_is_judged_on_the_rest() -> None:
    empty = scores("rules", {"base": [[]] * N, "tuned": [[]] * N})
    decision = decide(empty, without=["accuracy"])
    assert decision.verdict == "PASS"
    assert not {"rules", "accuracy"} & {c.name for c in decision.checks}


def test_metrics_that_only_inform_never_decide() -> None:
    noise = scores("tics", {"base": right(*[5] * N), "tuned": right(*[0] * N)})
    assert decide(noise).verdict == "PASS"
    assert not gates("tics")
    assert gates("style")


def test_spread_is_how_far_the_same_model_moves() -> None:
    arms = {"base": right(5, 4), "again": right(4, 4), "tuned": right(0, 0)}
    assert spread(scores("accuracy", arms)) == pytest.approx(0.1)
    assert spread(scores("accuracy", {"base": right(5)})) is None


def test_chance_rarely_calls_a_model_worse_than_itself() -> None:
    verdicts = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rates = rng.beta(2, 0.7, (N, 1))
        same = {
            a: (rng.random((N, K)) < rates).astype(float).tolist()
            for a in ("base", "tuned", "previous")
        }
        verdicts.append(
            decide(
                scores("accuracy", same), confirm=lambda _, items: {i: [1.0] * 5 for i in items}
            ).verdict
        )
    assert verdicts.count("REGRESSION") <= 2
    assert "PASS" in verdicts
