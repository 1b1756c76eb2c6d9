"""The evidence behind a verdict as Markdown: gates, instruments, numbers, the voice, the suites."""

from __future__ import annotations

from collections.abc import Iterator

from factory.report import voice
from factory.report.answers import Entry
from factory.report.facts import ARM_LABELS, BuildReport, arms, labels
from factory.report.gates import Gate, gates, reasons, sight, tools
from factory.report.markup import inline, table
from factory.report.metrics import metric_rows, strata
from factory.report.opinions import opinions
from factory.report.suites import suites
from factory.report.words import NOTHING, heading, plural


def why(report: BuildReport) -> str:
    """The checks that decided, as a list; empty where all held."""
    return "\n".join(f"- {inline(reason)}" for reason in reasons(report))


def decided(report: BuildReport) -> Iterator[str]:
    """Why this verdict: gates with their intervals, then the instruments."""
    found, instruments = gates(report), tools(report)
    if found or instruments:
        yield f"## {heading('Why this verdict', report.language)}"
    if found:
        yield (
            "Differences are tuned minus other, with their interval; below zero is worse. Where no "
            "loss is allowed the tuned model has to win."
        )
        head = ["gate", "result", "difference (interval)", "allowed loss", "smallest visible loss",
                "n", "required", "seen"]  # fmt: skip
        yield table(head, map(_gate, found))
        yield inline(sight(report))
    if instruments:
        yield "**Instruments: whether planted defects are noticed**"
        yield table(
            ["instrument", "result", "required", "seen"],
            (
                [tool.label, f"{tool.sign} {tool.result}", tool.rule, tool.seen]
                for tool in instruments
            ),
        )


def _gate(gate: Gate) -> list[str]:
    return [
        gate.title, f"{gate.sign} {gate.result}", gate.difference, gate.allowed,
        gate.visible, NOTHING if gate.n is None else f"{gate.n:,}", gate.rule,
        gate.seen,
    ]  # fmt: skip


def numbers(report: BuildReport) -> Iterator[str]:
    """Every metric by arm, and the kinds of question apart."""
    rows, kinds = metric_rows(report), strata(report)
    names = [inline(label) for label in labels(report).values()]
    if rows:
        yield f"## {heading('Numbers', report.language)}"
        yield table(
            ["metric", *names, "tuned against base", "noise (base against itself)", "n", "note"],
            (
                [row.label, *(row.text(arm) for arm in arms(report)), row.comparison, row.spread,
                 row.n, row.note]
                for row in rows
            ),
        )  # fmt: skip
    if kinds:
        yield "**By kind of question**"
        yield table(
            ["metric", "kind", *names, "tuned against base", "n"],
            (
                [kind.metric, kind.stratum, *(text for _, text in kind.cells),
                 kind.comparison + (" (weakest)" if kind.weakest else ""), kind.n]
                for kind in kinds
            ),
        )  # fmt: skip
    for who, said in opinions(report):
        yield f"**{who}**"
        yield "\n".join(f"- {inline(line)}" for line in said)


def spoken_voice(report: BuildReport) -> Iterator[str]:
    """What marks the voice, how long it lasts, and its tics."""
    words, held, tics = voice.style_words(report), voice.hold(report), voice.tics(report)
    if words or held or tics:
        yield f"## {heading('The voice', report.language)}"
    yield inline(" ".join(words))
    for title, found in voice.features(report):
        yield f"{title.capitalize()}: " + inline(", ".join(found))
    for title, drawn in (("How the voice lasts", held), ("Habits", tics)):
        if drawn:
            yield f"**{title}**"
            yield table(list(map(inline, drawn.head)), drawn.rows)


def skills(report: BuildReport, found: list[Entry]) -> Iterator[str]:
    """The suites: what every arm solves, and every item that tuning lost."""
    asked = suites(found)
    if asked:
        yield f"## {heading('Skills and safety', report.language)}"
        yield table(
            ["suite", "items", "solved", "lost by tuning", "gained"],
            (
                [suite.title, suite.count, ", ".join(f"{arm} {n}" for arm, n in suite.solved),
                 len(suite.lost), len(suite.gained)]
                for suite in asked
            ),
        )  # fmt: skip
    for suite in asked:
        if suite.lost:
            yield f"**{suite.title}: {plural(len(suite.lost), 'item')} lost**"
            yield table(
                ["asked", "expected", ARM_LABELS["prompted"], "tuned"],
                ([e.ask, e.expect, e.text("prompted"), e.text("tuned")] for e in suite.lost),
            )
