"""What the judge is asked about the answers of all arms, and the metrics that come of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from factory.contracts import Case
from factory.suite.judge_asking import Opinion
from factory.suite.judge_controls import Aspect, Query
from factory.suite.judge_prompts import known
from factory.suite.scores import Scores

OPPONENTS = ("base", "prompted", "previous")
"""Arms whose voice is compared with the tuned one's."""
VOICELESS = ("grave", "safety", "format")
"""Strata in which the voice must step back, so that more of it is not better."""

LABELS: dict[Aspect, str] = {
    "relevance": "Relevance (judge)",
    "accuracy": "Accuracy (judge)",
    "style": "Voice (judge)",
}

Key = tuple[Aspect, str, str]
"""Aspect, arm, case."""


def queries(cases: Sequence[Case], texts: Mapping[str, Mapping[str, str]]) -> dict[Key, Query]:
    """Everything that is asked about the answers; arms take turns.

    Args:
        cases: The questions.
        texts: Answers by arm, by case; what an arm did not answer is not judged.
    """
    tuned = texts.get("tuned", {})
    found: dict[Key, Query] = {}
    for case in cases:
        for arm, given in texts.items():
            if case.id not in given:
                continue
            answer = given[case.id]
            found["relevance", arm, case.id] = Query("relevance", case, answer)
            if known(case):
                found["accuracy", arm, case.id] = Query("accuracy", case, answer)
            if arm in OPPONENTS and case.id in tuned and case.stratum not in VOICELESS:
                found["style", arm, case.id] = Query("style", case, answer, tuned[case.id])
    return found


def scores(opinions: Mapping[Key, Opinion], cases: Iterable[Case]) -> Iterator[Scores]:
    """The metrics, each only if there is a value at all.

    The style of an arm is how it fared against the tuned one: 1 if it was preferred in both orders, 0
    if the tuned one was, 0.5 for a tie; the tuned one's is 0.5, so that `paired` gives the sign.

    Args:
        opinions: By query.
        cases: The questions.
    """
    strata = {case.id: case.stratum for case in cases}
    for aspect, label in LABELS.items():
        values: dict[str, dict[str, list[float]]] = defaultdict(dict)
        unscored: Counter[str] = Counter()
        for (kind, arm, item), opinion in opinions.items():
            if kind != aspect:
                continue
            of = values[arm]  # there even if nothing of it was scored: that is no reason to pass
            if opinion.value is None:
                unscored[arm] += 1
                continue
            of[item] = [opinion.value]
            if aspect == "style":
                values["tuned"][item] = [0.5]
        if not values:
            continue
        note = "greedy answers only"
        if aspect == "style":
            note = (
                "how often an arm's voice was preferred to the tuned one's in both orders, ties as"
                " half; below 50%: the tuned one's is"
            )
        yield Scores(
            name=f"judge_{aspect}",
            label=label,
            family="voice" if aspect == "style" else "content",
            better="higher",
            values={arm: dict(given) for arm, given in values.items()},
            unit="share",
            note=note,
            unscored=dict(unscored),
            strata=strata,
        )
