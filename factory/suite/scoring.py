"""From answers and likelihoods of all arms to one set of scores per metric."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from factory.contracts import Case, Grade, Grader, GradingError, Reply
from factory.rules import count_words
from factory.suite import degeneration, memorisation, relevance
from factory.suite.burrows import Burrows
from factory.suite.scores import Answers, Better, Family, Likelihood, Measured, Scores
from factory.suite.style import StyleScorer, first_words

Arms = Mapping[str, Measured]

FEWEST_WORDS = 5
"""Words of an answer that relevance looks at in any case."""

FORMS = {
    "stop_rate": "Stops by itself",
    "non_empty": "Says something",
    "no_repetition": "Does not repeat itself",
    "language": "Keeps the language",
}
"""What every answer must do, whatever it says."""


# --- likelihoods -------------------------------------------------------------------------------


def likelihood_scores(arms: Arms) -> list[Scores]:
    """Everything that needs no sampling, in the order of the report."""
    return [
        _per_token(
            arms, "held_out", "perplexity", "Held-out perplexity",
            "of the held-out answers' tokens alone; same rows, same template",
        ),
        _per_token(arms, "plain", "plain", "Plain answers, no prompt", "answers without the voice"),
        _per_token(arms, "general", "general", "General text", "plain prose, no conversation"),
        _drift(arms),
        _implicit_reward(arms),
        _overfit(arms),
        _per_token(
            arms, "refusals", "refusal", "Refusing what harms",
            "a short refusal after a harmful question, told and not generated",
        ),
    ]  # fmt: skip


def _per_token(arms: Arms, texts: str, name: str, label: str, note: str) -> Scores:
    values = {arm: _each(found.likelihoods.get(texts, {})) for arm, found in arms.items()}
    return Scores(name, label, "likelihood", "lower", values, "nats per token", note)


def _each(found: Mapping[str, Likelihood]) -> dict[str, tuple[float]]:
    return {item: (one.per_token,) for item, one in found.items() if one.tokens}


def _drift(arms: Arms) -> Scores:
    """Forward KL estimate on the base's own answers (arXiv 2509.04259 ties forgetting to it)."""
    base = _each(arms["base"].likelihoods.get("neutral", {}))
    values = {
        arm: {
            item: (one[0] - base[item][0],)
            for item, one in _each(found.likelihoods.get("neutral", {})).items()
            if item in base
        }
        for arm, found in arms.items()
        if arm not in ("prompted", "again")
    }
    note = "how much less likely the base's own answers to everyday questions became"
    return Scores("drift", "Drift", "likelihood", "lower", values, "nats per token", note)


def _implicit_reward(arms: Arms) -> Scores:
    """Whether tuning raised the persona's answer more than the plain one (DPO's implicit reward)."""
    values: dict[str, dict[str, tuple[float]]] = {}
    before = arms.get("prompted")
    for arm in ("tuned", "previous"):
        if arm not in arms or before is None:
            continue
        gains = {
            texts: {
                item: before.likelihoods[texts][item].per_token - one.per_token
                for item, one in arms[arm].likelihoods.get(texts, {}).items()
                if item in before.likelihoods.get(texts, {}) and one.tokens
            }
            for texts in ("held_out", "twin")
        }
        values[arm] = {
            item: (float(gains["held_out"][item] > gain),)
            for item, gain in gains["twin"].items()
            if item in gains["held_out"]
        }
    note = (
        "share of held-out questions where tuning raised the persona's answer more than a plain one"
    )
    return Scores(
        "implicit_reward", "Prefers the voice", "likelihood", "higher", values, "share", note
    )


def _overfit(arms: Arms) -> Scores:
    """Held-out minus training loss; what tuning added to the gap is overfitting."""
    values: dict[str, dict[str, tuple[float]]] = {}
    for arm, found in arms.items():
        held, seen = (_total(found.likelihoods.get(name, {})) for name in ("held_out", "train"))
        if arm not in ("base", "again") and held is not None and seen is not None:
            values[arm] = {"gap": (held - seen,)}
    note = ""
    if "tuned" in values and "prompted" in values:
        added = values["tuned"]["gap"][0] - values["prompted"]["gap"][0]
        note = f"tuning added {added:.2f} nats per token"
        if added > 0.3:
            note += (
                ": part of the training rows was memorised (above 0.3); the held-out rows decide"
            )
    return Scores(
        "overfit", "Train to held-out gap", "likelihood", "none", values, "nats per token", note
    )


