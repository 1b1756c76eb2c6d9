"""Puts one model beside its base, and beside what is served now, and writes down what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.artifacts import Release
from factory.base import Base
from factory.contracts import Case, Grader, Progress
from factory.errors import InstrumentInvalid
from factory.hardware import Hardware, detect
from factory.memory import finishing
from factory.model.sample import Sampling
from factory.model.subject import Subject
from factory.model.trial import Arm, Judging, Trial
from factory.pairs.ledger import Ledger
from factory.spec import Evaluate, Rule
from factory.suite import card, comparable, judge
from factory.suite.cache import Cache
from factory.suite.endpoint import Endpoint, EndpointSubject
from factory.suite.material import Material
from factory.suite.record import Record
from factory.suite.scores import Answers
from factory.teaching import Teacher


@dataclass(frozen=True, slots=True)
class Local:
    """A model on this machine."""

    label: str
    folder: Path
    """Hugging Face folder: its own tokenizer, template and stop tokens are used, as a server does."""
    digest: str
    """Hash of the weights."""
    prompt: str

    @classmethod
    def of(cls, release: Release) -> Local:
        """A release as it is served."""
        facts = release.facts()
        label = f"{facts['name']}@{release.number}"
        return cls(label, release.weights, facts["model_digest"], facts["prompt"])


@dataclass(frozen=True, slots=True)
class Persona:
    """What an evaluation knows of a persona, beside what is asked."""

    prompt: str
    description: str
    voice: tuple[str, ...]
    rules: tuple[Rule, ...]
    language: str
    sampling: Mapping[str, float]
    """How it is served: temperature, top_p, top_k, repetition_penalty."""
    random_seed: int
    language_check: bool = True
    """Whether its rows, and so its answers, must be in its language."""


def examine(
    config: Evaluate,
    asked: Material,
    persona: Persona,
    *,
    base: Base,
    candidate: Local,
    previous: Local | Endpoint | None,
    record: Record | None = None,
    keep: bool = False,
    graders: Sequence[Grader],
    ledger: Path,
    cache: Cache,
    progress: Progress,
) -> tuple[dict[str, Any], list[dict[str, Any]], Record | None]:
    """Measure, decide, and write the scorecard.

    Args:
        config: The persona file's `evaluate` section.
        asked: What is asked and read.
        persona: Whose voice it is.
        base: The base model.
        candidate: The model that is judged.
        previous: What it must not be worse than, beside its base.
        record: The same from an earlier evaluation.
        keep: Whether a record is wanted; then the candidate also answers what a second look asks.
        graders: Applied to every answer.
        ledger: Where a judge's verdicts are kept, so that none is paid twice.
        cache: Where answers and likelihoods are kept.
        progress: Told how far it is.

    Raises:
        InstrumentInvalid: If the candidate has another chat template or tokenizer than its base.

    Returns:
        The scorecard, one entry per case with the answers of all arms, and the candidate's record.
    """
    if record is not None:
        asked = record.shared(asked)
    _prove_format(candidate, base)
    plain = Subject(base, "", cache, base.digest)
    arms = {
        "base": Arm(plain, plain),
        "prompted": Arm(plain.behind(persona.prompt), plain),
        "tuned": _arm(candidate, base, cache),
    }
    if previous is not None:
        arms["previous"] = _arm(previous, base, cache)
    trial = Trial(
        config, asked, arms, graders, persona.language, persona.rules,
        Sampling.of(persona.sampling, config.max_new_tokens), persona.random_seed, progress,
        lean=crowded(arms, detect()), record=record.measured if record else None,
        judging=_judging(config.judge, base, persona, ledger, progress) if config.judge else None,
        language_check=persona.language_check,
    )  # fmt: skip
    try:
        decision = trial.run()
        in_full = trial.in_full() if keep else None
    finally:
        for arm in arms.values():
            arm.subject.close()
    if trial.panel is None:
        raise AssertionError("a trial that ran has its scorers")
    found = card.scorecard(
        decision,
        asked,
        trial.asked,
        trial.measured,
        trial.scores,
        trial.instruments,
        trial.panel,
        prompt_tokens=len(base.format.encode(persona.prompt)),
        unprompted=trial.unprompted,
    )
    found["judge"] = trial.judge
    found["looks"], found["samples"] = trial.looks, trial.samples
    found["previous"] = previous.label if previous else record.label if record else None
    keys = comparable.keys(asked, base, persona.sampling, config, persona.language)
    found["comparable"] = keys
    kept = (
        Record.of(candidate.label, keys, (*asked.cases, *asked.spare), asked, in_full)
        if in_full
        else None
    )
    return found, card.answers(trial.measured, asked, trial.asked, trial.panel), kept


def crowded(arms: Mapping[str, Arm], hardware: Hardware) -> bool:
    """Whether the models of all arms are too many to be held in memory at once."""
    subjects = [arm.subject for name, arm in arms.items() if name != "prompted"]
    models = [one.base for one in subjects if isinstance(one, Subject)]
    return finishing(hardware, *models) > hardware.budget


class _Served(Base):
    """A model folder as a server reads it: it stops where the folder says, not where it should."""

    @property
    def stop_ids(self) -> list[int]:
        """Of the generation config, and the tokenizer's own end."""
        own = self.generation.get("eos_token_id", self.config.get("eos_token_id"))
        ids = set(own if isinstance(own, list) else [own] if own is not None else [])
        end = self.format.tokenizer.token_to_id(self.format.special.get("eos_token", ""))
        return sorted(ids | ({end} if end is not None else set()))


def _judging(
    section: Teacher, base: Base, persona: Persona, ledger: Path, progress: Progress
) -> Judging:
    def judging(
        cases: Sequence[Case], answers: Mapping[str, Mapping[str, Answers]]
    ) -> judge.Judged:
        shown = {arm: found for arm, found in answers.items() if arm != "again"}
        with Ledger(ledger) as opened:
            return judge.judge(
                section, base if section.type == "self" else None, cases, shown,
                description=persona.description, voice=persona.voice, ledger=opened,
                progress=progress,
            )  # fmt: skip

    return judging


def _prove_format(candidate: Local, base: Base) -> None:
    """The candidate must read and write conversations as it was tuned to (law 7)."""
    own = Base(candidate.label, candidate.folder, None).format
    if own.digest == base.format.digest:
        return
    what = "template" if own.template != base.format.template else "tokenizer"
    raise InstrumentInvalid(
        f"this model's chat {what} is not the one of its base, so no score would be about the model",
        where=str(candidate.folder),
        got=f"digest {own.digest[:16]}",
        allowed=f"digest {base.format.digest[:16]}, as in {base.folder}",
        hint="serve the folder that the build made; it has the base's own files",
    )


def _arm(model: Local | Endpoint, base: Base, cache: Cache) -> Arm:
    if isinstance(model, Endpoint):
        return Arm(EndpointSubject(model), None)
    own = _Served(model.label, model.folder, None)
    subject = Subject(own, model.prompt, cache, model.digest)
    # Nats per token compare only where text becomes the same tokens.
    same = own.format.digest == base.format.digest
    return Arm(subject, subject.behind("") if same else None)
