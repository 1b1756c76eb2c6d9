"""One evaluation: every arm is measured, scored and put before the gate; escalated once if undecided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from factory.contracts import Case, Grader, Progress
from factory.gate import Decision, gate
from factory.model.measure import (
    CHUNK,
    Draw,
    answer,
    answer_suites,
    fresh,
    neutral_answers,
    plain_answers,
    read,
    readable,
)
from factory.model.sample import Sampling
from factory.model.subject import Subject
from factory.spec import Evaluate, Rule
from factory.suite.burrows import Burrows
from factory.suite.endpoint import EndpointSubject
from factory.suite.judge import Judged
from factory.suite.material import Material, row_case
from factory.suite.panel import Panel
from factory.suite.planted import planted
from factory.suite.scores import Answers, Instrument, Measured, Scores
from factory.suite.sound import sound
from factory.suite.style import StyleScorer, TooFewTexts

CONFIRMED_BY = 5
"""Fresh answers that confirm or clear what looks broken (EVAL.md 9.6)."""


Judging = Callable[[Sequence[Case], Mapping[str, Mapping[str, Answers]]], Judged]
"""Cases and the answers of every arm -> what the judge says."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the compared models, behind the prompt it is served with and without any."""

    subject: Subject | EndpointSubject
    bare: Subject | None
    """None for what gives no likelihoods that could be compared."""


