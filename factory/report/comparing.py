"""`factory compare`: a person reads two answers to each question without knowing whose they are."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from factory.artifacts import read_json, read_jsonl
from factory.errors import UsageError
from factory.releases import known as released
from factory.report.runs import runs_of
from factory.report.words import clean
from factory.spec import NAME_PATTERN
from factory.suite import picks
from factory.suite.picks import ASPECTS, Aspect, Choice, Pair, Pick, Place, pairs_of, place

QUESTIONS: dict[Aspect, str] = {
    "relevance": "Which one responds better to the question?",
    "accuracy": "Which one is more right?",
    "style": "Which one has more of the voice?",
}
KEYS = "[a]  [b]  [t]ie  [u]ndo  [q]uit"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a person is shown."""

    name: str
    """The persona."""
    voice: str
    """What it should sound like, in words."""
    pairs: list[Pair]


def newest(home: Path, name: str, against: str) -> Comparison:
    """The answers of a persona's newest evaluation beside another arm's, or another release's.

    Args:
        home: `$FACTORY_HOME`.
        name: The persona.
        against: An arm (`base`, `prompted`, `previous`), or `NAME@N`.

    Raises:
        UsageError: If the persona was not evaluated, or the other side did not answer.
    """
    if "@" in name:
        persona = name.partition("@")[0]
        raise UsageError(
            "a persona's newest evaluation is compared, so only its name is taken",
            where="NAME",
            got=name,
            allowed=persona,
            hint=f"`factory compare {persona} --against NAME@N` has a release on the other side",
        )
    entries, spec = _evaluated(home, name)
    said = _released(home, against) if "@" in against else None
    if "@" in against and said is None:
        raise UsageError(
            "there is no such release",
            where="--against",
            got=against,
            allowed="NAME@N, for example concise@1",
            hint="run `factory show`",
        )
    pairs = pairs_of(entries, against, said)
    if not pairs:
        arms = dict.fromkeys(arm for e in entries for arm in e["answers"])
        known = ", ".join(arm for arm in arms if arm not in ("tuned", "again"))
        raise UsageError(
            f"there are no answers to compare those of {name!r} with",
            where="--against",
            got=against,
            allowed=f"{known}, or NAME@N of a release that was asked the same questions",
            hint="`previous` is the release that was served when the newest build was evaluated,"
            f" and none was; promote one (`factory promote {name}@N`) before the next build, or"
            f" name one: --against {name}@N"
            if against == "previous"
            else None,
        )
    traits = [f"Voice: {', '.join(spec['voice'])}."] if spec["voice"] else []
    return Comparison(name, " ".join([spec["description"], *traits]), pairs)


