"""Answers that are known to be bad or good, planted among those the judge reads: is it worth asking?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.contracts import Case
from factory.pairs.twin import same
from factory.rows.similarity import likeness, read
from factory.rows.words import FUNCTION, count_words, is_cjk, tokens, weight
from factory.suite.judge_prompts import accepted, closed, known
from factory.suite.material import evenly

Aspect = Literal["relevance", "accuracy", "style"]
Kind = Literal["shuffled", "broken off", "wrong fact", "plain voice", "good"]

PLANTED = 5
"""Controls of each kind, at most."""
CAUGHT = 0.8
"""Share of the planted bad answers that a judge must reject (judge protocol of the evaluation)."""
ACCEPTED = 0.6
"""Share of the known good answers that it must accept; with `CAUGHT` well above guessing, which is 1."""
UNSCORED = 0.1
"""Share of verdicts that may be missing (same protocol)."""
REPEATED = 6
"""Controls that are asked once more at the end: another judge by then, or a fickle one, shows."""
TRIED = 5
"""Bad answers that must be there at least: fewer prove nothing."""

_NUMBER = re.compile(r"\d+")
_CLAUSE = re.compile(r"[^\w\s'’-]")
_WHOLE = 6
"""Words from which an answer says something of its own, and can be broken off before it does."""


@dataclass(frozen=True, slots=True)
class Query:
    """One thing to be judged."""

    aspect: Aspect
    case: Case
    answer: str
    other: str = ""
    """For style: the answer it is compared with."""

    @property
    def calls(self) -> int:
        """Calls it takes: style is asked in both orders."""
        return 2 if self.aspect == "style" else 1


@dataclass(frozen=True, slots=True)
class Control:
    """An answer whose right verdict is known: 1 for a good one, 0 for a bad one."""

    kind: Kind
    query: Query

    @property
    def right(self) -> float:
        """The verdict a working judge gives."""
        return float(self.kind == "good")


def controls(cases: Sequence[Case], plain: Mapping[str, str]) -> list[Control]:
    """Plant answers among these cases; the same ones every time.

    Args:
        cases: What is asked; those with a known good answer are used.
        plain: By case: an answer without the persona, which must lose against the reference.
    """
    known_good = [(case, text) for case in cases if known(case) and (text := _good(case))]
    found: list[Control] = []
    # "4" would respond to any question of how many; only what says more is sure to be out of place
    telling = [(case, text) for case, text in known_good if count_words(text) >= _WHOLE]
    strangers = [
        (case, far)
        for at, (case, text) in enumerate(known_good)
        if (far := _stranger(case, text, [*telling[at:], *telling[:at]]))
    ]
    flips = [(case, wrong) for case, text in known_good if (wrong := _wrong(case, text))]
    # the longer an answer, the less its first words say
    longest = sorted(telling, key=lambda known: -count_words(known[1]))
    cuts = [(case, part) for case, text in longest if (part := _broken_off(case, text))]
    voices = [
        Query("style", case, plain[case.id], text)
        for case, text in known_good
        # An accepted text of a question is right, but nobody wrote it in the persona's voice.
        if case.expect is None and _has_voice(plain.get(case.id, ""), text)
    ]
    known_right = [Query("accuracy", case, text) for case, text in known_good]
    found += [Control("shuffled", Query("relevance", c, t)) for c, t in evenly(strangers, PLANTED)]
    found += [Control("broken off", Query("relevance", c, t)) for c, t in cuts[:PLANTED]]
    found += [Control("wrong fact", Query("accuracy", c, t)) for c, t in evenly(flips, PLANTED)]
    lacking = PLANTED - min(PLANTED, len(flips))
    found += [
        Control("shuffled", Query("accuracy", c, t))
        for c, t in evenly(strangers, PLANTED)[:lacking]
    ]
    found += [Control("plain voice", query) for query in evenly(voices, PLANTED)]
    found += [Control("good", Query("relevance", c, t)) for c, t in evenly(known_good, PLANTED)]
    found += [Control("good", query) for query in evenly(known_right, PLANTED)]
    return found


def examine(
    planted: Sequence[Control], verdicts: Sequence[float | None]
) -> tuple[bool | None, str, dict[str, tuple[int, int]]]:
    """Whether a judge works, by what it said of the planted answers.

    Args:
        planted: The controls.
        verdicts: One for each; None where none could be read.

    Returns:
        True, False, or None if too few answers were planted to tell; what was seen, in words; and by
        kind how many it got right and how many it read.
    """
    counts: dict[str, tuple[int, int]] = {}
    for control, verdict in zip(planted, verdicts, strict=True):
        if verdict is not None:
            right, total = counts.get(control.kind, (0, 0))
            counts[control.kind] = (right + (verdict == control.right), total + 1)
    missing = sum(verdict is None for verdict in verdicts)
    if missing > UNSCORED * len(planted):
        seen = f"{missing} of {len(planted)} verdicts on planted answers did not come or were unreadable"
        return False, seen, counts
    kept, good = counts.get("good", (0, 0))
    bad = {kind: count for kind, count in counts.items() if kind != "good"}
    caught, tried = (sum(count[i] for count in bad.values()) for i in (0, 1))
    parts = ", ".join(f"{kind} {right} of {total}" for kind, (right, total) in bad.items())
    seen = (
        f"rejected {caught} of {tried} planted bad answers ({parts or 'none'}),"
        f" accepted {kept} of {good} good ones"
    )
    if tried < TRIED or not good:
        return None, f"too few known answers to try the judge on: {seen}", counts
    blind = [k for k, (right, total) in bad.items() if total >= 3 and right < total / 2]
    works = caught >= CAUGHT * tried and kept >= ACCEPTED * good and not blind
    return works, seen, counts


def again(planted: Sequence[Control]) -> list[int]:
    """Which controls are asked a second time at the end: single calls of all kinds, evenly."""
    single = [at for at, control in enumerate(planted) if control.query.calls == 1]
    return evenly(single, REPEATED)


def _good(case: Case) -> str:
    """An answer that is known to be good; empty if none is."""
    form = closed(case)
    if "number" in form:
        return f"{form['number']:.10g}"
    if "choice" in form:
        return f"{form['choice']}: {form['options'][form['choice']]}"
    return next(iter(accepted(case)), (case.reference or "").strip())


def _stranger(case: Case, good: str, telling: Sequence[tuple[Case, str]]) -> str:
    """The good answer to the question that is least like this one; empty if there is none."""
    asked = read(_text(case))
    others = [(c, text) for c, text in telling if c.id != case.id and text != good]
    far = min(others, key=lambda other: likeness(asked, read(_text(other[0]))), default=None)
    return far[1] if far else ""


def _wrong(case: Case, good: str) -> str:
    """The good answer with another fact in it; empty if there is none that could be changed."""
    form = closed(case)
    if "number" in form:
        return f"{2 * abs(form['number']) + 7 + 10 * form.get('tolerance', 0.0):.10g}"
    if "choice" in form:
        letter = next(letter for letter in form["options"] if letter != form["choice"])
        return f"{letter}: {form['options'][letter]}"
    return _NUMBER.sub(_other_number, good) if _NUMBER.search(good) else ""


def _other_number(found: re.Match[str]) -> str:
    return str(3 * int(found[0][:12]) + 4)


def _broken_off(case: Case, text: str) -> str:
    """The first words of an answer; empty where they may say something.

    That is where a clause ends with them ("Yes, boil"), or where they take up a word of the question
    ("Good evening" to "Good evening!").
    """
    part = text[:3] if is_cjk(text[:1]) else " ".join(text.split()[:2])
    shared = set(tokens(part)) & set(tokens(_text(case)))
    if _CLAUSE.search(text[: len(part) + 1]) or any(weight(word) > FUNCTION for word in shared):
        return ""
    return part


def _has_voice(plain: str, reference: str) -> bool:
    return bool(plain.strip()) and not same(reference, plain)


def _text(case: Case) -> str:
    return case.messages[-1]["content"]
