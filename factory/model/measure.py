"""Measures one arm: its answers to every case, and how likely it finds given texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from factory.artifacts import Row
from factory.contracts import Case, Message
from factory.model.sample import Sampling
from factory.model.subject import Subject
from factory.suite.endpoint import EndpointSubject
from factory.suite.items import Script
from factory.suite.material import Material, seed, with_answer
from factory.suite.scores import Answers, Likelihood, Measured

SUITE_TOKENS = 48
"""Longest answer to an item of a suite; what is right there is short."""

Asked = Subject | EndpointSubject
"""What can be asked; only the first can be read to."""

CHUNK = 20
"""Cases after which the next arm has its turn: whatever drifts, drifts for all arms alike."""


@dataclass(frozen=True, slots=True)
class Draw:
    """How answers are drawn.

    Args:
        sampling: As the model is served.
        random_seed: The persona file's.
        stream: Name of the arm's own random stream.
    """

    sampling: Sampling
    random_seed: int
    stream: str

    @property
    def greedy(self) -> Sampling:
        """The most likely answer of the same length."""
        return self.sampling.greedy()

    def seeds(self, case: Case, first: int, last: int) -> list[int]:
        """Seeds of some samples of a case."""
        return [seed(self.random_seed, self.stream, case.id, k) for k in range(first, last)]


Tick = Callable[[int], None]


def answer(
    subject: Asked, cases: Sequence[Case], draw: Draw, samples: int, found: Measured, tick: Tick
) -> None:
    """Answer cases greedily and by drawing; what was answered before is not asked again."""
    begun = {case.id: found.answers.get(case.id) for case in cases}
    asked = [case for case in cases if begun[case.id] is None]
    conversations = [list(case.messages) for case in asked]
    ones = subject.answers(conversations, [[0]] * len(asked), draw.greedy, tick)
    for case, replies in zip(asked, ones, strict=True):
        found.answers[case.id] = Answers(replies[0])
    short = [case for case in cases if len(found.answers[case.id].samples) < samples]
    seeds = [draw.seeds(c, len(found.answers[c.id].samples), samples) for c in short]
    drawn = subject.answers([list(c.messages) for c in short], seeds, draw.sampling, tick)
    for case, replies in zip(short, drawn, strict=True):
        had = found.answers[case.id]
        found.answers[case.id] = Answers(had.greedy, (*had.samples, *replies))


def fresh(subject: Asked, cases: Sequence[Case], draw: Draw, count: int) -> dict[str, Answers]:
    """New draws for some cases, from a stream of their own; to confirm what looks broken."""
    seeds = [draw.seeds(case, 0, count) for case in cases]
    drawn = subject.answers([list(c.messages) for c in cases], seeds, draw.sampling, lambda _: None)
    return {c.id: Answers(r[0], tuple(r[1:])) for c, r in zip(cases, drawn, strict=True)}


def answer_suites(
    subject: Asked, material: Material, draw: Draw, found: Measured, tick: Tick
) -> None:
    """Answer the suites' items greedily, and hold the long conversations."""
    short = draw.sampling.greedy(SUITE_TOKENS)
    for cases, sampling in ((material.suites, short), (material.trained, draw.greedy)):
        conversations = [list(case.messages) for case in cases]
        replies = subject.answers(conversations, [[0]] * len(conversations), sampling, tick)
        for case, (reply,) in zip(cases, replies, strict=True):
            found.answers[case.id] = Answers(reply)
    talks: list[tuple[Script, list[Message]]] = [(script, []) for script in material.scripts]
    for turn in range(max((len(s.turns) for s in material.scripts), default=0)):
        for script, talk in talks:
            talk.append({"role": "user", "content": script.turns[turn]})
        # A small window ends a talk early: what was said until then still counts.
        talks = [(script, talk) for script, talk in talks if subject.fits(talk)]
        said = subject.answers([talk for _, talk in talks], [[0]] * len(talks), short, tick)
        for (script, talk), (reply,) in zip(talks, said, strict=True):
            talk.append({"role": "assistant", "content": reply.text})
            found.turns.setdefault(script.id, []).append(reply)