def _evaluated(home: Path, name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The newest answers of a persona, and its resolved file."""
    for run in runs_of(home, name):
        for stage in read_json(run / "stages.json"):
            file = home / "store" / "evaluate" / stage["key"] / "answers.jsonl"
            if stage["name"] == "evaluate" and file.is_file():
                return list(read_jsonl(file)), read_json(run / "spec.json")
    close = get_close_matches(name, [other for other in released(home) if other != name], 1)
    raise UsageError(
        f"{name!r} was not evaluated yet",
        where=str(home / "runs"),
        hint=f"did you mean {close[0]}?"
        if close
        else "run `factory build` with its persona file first",
    )


def people(home: Path, name: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What people said of exactly these answers: plain data for the report, by opponent.

    Args:
        home: `$FACTORY_HOME`.
        name: The persona.
        entries: A scorecard's answers.
    """
    kept = [pick for pick in picks.load(home, name) if pick.decided]
    pairs: list[Pair] = []
    for against in dict.fromkeys(pick.against for pick in kept):
        said = _released(home, against) if "@" in against else None
        pairs += pairs_of(entries, against, said)
    return picks.summary(picks.matching(kept, pairs))


def _released(home: Path, reference: str) -> dict[Place, str] | None:
    """What a release answered; None if it is not there."""
    name, _, number = reference.partition("@")
    file = home / "releases" / name / number / "answers.jsonl"
    if not (re.fullmatch(NAME_PATTERN, name) and number.isdecimal() and file.is_file()):
        return None
    return {place(e): e["answers"]["tuned"]["text"] for e in read_jsonl(file)}


def compare(
    home: Path,
    comparison: Comparison,
    console: Console,
    read: Callable[[str], str],
    *,
    count: int = 15,
    seed: int | None = None,
) -> list[Pick]:
    """Ask a person about every pair that is not decided yet, keep each pick at once, show the sum.

    Which answer is whose is told at the end only.

    Args:
        home: `$FACTORY_HOME`.
        comparison: From `newest`.
        console: Where to show it.
        read: Asks a person for a line; EOFError ends it like `q`.
        count: Most questions, those that were decided before included.
        seed: Of the order of A and B; left out: the one picks were begun with, else a new one.

    Returns:
        All picks on these answers, from before, too.
    """
    name, pairs = comparison.name, comparison.pairs
    different = [pair for pair in pairs if pair.tuned.strip() != pair.other.strip()]
    console.print(Text(clean(comparison.voice), "italic"))
    if same := len(pairs) - len(different):
        console.print(f"{same} of {len(pairs)} answers are the same on both sides: not asked")
    chosen = different[:count]
    before = picks.load(home, name)
    if seed is None:
        seed = before[0].seed if before else random.SystemRandom().getrandbits(31)
    known = {(pick.key, pick.against): pick for pick in before}
    held = [known.get((p.key, p.against)) or _fresh(p, seed) for p in chosen]
    steps = [
        (at, aspect)
        for at, pick in enumerate(held)
        for aspect in ASPECTS
        if aspect not in pick.choices
    ]
    _ask(home, name, chosen, held, steps, console, read)
    decided = [pick for pick in held if pick.decided]
    _show(decided, len(chosen), console)
    if len(decided) < len(chosen):
        console.print(
            f"{len(decided)} of {len(chosen)} questions are judged; the same command goes on with"
            " the others",
            soft_wrap=True,
        )
    return [pick for pick in held if pick.choices]


def _fresh(pair: Pair, seed: int) -> Pick:
    first = random.Random(f"{seed} {pair.key}").random() < 0.5
    return Pick(pair.key, pair.id, pair.against, seed, first)


def _ask(
    home: Path,
    name: str,
    pairs: Sequence[Pair],
    held: list[Pick],
    steps: Sequence[tuple[int, Aspect]],
    console: Console,
    read: Callable[[str], str],
) -> None:
    """Go through the steps, one key each; `u` goes one back, over the question before, too."""
    at, shown = 0, -1
    while at < len(steps):
        number, aspect = steps[at]
        if number != shown:
            _panel(pairs[number], held[number], f"{number + 1} of {len(pairs)}", console)
            shown = number
        try:
            key = _key(read, f"{QUESTIONS[aspect]}  {KEYS} > ")
        except EOFError:
            console.print()  # leaves the line of the prompt
            return
        if key == "q":
            return
        if key == "u":
            at = max(0, at - 1)
            number, aspect = steps[at]
            held[number] = held[number].undone(aspect)
        else:
            held[number] = held[number].chosen(aspect, _choice(key, held[number].tuned_first))
            at += 1
        picks.keep(home, name, held[number])


def _key(read: Callable[[str], str], prompt: str) -> str:
    while (key := read(prompt).strip().lower()[:1]) not in tuple("abtuq"):
        pass
    return key


def _choice(key: str, tuned_first: bool) -> Choice:
    if key == "t":
        return "tie"
    return "tuned" if (key == "a") == tuned_first else "other"


def _panel(pair: Pair, pick: Pick, title: str, console: Console) -> None:
    texts = (pair.tuned, pair.other) if pick.tuned_first else (pair.other, pair.tuned)
    shown = Text()
    for role, text in pair.history:
        shown.append(f"{role}: {clean(text)}\n", "dim")
    shown.append(clean(pair.ask), "bold")
    for letter, text in zip("AB", texts, strict=True):
        shown.append(f"\n\n{letter}\n", "bold cyan")
        shown.append(clean(text).strip() or "(says nothing)")
    console.print(Panel(shown, title=title, title_align="left"))


def _show(found: Sequence[Pick], chosen: int, console: Console) -> None:
    if not found:
        console.print("no question is decided yet; what was picked is kept")
        return
    other = found[0].against
    table = Table(title=f"tuned against {other}: {len(found)} of {chosen} questions")
    for head in ("", "tuned", other, "tie", "p"):
        table.add_column(head, justify="left" if not head else "right")
    results = [picks.result(found, aspect) for aspect in ASPECTS]
    for r in results:
        p = "\N{EN DASH}" if r.p is None else f"{r.p:.3f}"
        table.add_row(r.aspect, str(r.tuned), str(r.other), str(r.ties), p)
    console.print(table)
    for r in results:
        console.print(f"{r.aspect}: {r.sentence(other)}", markup=False)
    side = ", ".join(f"{pick.id}: {'A' if pick.tuned_first else 'B'}" for pick in found)
    console.print(f"the tuned model was {side}", markup=False)
