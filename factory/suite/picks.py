"""What people preferred, blind: kept by what was said, counted with an exact test.

A pick is tied to the question and both answers, not to a model: a rebuilt model whose answers are
others does not inherit it, one that says the same does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from factory.artifacts import hash_json, read_jsonl, write_jsonl

Aspect = Literal["relevance", "accuracy", "style"]
ASPECTS: tuple[Aspect, ...] = ("relevance", "accuracy", "style")
Choice = Literal["tuned", "other", "tie"]

ALPHA = 0.05
"""Chance of a preference that is none, per aspect."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One question with the tuned model's answer and another one's."""

    id: str
    """Of the case."""
    ask: str
    tuned: str
    other: str
    against: str
    """Who else answered: an arm, or `NAME@N`."""
    history: tuple[tuple[str, str], ...] = ()
    """Earlier turns: role and text."""

    @property
    def key(self) -> str:
        """Hash of everything that was said, 16 hex digits."""
        return hash_json([list(self.history), self.ask, self.tuned, self.other])[:16]


@dataclass(frozen=True, slots=True)
class Pick:
    """What one person said of one pair; aspects that were not asked are missing."""

    key: str
    """The pair's."""
    id: str
    against: str
    seed: int
    """What the order of the two answers was drawn with."""
    tuned_first: bool
    """That order: whether A was the tuned model's."""
    choices: dict[Aspect, Choice] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        """Whether every aspect is. Until then nothing is told of it: the rest is to be asked blind."""
        return len(self.choices) == len(ASPECTS)

    def chosen(self, aspect: Aspect, choice: Choice) -> Pick:
        """The pick with one more aspect decided."""
        return replace(self, choices={**self.choices, aspect: choice})

    def undone(self, aspect: Aspect) -> Pick:
        """The pick without this aspect."""
        return replace(self, choices={a: c for a, c in self.choices.items() if a != aspect})


Place = tuple[tuple[tuple[str, str], ...], str]
"""What was asked, earlier turns included."""

_ASKED = ("question", "row")
"""Kinds of stored answers that people compare; suites have checkers."""


def place(entry: Mapping[str, Any]) -> Place:
    """What a stored entry of answers was asked."""
    return tuple((turn["role"], turn["content"]) for turn in entry["history"]), entry["ask"]


def pairs_of(
    entries: Iterable[Mapping[str, Any]], against: str, said: Mapping[Place, str] | None = None
) -> list[Pair]:
    """The tuned model's answers beside other ones.

    Args:
        entries: A scorecard's answers.
        against: Who else answered.
        said: Their answers; left out: those of the arm `against`. What they did not answer is left out.
    """
    found = []
    for entry in entries:
        answers = entry["answers"]
        if said is not None:
            other = said.get(place(entry))
        else:
            other = answers[against]["text"] if against in answers else None
        if entry["kind"] in _ASKED and "tuned" in answers and other is not None:
            history, ask = place(entry)
            text = answers["tuned"]["text"]
            found.append(Pair(entry["id"], ask, text, other, against, history))
    return found


def file(home: Path, name: str) -> Path:
    """Where a persona's picks are kept."""
    return home / "picks" / f"{name}.jsonl"


def load(home: Path, name: str) -> list[Pick]:
    """All picks of a persona, oldest first; none if nobody compared yet."""
    path = file(home, name)
    return [Pick(**entry) for entry in read_jsonl(path)] if path.is_file() else []


def keep(home: Path, name: str, pick: Pick) -> None:
    """Keep a pick at once, in the place of an earlier one on the same answers."""
    known = {(p.key, p.against): p for p in load(home, name)}
    known[pick.key, pick.against] = pick
    write_jsonl(file(home, name), [asdict(p) for p in known.values()])


def matching(picks: Iterable[Pick], pairs: Iterable[Pair]) -> list[Pick]:
    """The picks on exactly these answers."""
    keys = {(pair.key, pair.against) for pair in pairs}
    return [pick for pick in picks if (pick.key, pick.against) in keys]


@dataclass(frozen=True, slots=True)
class Result:
    """How one aspect was decided over all questions."""

    aspect: Aspect
    tuned: int
    """Questions on which the tuned model was preferred."""
    other: int
    ties: int
    p: float | None
    """Exact two-sided sign test, ties left out: people may lean either way. None without a pick."""
    needed: int | None
    """Picks one way that this many decided ones would take; None if even all would not do."""

    @property
    def decided(self) -> int:
        """Questions that were no tie."""
        return self.tuned + self.other

    @property
    def winner(self) -> Literal["tuned", "other"] | None:
        """Who was preferred, if that is more than chance."""
        if self.p is None or self.p > ALPHA:
            return None
        return "tuned" if self.tuned > self.other else "other"

    def sentence(self, other: str) -> str:
        """What it means at this number of questions, in plain words."""
        count = f"{self.tuned} to {self.other}" + (f" with {self.ties} ties" if self.ties else "")
        if not self.decided:
            return "nobody preferred either: nothing can be said" if self.ties else "not asked"
        if self.winner:
            who = "the tuned model" if self.winner == "tuned" else other
            return f"{who} was preferred, {count}; chance gives that in {self.p:.1%} of cases"
        if self.needed is None:
            least = fewest()
            return f"{count}: too few to tell; with fewer than {least} decided even all one way is chance"
        return f"{count}: can be chance; {self.needed} of {self.decided} one way would have told"


def result(picks: Sequence[Pick], aspect: Aspect) -> Result:
    """Count one aspect; a question counts once, whatever else was asked about it."""
    said = [pick.choices[aspect] for pick in picks if aspect in pick.choices]
    tuned, other = said.count("tuned"), said.count("other")
    decided = tuned + other
    wins = range(decided // 2 + 1, decided + 1)
    needed = next((win for win in wins if _sign_test(win, decided) <= ALPHA), None)
    p = _sign_test(tuned, decided) if decided else None
    return Result(aspect, tuned, other, said.count("tie"), p, needed)


def summary(picks: Sequence[Pick]) -> dict[str, Any]:
    """Plain data for the report: by opponent, each aspect's counts, p-value and sentence."""
    found: dict[str, Any] = {}
    for against in dict.fromkeys(pick.against for pick in picks):
        mine = [pick for pick in picks if pick.against == against]
        rows = [result(mine, aspect) for aspect in ASPECTS]
        found[against] = {
            "questions": len(mine),
            "aspects": [{**asdict(r), "sentence": r.sentence(against)} for r in rows],
        }
    return found


def fewest() -> int:
    """Decided picks under which nothing can be shown: one way all, two-sided."""
    return next(n for n in range(1, 100) if _sign_test(n, n) <= ALPHA)


def _sign_test(wins: int, decided: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(wins, decided, 0.5, alternative="two-sided").pvalue)
