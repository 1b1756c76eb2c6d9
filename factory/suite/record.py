"""What a model once said and how likely it found texts, kept so that later models can be held to it.

A record holds no score. The style scorers are fitted anew by every run, the rules are the persona file's of
the day, and relevance depends on how much was asked: only what was scored together may be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from factory.contracts import Case
from factory.suite.material import Material, fingerprint
from factory.suite.scores import Measured

VERSION = 2
"""Of a record's form."""


@dataclass(frozen=True, slots=True)
class Record:
    """One model's answers and likelihoods; written down on purpose, and never changed."""

    label: str
    keys: dict[str, Any]
    """What must be equal before anything is compared with it."""
    asked: dict[str, str]
    """Case of the persona -> hash of what was asked: after an edit of the data another row may have
    the same id."""
    measured: Measured
    """Without what training rows brought: these may differ from one model to the next."""

    def __post_init__(self) -> None:
        if lacking := self.asked.keys() - self.measured.answers.keys():
            raise ValueError(f"no answers to {', '.join(sorted(lacking))}")

    @classmethod
    def of(
        cls,
        label: str,
        keys: dict[str, Any],
        cases: Sequence[Case],
        asked: Material,
        found: Measured,
    ) -> Record:
        """Keep what was measured.

        Args:
            label: Name of the model.
            keys: As `comparable.keys`.
            cases: The persona's cases that it answered.
            asked: What else was asked and read.
            found: Of this model.
        """
        kept = {case.id: found.answers[case.id] for case in (*cases, *asked.suites)}
        read = {texts: ones for texts, ones in found.likelihoods.items() if texts != "train"}
        hashes = {case.id: fingerprint([case])[:16] for case in cases}
        return cls(label, keys, hashes, Measured(kept, read, found.turns))

    @classmethod
    def parse(cls, found: Any) -> Record:
        """A record from plain data.

        Raises:
            pydantic.ValidationError: If it is none.
        """
        return _FORM.validate_python(found)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, from which `parse` makes the same record."""
        plain = _FORM.dump_python(self, mode="json", exclude_defaults=True)
        return {"version": VERSION, **plain}

    def shared(self, asked: Material) -> Material:
        """What is asked, with only those spare cases that the record's model answered, too."""
        known = [c for c in asked.spare if self.asked.get(c.id) == fingerprint([c])[:16]]
        return replace(asked, spare=tuple(known))


_FORM = TypeAdapter(Record)