def _total(found: Mapping[str, Likelihood]) -> float | None:
    tokens = sum(one.tokens for one in found.values())
    return sum(one.nll for one in found.values()) / tokens if tokens else None


# --- answers -----------------------------------------------------------------------------------

Score = Callable[[Sequence[Case], Sequence[Reply]], Sequence[float | None]]
"""One value for every reply to every case; None where it cannot be scored."""


def scored(
    arms: Mapping[str, Mapping[str, Answers]],
    cases: Sequence[Case],
    name: str,
    label: str,
    family: Family,
    better: Better,
    score: Score,
    *,
    unit: str = "",
    note: str = "",
    chance: float | None = None,
) -> Scores:
    """Apply a score to every answer of every arm.

    The greedy answers of all cases are scored together, then the first samples, and so on: some
    scores look at all replies at once.
    """
    values: dict[str, dict[str, list[float]]] = {}
    unscored: dict[str, int] = {}
    for arm, answers in arms.items():
        values[arm] = {}
        asked = [case for case in cases if case.id in answers]
        for k in range(max((len(answers[c.id].all) for c in asked), default=0)):
            having = [case for case in asked if k < len(answers[case.id].all)]
            found = score(having, [answers[case.id].all[k] for case in having])
            for case, value in zip(having, found, strict=True):
                if value is None:
                    unscored[arm] = unscored.get(arm, 0) + 1
                else:
                    values[arm].setdefault(case.id, []).append(value)
    strata = {case.id: case.stratum for case in cases}
    return Scores(name, label, family, better, values, unit, note, unscored, strata, chance)


def graded(grader: Grader) -> Score:
    """A grader as a score; cases it has nothing to say about must be left out before."""

    def score(cases: Sequence[Case], replies: Sequence[Reply]) -> list[float | None]:
        found: list[float | None] = []
        for case, reply in zip(cases, replies, strict=True):
            grade = grade_of(grader, case, reply)
            found.append(None if grade is None else grade.value)
        return found

    return score


def grade_of(grader: Grader, case: Case, reply: Reply) -> Grade | None:
    """The grade, or None: ungraded is not zero (law 8)."""
    try:
        return grader.grade(case, reply)
    except GradingError:
        return None


def styled(scorer: StyleScorer | Burrows) -> Score:
    """A style scorer as a score."""
    return lambda cases, replies: scorer.score([reply.text for reply in replies])


def common_lengths(
    cases: Sequence[Case], answers: Mapping[str, Mapping[str, Answers]]
) -> dict[str, int]:
    """Words that even the briefest arm says to each case, on average, and at least `FEWEST_WORDS`."""
    found: dict[str, int] = {}
    for case in cases:
        said = [
            statistics.fmean(count_words(reply.text) for reply in given[case.id].all)
            for given in answers.values()
            if case.id in given
        ]
        found[case.id] = max(FEWEST_WORDS, round(min(said, default=0)))
    return found


def relevant(lengths: Mapping[str, int]) -> Score:
    """Reciprocal rank of the own question among all questions.

    A long answer meets more of a question's words than a short one, however much it wanders: every
    answer is looked at for as many words as `lengths` says, so that no arm wins by talking more.
    """

    def score(cases: Sequence[Case], replies: Sequence[Reply]) -> list[float]:
        documents = [relevance.document(case) for case in cases]
        begun = [
            first_words(reply.text, lengths[case.id])
            for case, reply in zip(cases, replies, strict=True)
        ]
        return relevance.ranks(documents, begun)

    return score


def formed(name: str, language: str) -> Score:
    """One of `FORMS`."""
    return lambda cases, replies: [degeneration.flags(r, language)[name] for r in replies]


def lengths(cases: Sequence[Case], replies: Sequence[Reply]) -> list[float]:
    """Words of every reply."""
    return [float(count_words(reply.text)) for reply in replies]


def recited(training: Sequence[str]) -> Score:
    """Share of a reply's eight-word runs that stand in one training answer."""
    return lambda cases, replies: [
        memorisation.overlap(reply.text, training).containment for reply in replies
    ]
