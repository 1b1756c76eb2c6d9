"""The optional judge: a language model that reads the answers, and is itself tested at every run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from factory import plugins
from factory.artifacts import hash_json
from factory.base import Base
from factory.contracts import Case, Progress
from factory.errors import FactoryError, UsageError
from factory.pairs.budget import Budget, Prices
from factory.pairs.calls import Caller
from factory.pairs.failures import Patience
from factory.pairs.ledger import Ledger
from factory.suite import judge_prompts as prompts
from factory.suite.judge_asking import Asker
from factory.suite.judge_controls import ACCEPTED, CAUGHT, UNSCORED, again, controls, examine
from factory.suite.judge_scores import queries, scores
from factory.suite.scores import Answers, Instrument, Scores
from factory.teaching import Teacher

RULE = (
    f"rejects at least {CAUGHT:.0%} of the bad answers planted for it and accepts at least"
    f" {ACCEPTED:.0%} of known good ones, says the same when asked again, and gives at least"
    f" {1 - UNSCORED:.0%} of its verdicts in a form that can be read"
)


@dataclass(frozen=True, slots=True)
class Judged:
    """What the judge said, and whether to believe it."""

    scores: tuple[Scores, ...]
    """`judge_relevance`, `judge_accuracy`, `judge_style`; none if the judge does not work."""
    instrument: Instrument
    judge: str = ""
    """Who judged: model and endpoint."""
    position_consistency: float | None = None
    """Share of the pairs of which it said the same in both orders."""
    planted: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By kind of planted answer: how many it got right, and how many it judged."""
    calls: Mapping[str, Any] = field(default_factory=dict)
    """Requests, tokens and US dollars; those paid for the same verdicts before count, too."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the scorecard; the scores are kept with the other metrics."""
        return {
            "judge": self.judge,
            "passed": self.instrument.passed,
            "seen": self.instrument.seen,
            "position_consistency": self.position_consistency,
            "planted": {kind: list(counts) for kind, counts in self.planted.items()},
            "calls": dict(self.calls),
        }


def check(section: Teacher, base: Base | None) -> None:
    """Everything that can be wrong with the `judge` section before the first call.

    Raises:
        UsageError: With the field that is wrong.
    """
    try:
        _opened(section, base)
    except UsageError as error:
        raise UsageError(
            error.what.replace("teacher", "judge"),
            where=(error.where or "teacher").replace("teacher", "evaluate.judge", 1),
            got=error.got,
            allowed=error.allowed,
            hint=error.hint and error.hint.replace("`teacher", "`evaluate.judge"),
        ) from error


def cost(cases: Sequence[Case], arms: Sequence[str]) -> int:
    """Most calls that judging takes, repairs aside; equal answers are judged once."""
    planted = controls(cases, {case.id: "in no voice" for case in cases})
    asked = queries(cases, {arm: {case.id: arm for case in cases} for arm in arms})
    every = [*asked.values(), *(control.query for control in planted)]
    return sum(query.calls for query in every) + len(again(planted))


def judge(
    section: Teacher,
    base: Base | None,
    cases: Sequence[Case],
    answers: Mapping[str, Mapping[str, Answers]],
    *,
    description: str,
    voice: Sequence[str],
    ledger: Ledger,
    progress: Progress,
    patience: Patience | None = None,
) -> Judged:
    """Judge the greedy answers of every arm; never raises for what is the judge's fault.

    Args:
        section: The persona file's `evaluate.judge`.
        base: The base model, where that is the judge.
        cases: The persona's questions and held-out rows.
        answers: By arm, by case.
        description: Of the persona.
        voice: Its traits.
        ledger: Where verdicts are kept, so that none is paid twice.
        progress: Told `step`, `total` and `note`.
        patience: How long failures are borne; left out: as with a teacher.
    """
    texts = {arm: {c: a.greedy.text for c, a in given.items()} for arm, given in answers.items()}
    try:
        teacher, budget = _opened(section, base)
    except FactoryError as error:
        return Judged((), _failed(error))
    name = f"{teacher.model} at {teacher.endpoint}"
    caller = Caller(
        teacher, ledger, budget, concurrency=section.concurrency,
        template_version=prompts.VERSION, progress=progress, patience=patience,
    )  # fmt: skip

    async def session() -> Judged:
        async with teacher:
            return await _session(Asker(caller, description, voice, progress), cases, texts, name)

    try:
        found = asyncio.run(session())
    except FactoryError as error:
        found = Judged((), _failed(error), name)
    spent = asdict(caller.spent())
    return Judged(
        found.scores, found.instrument, name, found.position_consistency, found.planted, spent
    )


async def _session(
    asker: Asker, cases: Sequence[Case], texts: Mapping[str, Mapping[str, str]], name: str
) -> Judged:
    planted = controls(cases, texts.get("base", {}))
    # Answers that are new are read by a judge that is tested anew: what stands in the ledger may
    # come from another model of the same name.
    sample = 2 * int(hash_json([name, texts])[:7], 16) + 1
    tested = await asker.ask([control.query for control in planted], sample, "testing the judge")
    passed, seen, counts = examine(planted, [opinion.value for opinion in tested])
    if passed is False:
        return Judged((), Instrument("judge", RULE, False, seen), planted=counts)
    asked = queries(cases, texts)
    said = await asker.ask(list(asked.values()), 0, "judging")
    repeated = again(planted)
    second = await asker.ask(
        [planted[at].query for at in repeated], sample + 1, "testing the judge once more"
    )
    changed = sum(
        tested[at].value != opinion.value for at, opinion in zip(repeated, second, strict=True)
    )
    missing = sum(opinion.value is None for opinion in said)
    if changed > 1:
        passed = False
        seen = (
            f"of {len(repeated)} planted answers it judged {changed} otherwise at the end than at the"
            " start: it is fickle, or the endpoint changed its model meanwhile"
        )
    elif missing > UNSCORED * len(said):
        passed = False
        seen = f"{missing} of {len(said)} verdicts did not come or could not be read"
    opinions = dict(zip(asked, said, strict=True))
    orders = [opinion.consistent for opinion in said if opinion.consistent is not None]
    return Judged(
        () if passed is False else tuple(scores(opinions, cases)),
        Instrument("judge", RULE, passed, seen),
        position_consistency=sum(orders) / len(orders) if orders else None,
        planted=counts,
    )


def _opened(section: Teacher, base: Base | None) -> tuple[Any, Budget]:
    plugins.find("teachers", section.type, "teacher.type")
    limits, prices = section.budget, section.prices
    budget = Budget(
        max_usd=limits.usd,
        max_tokens=limits.tokens,
        max_requests=limits.requests,
        prices=Prices(prices.prompt, prices.completion),
    )
    return plugins.load("teachers", section.type).of(section, base), budget


def _failed(error: FactoryError) -> Instrument:
    """The judge cannot be used; the evaluation goes on without it."""
    what = error.what.replace("teacher", "judge")
    seen = f"{what} ({error.got})" if error.got else what
    return Instrument("judge", RULE, False, seen)