@dataclass(slots=True)
class Trial:
    """An evaluation in progress, and what came of it.

    Args:
        config: The persona file's `evaluate` section.
        material: What is asked and read.
        arms: `base`, `prompted`, `tuned`, and `previous` where there is one; the first three with
            `bare`.
        graders: Applied to every answer.
        language: Two-letter code of the answers.
        rules: The persona's rules.
        sampling: As the model is served.
        random_seed: The persona file's.
        progress: Told how far it is.
    """

    config: Evaluate
    material: Material
    arms: Mapping[str, Arm]
    graders: Sequence[Grader]
    language: str
    rules: Sequence[Rule]
    sampling: Sampling
    random_seed: int
    progress: Progress
    lean: bool = False
    """Whether only one model is held in memory at a time; then whole arms follow each other."""
    record: Measured | None = None
    """What `previous` said in an earlier evaluation, to all of `material`."""
    judging: Judging | None = None
    """Asks the judge, where there is one."""
    language_check: bool = True
    """The persona file's `curate.language_check`: whether answers must be in its language."""
    measured: dict[str, Measured] = field(default_factory=dict)
    plain: dict[str, str] = field(default_factory=dict)
    """Plain answers to held-out questions, by row."""
    unprompted: list[str] = field(default_factory=list)
    """What the tuned model answers to the persona's cases without its prompt."""
    panel: Panel | None = None
    scores: list[Scores] = field(default_factory=list)
    instruments: list[Instrument] = field(default_factory=list)
    judge: dict[str, Any] | None = None
    """What the judge did, as plain data."""
    samples: int = 0
    looks: Literal[1, 2] = 1
    _done: int = 0
    _total: int = 0

    def run(self) -> Decision:
        """Measure, score, decide; once more with more evidence if that was not enough."""
        self.samples = self.config.samples
        self._total = self._expected()
        for name in self._streams:  # an arm that is asked nothing is measured all the same
            self.measured.setdefault(name, Measured())
        panel = self.panel = self._scorers()
        self._ask(self.material.cases)
        self._ask_suites()
        self._read()
        if self.record is not None:
            self.measured["previous"] = self.record
        decision = self._decide(panel)
        more = self.config.most_samples > self.samples or self.material.spare
        if decision.verdict == "INCONCLUSIVE" and decision.undecided and more:
            self.looks, self.samples = 2, max(self.samples, self.config.most_samples)
            self.progress(note="undecided so far: asking more")
            self._total += len(self._streams) * (
                len(self.asked) * self.samples - len(self.material.cases) * self.config.samples
            )
            self._ask(self.asked)
            decision = self._decide(panel)
        return decision

    @property
    def asked(self) -> tuple[Case, ...]:
        """The persona's cases that were asked so far."""
        return self.material.cases + (self.material.spare if self.looks > 1 else ())

    def answers(self) -> dict[str, dict[str, Answers]]:
        """Arm -> case -> answers."""
        return {arm: found.answers for arm, found in self.measured.items()}

    def in_full(self) -> Measured:
        """The tuned model with all answers of a second look, drawn now if there was none.

        A record is compared with many runs, of which some look twice.
        """
        found = replace(self.measured["tuned"], answers=dict(self.measured["tuned"].answers))
        cases = (*self.material.cases, *self.material.spare)
        most = max(self.config.samples, self.config.most_samples)
        subject, tick = self.arms["tuned"].subject, self._tick("tuned: answering for the record")
        self._total += len(cases) * (1 + most) - len(self.asked) * (1 + self.samples)
        answer(subject, cases, self._draw("tuned"), most, found, tick)
        return found

    # --- measuring -----------------------------------------------------------------------------

    @property
    def _streams(self) -> dict[str, Subject | EndpointSubject]:
        """Who answers the persona's cases; the base twice."""
        found = {name: arm.subject for name, arm in self.arms.items()}
        return {**found, "again": self.arms["base"].subject}

    @property
    def _suited(self) -> list[str]:
        """Arms that answer the suites: those with the persona's prompt."""
        return [name for name in ("prompted", "tuned", "previous") if name in self.arms]

    def _expected(self) -> int:
        m = self.material
        each = len(m.suites) + len(m.trained) + sum(len(s.turns) for s in m.scripts)
        plain = len(m.train) + len(m.held_out) + len(m.neutral) + len(m.cases)
        asked = len(self._streams) * len(m.cases) * (1 + self.samples)
        return asked + len(self._suited) * each + plain

    def _draw(self, stream: str) -> Draw:
        return Draw(self.sampling, self.random_seed, stream)

    def _tick(self, note: str) -> Callable[[int], None]:
        def tick(count: int) -> None:
            self._done += count
            self.progress(step=min(self._done, self._total), total=self._total, note=note)

        return tick

    def _bare(self, name: Literal["base", "tuned"]) -> Subject:
        bare = self.arms[name].bare
        if bare is None:
            raise AssertionError(f"the {name} model is on this machine, with the base's own tokens")
        return bare

    def _scorers(self) -> Panel:
        """What the base says without the persona is the other side of the style scorers."""
        base, draw, tick = self._bare("base"), self._draw("base"), self._tick("base: plain answers")
        rows = self.material.train
        plain = plain_answers(base, rows, draw, tick)
        self.plain = plain_answers(base, self.material.held_out, draw, tick)
        voiced = [row["messages"][-1]["content"] for row in rows if row["id"] in plain]
        others = [plain[row["id"]] for row in rows if row["id"] in plain]
        style = short = burrows = None
        try:
            style = StyleScorer.fit(voiced, others, random_seed=self.random_seed)
            short = StyleScorer.fit(voiced, others, random_seed=self.random_seed, words=60)
            burrows = Burrows.fit(voiced, others, self.language)
        except TooFewTexts as error:
            self.progress(note=f"style is not scored: {error}")
        return Panel(self.graders, self.rules, self.language, style, short, burrows)

    def _ask(self, cases: Sequence[Case]) -> None:
        size = max(1, len(cases)) if self.lean else CHUNK
        for start in range(0, len(cases), size):
            part = cases[start : start + size]
            for name, subject in self._streams.items():
                found = self.measured[name]
                order = part[::-1] if name == "again" else part
                tick = self._tick(f"{name}: answering")
                answer(subject, order, self._draw(name), self.samples, found, tick)
                self._leave(subject)

    def _leave(self, subject: Subject | EndpointSubject) -> None:
        """Make room for the next arm, where there is only room for one."""
        if self.lean:
            subject.close()

    def _ask_suites(self) -> None:
        for name in self._suited:
            tick = self._tick(f"{name}: suites")
            found = self.measured[name]
            answer_suites(self.arms[name].subject, self.material, self._draw(name), found, tick)
            self._leave(self.arms[name].subject)
        bare, cases = self._bare("tuned"), self.material.cases
        tick = self._tick("tuned: without its prompt")
        greedy, asked = self._draw("tuned").greedy, [list(c.messages) for c in cases]
        replies = bare.answers(asked, [[0]] * len(cases), greedy, tick)
        self.unprompted = [reply.text for (reply,) in replies]
        self._leave(bare)

    def _read(self) -> None:
        base, cases = self._bare("base"), self.material.neutral
        tick = self._tick("base: everyday questions")
        neutral = neutral_answers(base, cases, self._draw("base"), tick)
        readers = {
            name: (arm.subject, arm.bare)
            for name, arm in self.arms.items()
            if arm.bare is not None and isinstance(arm.subject, Subject)
        }
        both = [one for pair in readers.values() for one in pair]
        material, plain = readable(both, self.material, self.plain)
        for name, (subject, bare) in readers.items():
            self.progress(note=f"{name}: likelihoods")
            read(subject, bare, material, plain, neutral, self.measured[name])
            self._leave(subject)

    # --- deciding ------------------------------------------------------------------------------

    def _decide(self, panel: Panel) -> Decision:
        self.progress(note="scoring")
        self.scores = panel.scores(self.material, self.asked, self.measured)
        self.instruments = [
            *sound(self.asked, self.measured, self.scores),
            *planted(
                (*self.material.cases, *map(row_case, self.material.held_out)), self.plain,
                panel.style, panel.accuracy, self.language, self.random_seed,
                [row_case(row) for row in self.material.train],
                language_check=self.language_check,
            ),
        ]  # fmt: skip
        if self.judging is not None:
            judged = self.judging(self.asked, self.answers())
            self.judge = judged.as_dict()
            self.scores += judged.scores
            self.instruments.append(judged.instrument)

        def confirm(metric: str, items: Sequence[str]) -> Mapping[str, Sequence[float]]:
            """The metric on fresh answers of the tuned model to some cases."""
            cases = [case for case in self.asked if case.id in items]
            draw = self._draw(f"confirm {self.looks}")
            again = fresh(self.arms["tuned"].subject, cases, draw, CONFIRMED_BY)
            self._leave(self.arms["tuned"].subject)
            metrics = panel.metrics(self.material, self.asked, self.answers())
            found = next(one for one in metrics if one.name == metric)
            return found.of({"tuned": again}, items).values["tuned"]

        return gate(self.config, self.scores, self.instruments, look=self.looks, confirm=confirm)
