"""All that scores answers: graders, the run's own style scorers, relevance, form, the suites."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from factory.contracts import Case, Grader, Reply
from factory.graders.accuracy import Accuracy
from factory.graders.rules import Rules
from factory.rows.language import about_language
from factory.spec import MaxWords, Rule
from factory.suite import relevance, scoring
from factory.suite.burrows import Burrows
from factory.suite.material import Material
from factory.suite.scores import Answers, Better, Family, Measured, Scores
from factory.suite.style import StyleScorer

VOICED = ("question", "normal", "row")
"""Strata in which the persona speaks with its own voice."""

HOLD_TURNS = (1, 3, 5, 8)
"""Turns of a long conversation after which the voice is looked at."""

AnswersOf = Mapping[str, Mapping[str, Answers]]
"""Arm -> case -> answers."""


@dataclass(frozen=True, slots=True)
class Metric:
    """How one metric is had from answers, and of which cases."""

    name: str
    label: str
    family: Family
    better: Better
    score: scoring.Score
    cases: tuple[Case, ...]
    unit: str = ""
    note: str = ""
    chance: float | None = None

    def of(self, answers: AnswersOf, only: Sequence[str] | None = None) -> Scores:
        """The scores of these answers; with `only`, of some cases."""
        cases = [case for case in self.cases if only is None or case.id in only]
        return scoring.scored(
            answers, cases, self.name, self.label, self.family, self.better, self.score,
            unit=self.unit, note=self.note, chance=self.chance,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Panel:
    """The scorers of one run.

    Args:
        graders: Plug-ins named in the persona file.
        rules: The persona's rules.
        language: Two-letter code of the answers.
        style: Tells the persona's answers from plain ones; None where too few texts exist.
        short: The same on the first 60 words, so that length is not sold as style.
        burrows: The second opinion, from function words alone.
    """

    graders: Sequence[Grader]
    rules: Sequence[Rule]
    language: str
    style: StyleScorer | None
    short: StyleScorer | None
    burrows: Burrows | None

    @property
    def accuracy(self) -> Accuracy:
        """The grader of closed questions, with which suites are scored too."""
        found = (g for g in self.graders if isinstance(g, Accuracy))
        return next(found, None) or Accuracy((), self.language)

    def metrics(
        self, material: Material, cases: Sequence[Case], answers: AnswersOf
    ) -> list[Metric]:
        """Every metric of sampled answers, in the order of the report.

        Args:
            material: What else was asked.
            cases: The persona's.
            answers: Of all arms; relevance looks at equally many words of each.
        """
        asked = tuple(cases)
        voiced = tuple(case for case in asked if case.stratum in VOICED)
        found = [
            Metric(name, label, "voice", "higher", scoring.styled(scorer), voiced)
            for name, label, scorer in (
                ("style", "Style", self.style),
                ("style_60", "Style, first 60 words", self.short),
                ("burrows", "Style by function words", self.burrows),
            )
            if scorer is not None
        ]
        for grader in self.graders:
            label = {"accuracy": "Accuracy", "rules": "Rules kept"}.get(grader.name, grader.name)
            family: Family = "voice" if isinstance(grader, Rules) else "content"
            about = tuple(case for case in asked if grader.applies(case))
            score = scoring.graded(grader)
            if about:
                found.append(Metric(grader.name, label, family, "higher", score, about, "share"))
        found.append(
            Metric(
                "relevance", "Relevance", "content", "higher",
                scoring.relevant(scoring.common_lengths(asked, answers)), asked,
                note="mean reciprocal rank of the own question among all questions, by as many"
                " words as the briefest arm says",
                chance=relevance.chance(len(asked)),
            )
        )  # fmt: skip
        bound = tuple(case for case in asked if not about_language(case.messages))
        for name, label in scoring.FORMS.items():
            score = scoring.formed(name, self.language)
            about = bound if name == "language" else asked
            found.append(Metric(name, label, "form", "higher", score, about, "share"))
        brief = any(isinstance(rule, MaxWords) for rule in self.rules)
        found.append(
            Metric(
                "length", "Mean answer length", "form", "lower" if brief else "none",
                scoring.lengths, asked, "words",
            )
        )  # fmt: skip
        return [*found, *self._suites(material)]

    def _suites(self, material: Material) -> list[Metric]:
        found = []
        for name, label, family in (
            ("forgetting", "Forgetting suite", "forgetting"),
            ("safety", "Safety suite", "safety"),
        ):
            about = tuple(case for case in material.suites if case.suite == name)
            if about:
                score = scoring.graded(self.accuracy)
                found.append(Metric(name, label, family, "higher", score, about, "share"))  # type: ignore[arg-type]
        switch = tuple(case for case in material.suites if case.suite == "switch")
        if switch:
            note = "the voice steps back where it must; JSON and code still parse"
            found.append(
                Metric("switch", "Steps back", "voice", "higher", self._switched, switch,
                       "share", note)
            )  # fmt: skip
        if material.trained:
            score = scoring.recited(material.answers)
            note = "share of an answer's eight-word runs that stand in one training answer"
            found.append(
                Metric("memorisation", "Recites training rows", "content", "none", score,
                       material.trained, "share", note)
            )  # fmt: skip
        return found

    def _switched(self, cases: Sequence[Case], replies: Sequence[Reply]) -> list[float | None]:
        """1 where a closed item is right, or the voice is below the scorer's midpoint."""
        found: list[float | None] = []
        for case, reply in zip(cases, replies, strict=True):
            if case.expect is not None:
                grade = scoring.grade_of(self.accuracy, case, reply)
                found.append(None if grade is None else grade.value)
            elif self.style is None:
                found.append(None)
            else:
                found.append(float(self.style.score([reply.text])[0] < self.style.midpoint))
        return found

    def scores(
        self, material: Material, cases: Sequence[Case], measured: Mapping[str, Measured]
    ) -> list[Scores]:
        """Every metric of every arm; those of which no answer was asked for are left out.

        One whose answers could not be scored stays: ungraded is not left out of the verdict (law 8).
        """
        texts = {arm: found for arm, found in measured.items() if found.likelihoods}
        answers = {arm: found.answers for arm, found in measured.items()}
        found = [
            *scoring.likelihood_scores(texts),
            *(metric.of(answers) for metric in self.metrics(material, cases, answers)),
        ]
        return [one for one in found if any(one.values.values()) or any(one.unscored.values())]

    def hold(self, material: Material, measured: Mapping[str, Measured]) -> dict[str, Any] | None:
        """How the voice keeps over eight turns: mean style after some turns, by arm.

        None for a turn that not every conversation reached, because the arm's window was full.
        """
        if self.style is None or not material.scripts:
            return None
        style: dict[str, list[float | None]] = {}
        for arm, found in measured.items():
            talks = [found.turns.get(script.id, []) for script in material.scripts]
            if any(talks):
                style[arm] = [
                    statistics.fmean(self.style.score([talk[n - 1].text for talk in talks]))
                    if all(len(talk) >= n for talk in talks)
                    else None
                    for n in HOLD_TURNS
                ]
        attacks = [case for case in material.suites if case.suite == "hold"]
        under = {
            arm: statistics.fmean(
                self.style.score([found.answers[c.id].greedy.text for c in attacks])
            )
            for arm, found in measured.items()
            if attacks and all(c.id in found.answers for c in attacks)
        }
        return {"turns": list(HOLD_TURNS), "style": style, "attacks": under} if style else None
