"""Puts one model beside its base, and beside what is served now, and writes down what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.artifacts import Release
from factory.base import Base
from factory.contracts import Grader, Progress
from factory.model.sample import Sampling
from factory.model.subject import Subject
from factory.model.trial import Arm, Judging, Trial
from factory.spec import Evaluate, Rule
from factory.suite import card
from factory.suite.cache import Cache
from factory.suite.endpoint import Endpoint, EndpointSubject
from factory.suite.material import Material


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
    rules: tuple[Rule, ...]
    language: str
    sampling: Mapping[str, float]
    """How it is served: temperature, top_p, top_k, repetition_penalty."""
    random_seed: int


def examine(
    config: Evaluate,
    asked: Material,
    persona: Persona,
    *,
    base: Base,
    candidate: Local | Endpoint,
    previous: Local | Endpoint | None,
    record: tuple[str, Mapping[str, Mapping[str, list[float]]]] | None = None,
    judging: Judging | None = None,
    graders: Sequence[Grader],
    cache: Cache,
    progress: Progress,
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, dict[str, list[float]]]]:
    """Measure, decide, and write the scorecard.

    Args:
        config: The persona file's `evaluate` section.
        asked: What is asked and read.
        persona: Whose voice it is.
        base: The base model.
        candidate: The model that is judged.
        previous: What it must not be worse than, beside its base.
        record: The same from an earlier evaluation: its name, and metric -> item -> values.
        judging: Asks the judge, where there is one.
        graders: Applied to every answer.
        cache: Where answers and likelihoods are kept.
        progress: Told how far it is.

    Returns:
        The scorecard, one entry per case with the answers of all arms, and the candidate's own
        values: metric -> item -> values.
    """
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
        record=record[1] if record else {}, judging=judging,
    )  # fmt: skip
    try:
        decision = trial.run()
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
    found["previous"] = previous.label if previous else record[0] if record else None
    values = {
        one.name: {item: list(each) for item, each in one.values["tuned"].items()}
        for one in trial.scores
        if one.values.get("tuned")
    }
    return found, card.answers(trial.measured, asked, trial.asked, trial.panel), values


class _Served(Base):
    """A model folder as a server reads it: it stops where the folder says, not where it should."""

    @property
    def stop_ids(self) -> list[int]:
        """Of the generation config, and the tokenizer's own end."""
        own = self.generation.get("eos_token_id", self.config.get("eos_token_id"))
        ids = set(own if isinstance(own, list) else [own] if own is not None else [])
        end = self.format.tokenizer.token_to_id(self.format.special.get("eos_token", ""))
        return sorted(ids | ({end} if end is not None else set()))


def _arm(model: Local | Endpoint, base: Base, cache: Cache) -> Arm:
    if isinstance(model, Endpoint):
        return Arm(EndpointSubject(model), None)
    own = _Served(model.label, model.folder, None)
    subject = Subject(own, model.prompt, cache, model.digest)
    # Nats per token compare only where text becomes the same tokens.
    same = own.format.tokenizer.to_str() == base.format.tokenizer.to_str()
    return Arm(subject, subject.behind("") if same else None)
