"""Plants known defects among known good answers and looks whether the instruments notice.

What cannot tell an answer to another question, a broken-off one, one without the persona, or a wrong one
from a good one, must not decide anything about a model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from factory.contracts import Case, Grader, GradingError, Reply
from factory.rows.language import NAMES, about_language, mismatch
from factory.rows.words import tokens
from factory.suite.degeneration import flags
from factory.suite.flips import right_answers, wrong_answers
from factory.suite.relevance import document, reciprocal_ranks
from factory.suite.scores import Instrument
from factory.suite.statistics import sign_test
from factory.suite.style import StyleScorer

FEWEST_ROWS = 8
"""Good answers from which a shuffle can be told from the right order."""

ENOUGH_ROWS = 30
"""Good answers with which the shuffle was noticed in 100 of 100 draws from the shipped personas whose
answers repeat least of their questions; with 20 in 99, with 14 in 94."""

FEWEST_PAIRS = 5
"""Pairs from which a sign test can be significant at all."""

LEVEL = 0.05
"""Of the tests: what is planted must stand out more than chance would let it once in twenty."""

CLEAR = 0.75
"""Cross-fitted AUC from which a style counts as detectable."""

REJECTED = 0.8
"""Share of wrong answers that a checker must reject; some flips happen to be right, too."""

_ABOVE = 0.01
"""Mean reciprocal rank by which right answers must at least be ahead to be called so."""
_MOST_ROWS = 60
_LOOPED = 4
_SHARE_GOOD = 0.9
"""Share of good answers that must pass the form checks: a poem may have its refrain."""
_ENGLISH = "This answer is written in the English language, and nobody had asked for that."
_CHINESE = "这个回答是用中文写的，可是并没有人要求这样做，换一种语言才对。"


def planted(
    cases: Sequence[Case],
    plain: Mapping[str, str],
    scorer: StyleScorer | None,
    grader: Grader,
    language: str,
    random_seed: int,
    trained: Sequence[Case] = (),
    *,
    language_check: bool = True,
) -> list[Instrument]:
    """Try every instrument.

    Args:
        cases: What is asked, and held-out rows; answers that were not trained on.
        plain: Answers to these cases without the persona, by case.
        scorer: The run's own; None where there were too few texts to learn from.
        grader: Of closed questions.
        language: Two-letter code of the answers.
        random_seed: Decides which answers are swapped.
        trained: Training rows, as cases. Relevance was not learned from them, so they are good
            material for it, and a few held-out rows alone prove little.
        language_check: Whether rows in another language were rejected; else they are good ones.

    Returns:
        `planted_shuffled`, `planted_truncated`, `language` (whether another one would be noticed),
        `style` (whether there is a style to detect), `planted_opposite` and `planted_flipped`.
    """
    good = {case.id: case for case in (*cases, *trained) if case.reference and case.expect is None}
    looked_at = list(good.values())[:_MOST_ROWS]
    free = [c for c in looked_at if not language_check or about_language(c.messages)]
    held_out = {case.id: case.reference for case in cases if case.id in good and case.reference}
    pairs = [(text, plain[name]) for name, text in held_out.items() if plain.get(name, "").strip()]
    return [
        shuffled(looked_at, random_seed),
        truncated(
            [case.reference or "" for case in looked_at],
            language,
            [case.reference or "" for case in free],
        ),
        told_apart(language, language_check),
        detectable(scorer),
        opposite(pairs, scorer),
        flipped(cases, grader),
    ]


def shuffled(good: Sequence[Case], random_seed: int) -> Instrument:
    """Whether relevance falls when good answers are given to each other's questions.

    Permutation test of the mean reciprocal rank over random assignments of the answers. An answer is
    looked for among questions without references, for it is one itself: harder than in the scorecard.
    With fewer than `ENOUGH_ROWS` answers a result in the right direction that is not significant says
    nothing; with as many it is a failure.

    Args:
        good: Open questions with a good answer each, as reference.
        random_seed: Decides the assignments.
    """
    rule = f"answers to other questions rank lower (permutation test, {LEVEL:g})"
    name = "planted_shuffled"
    if len(good) < FEWEST_ROWS:
        return Instrument(name, rule, None, f"{len(good)} good answers; needs {FEWEST_ROWS}")
    from scipy.stats import permutation_test

    questions = [document(Case(case.id, case.messages)) for case in good]
    found = reciprocal_ranks(questions, [case.reference or "" for case in good])
    order = np.arange(len(good))

    def mean(asked: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(found[order, asked.astype(int)].mean(axis=axis))

    test = permutation_test(
        (order,),
        mean,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=4999,
        alternative="greater",
        rng=np.random.default_rng(random_seed),
    )
    own, other = float(np.mean(test.statistic)), float(np.mean(test.null_distribution))
    seen = (
        f"mean reciprocal rank {own:.2f} for the right answers, {other:.2f} for shuffled ones"
        f" (p {float(test.pvalue):.2g}, {len(good)} answers)"
    )
    if test.pvalue <= LEVEL:
        return Instrument(name, rule, True, seen)
    undecided = len(good) < ENOUGH_ROWS and own - other >= _ABOVE
    return Instrument(name, rule, None if undecided else False, seen)


def truncated(good: Sequence[str], language: str, free: Collection[str] = ()) -> Instrument:
    """Whether the form checks notice answers that are cut off, empty, looping or in another language.

    Args:
        good: Good answers.
        language: Two-letter code of the answers; one that is unknown here is not tried.
        free: Those of the good ones that may be in another language, as curate lets them.
    """
    known = _is_known(language)
    *faults, last = ("cut off", "empty", "repeated in a loop", "in another language")[: 3 + known]
    rule = (
        f"answers that are {', '.join(faults)} or {last} are all noticed,"
        f" and at least {_SHARE_GOOD:.0%} of the good ones are not"
    )
    name = "planted_truncated"
    if not good:
        return Instrument(name, rule, None, "no good answers to spoil")
    spoilt: dict[str, tuple[str, Callable[[str], Reply]]] = {
        "cut off": ("stop_rate", lambda t: Reply(t[: max(1, len(t) // 2)], "length", 1)),
        "empty": ("non_empty", lambda _: Reply(" \n", "stop", 1)),
        "looping": ("no_repetition", lambda t: Reply(" ".join([t] * _LOOPED), "length", 1)),
    }
    if known:
        spoilt["foreign"] = ("language", lambda _: Reply(_foreign(language), "stop", 1))
    missed = []
    for what, (flag, spoil) in spoilt.items():
        # a loop of one or two words is too short to be told from emphasis
        texts = [t for t in good if what != "looping" or len(tokens(t)) > 2]
        slipped = sum(flags(spoil(text), language)[flag] == 1 for text in texts)
        if slipped:
            missed.append(f"{slipped} of {len(texts)} {what} answers went unnoticed")
    fine = sum(
        all(
            value == 1 or (flag == "language" and text in free)
            for flag, value in flags(Reply(text, "stop", 1), language).items()
        )
        for text in good
    )
    if fine < _SHARE_GOOD * len(good):
        missed.append(f"{len(good) - fine} of {len(good)} good answers were taken for spoilt")
    seen = "; ".join(missed) or f"all noticed, {fine} of {len(good)} good answers pass"
    return Instrument(name, rule, not missed, seen)


def told_apart(language: str, language_check: bool) -> Instrument:
    """Whether an answer in another language would be noticed, and is a fault of this persona at all.

    Args:
        language: Two-letter code of the answers.
        language_check: Whether rows in another language were rejected.
    """
    rule, name = "an answer in another language is a fault, and is noticed", "language"
    if not language_check:
        seen = "`curate.language_check` is false: answers may be in any language"
        return Instrument(name, rule, None, seen)
    if not _is_known(language):
        seen = f"whether a text is in {NAMES.get(language, language)} cannot be told here"
        return Instrument(name, rule, None, seen)
    return Instrument(name, rule, True, "one was noticed")


def _is_known(language: str) -> bool:
    return mismatch(_foreign(language), language) is not None


def _foreign(language: str) -> str:
    return _ENGLISH if language in ("zh", "ja") else _CHINESE


def detectable(scorer: StyleScorer | None) -> Instrument:
    """Whether there is a style that the scorer can tell from plain answers at all."""
    rule = f"persona and plain answers can be told apart (cross-fitted AUC at least {CLEAR:g})"
    if scorer is None:
        return Instrument("style", rule, None, "too few answers to learn a style from")
    if scorer.auc < CLEAR:
        seen = f"AUC {scorer.auc:.2f}: your seeds do not define a detectable style"
        return Instrument("style", rule, False, seen)
    return Instrument("style", rule, True, f"AUC {scorer.auc:.2f}")


def opposite(pairs: Sequence[tuple[str, str]], scorer: StyleScorer | None) -> Instrument:
    """Whether the style scorer puts plain answers below the persona's, on questions it never saw.

    It passes if the sign test is significant, fails if the order is no better than chance, and says
    nothing in between, where there are too few pairs to tell.

    Args:
        pairs: The persona's and the plain answer to the same held-out question.
        scorer: The run's own.
    """
    rule = f"plain answers to held-out questions score lower (sign test, {LEVEL:g})"
    name = "planted_opposite"
    if scorer is None or scorer.auc < CLEAR:
        return Instrument(name, rule, None, "there is no style to detect")
    if len(pairs) < FEWEST_PAIRS:
        seen = f"{len(pairs)} pairs of held-out answers; needs {FEWEST_PAIRS}"
        return Instrument(name, rule, None, seen)
    persona = scorer.score([mine for mine, _ in pairs])
    ahead = [a - b for a, b in zip(persona, scorer.score([p for _, p in pairs]), strict=True)]
    wins, losses = sum(gap > 0 for gap in ahead), sum(gap < 0 for gap in ahead)
    chance = sign_test(wins, losses)
    seen = f"{wins} of {len(pairs)} plain answers score lower (p {chance:.2g})"
    if chance <= LEVEL:
        return Instrument(name, rule, True, seen)
    return Instrument(name, rule, None if wins > losses else False, seen)


def flipped(cases: Sequence[Case], grader: Grader) -> Instrument:
    """Whether the checker of closed questions accepts right answers and rejects wrong ones.

    Args:
        cases: Open ones are left out, and so is what no right or wrong answer can be made for.
        grader: The checker.
    """
    rule = f"every right answer is accepted and at least {REJECTED:.0%} of the wrong ones rejected"
    name = "planted_flipped"
    closed = [case for case in cases if case.expect is not None and grader.applies(case)]
    right = [(case, text) for case in closed for text in right_answers(case)]
    wrong = [(case, text) for case in closed for text in wrong_answers(case, closed)]
    if not right or not wrong:
        return Instrument(name, rule, None, "no closed questions")
    refused = [case.id for case, text in right if not _accepts(grader, case, text)]
    caught = sum(not _accepts(grader, case, text) for case, text in wrong)
    seen = f"{caught} of {len(wrong)} wrong answers rejected"
    seen += f"; refused though right: {', '.join(refused)}" if refused else ""
    return Instrument(name, rule, not refused and caught >= REJECTED * len(wrong), seen)


def _accepts(grader: Grader, case: Case, text: str) -> bool:
    try:
        return grader.grade(case, Reply(text, "stop", 1)).value == 1
    except GradingError:
        return False