def readable(
    readers: Sequence[Subject], material: Material, plain: Mapping[str, str]
) -> tuple[Material, dict[str, str]]:
    """The rows, and the plain answers by row, that all of these can read.

    A row was measured behind the persona's own prompt, a plain answer behind none, and a twin in the
    data was never held against the window or the chat format.
    """

    def can(talk: Sequence[Message]) -> bool:
        return all(reader.reads(talk) for reader in readers)

    held_out, train = (
        tuple(row for row in rows if can(row["messages"]))
        for rows in (material.held_out, material.train)
    )
    twins = {
        row["id"]: plain[row["id"]]
        for row in held_out
        if row["id"] in plain and can(with_answer(row["messages"][:-1], plain[row["id"]]))
    }
    return replace(material, held_out=held_out, train=train), twins


def read(
    subject: Subject,
    bare: Subject,
    material: Material,
    plain: Mapping[str, str],
    neutral: Mapping[str, str],
    found: Measured,
) -> None:
    """How likely the arm finds texts.

    Args:
        subject: The arm, behind its prompt.
        bare: The same weights without a prompt.
        material: What is read.
        plain: Plain answers to held-out questions, by row.
        neutral: The base's own answers to everyday questions, by case.
        found: Filled.
    """
    twins = {row["id"]: plain[row["id"]] for row in material.held_out if row["id"] in plain}
    by_id = {row["id"]: row for row in material.held_out}
    replaced = [with_answer(by_id[name]["messages"][:-1], text) for name, text in twins.items()]
    found.likelihoods["held_out"] = _rows(subject, material.held_out)
    found.likelihoods["train"] = _rows(subject, material.train)
    found.likelihoods["twin"] = dict(zip(twins, subject.likelihoods(replaced), strict=True))
    found.likelihoods["plain"] = dict(zip(twins, bare.likelihoods(replaced), strict=True))
    asked = [case for case in material.neutral if neutral.get(case.id)]
    talks = [with_answer(case.messages, neutral[case.id]) for case in asked]
    found.likelihoods["neutral"] = dict(
        zip((case.id for case in asked), bare.likelihoods(talks), strict=True)
    )
    texts = bare.text_likelihoods([text for _, text in material.general])
    names = [name for name, _ in material.general]
    found.likelihoods["general"] = dict(zip(names, texts, strict=True))
    harmful = [c for c in material.suites if c.suite == "safety" and c.stratum == "harmful"][:12]
    said = [
        with_answer(case.messages, material.refusals[k % len(material.refusals)])
        for k, case in enumerate(harmful)
    ]
    found.likelihoods["refusals"] = dict(
        zip((case.id for case in harmful), subject.likelihoods(said), strict=True)
    )


def _rows(subject: Subject, rows: Sequence[Row]) -> dict[str, Likelihood]:
    scored = subject.likelihoods([row["messages"] for row in rows])
    return {row["id"]: likelihood for row, likelihood in zip(rows, scored, strict=True)}


def plain_answers(bare: Subject, rows: Sequence[Row], draw: Draw, tick: Tick) -> dict[str, str]:
    """Each row's question without the persona: its twin, else what the base answers; by row."""
    asked = [row for row in rows if not row.get("twin")]
    replies = bare.answers(
        [row["messages"][:-1] for row in asked], [[0]] * len(asked), draw.greedy, tick
    )
    given = {
        row["id"]: reply.text
        for row, (reply,) in zip(asked, replies, strict=True)
        if bare.reads(with_answer(row["messages"][:-1], reply.text))
    }
    found = {row["id"]: row.get("twin") or given.get(row["id"], "") for row in rows}
    return {name: text for name, text in found.items() if text.strip()}


def neutral_answers(bare: Subject, cases: Sequence[Case], draw: Draw, tick: Tick) -> dict[str, str]:
    """What the base answers to everyday questions, by case; what cannot be scored is left out."""
    replies = bare.answers([list(c.messages) for c in cases], [[0]] * len(cases), draw.greedy, tick)
    return {
        case.id: reply.text
        for case, (reply,) in zip(cases, replies, strict=True)
        if reply.text.strip() and bare.reads(with_answer(case.messages, reply.text))
    }
