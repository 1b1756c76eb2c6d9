"""What the training was set to, what the merge was proven with, and how the stages went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from factory.report.facts import BuildReport
from factory.report.words import NOTHING, duration, number, spoken


@dataclass(frozen=True, slots=True)
class Setting:
    """One hyperparameter with the reason for its value."""

    name: str
    value: str
    reason: str
    yours: bool
    warning: str


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg of the parity certificate; numbers that were not taken are dashes."""

    name: str
    status: str
    prompt_ids: str
    tokens: str
    mean_difference: str
    max_difference: str
    stops: str
    reason: str


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of the build."""

    name: str
    took: str
    share: float
    """Of the slowest stage's seconds, 0 to 1."""
    summary: str
    key: str


def settings(plan: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """The hyperparameters in the plan's order."""
    return [
        Setting(
            name=spoken(item.get("name", "")),
            value=shown(item.get("value")),
            reason=item.get("reason") or "",
            yours=item.get("source") == "yours",
            warning=item.get("warning") or "",
        )
        for item in plan
    ]


def shown(value: Any) -> str:
    """A setting's value as a person would write it."""
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return NOTHING if value is None else str(value)


def legs(certificate: Mapping[str, Any]) -> list[Leg]:
    """The legs of the parity certificate in order."""
    return [
        Leg(
            name=leg.get("name", ""),
            status=leg.get("status", ""),
            prompt_ids={True: "equal", False: "differ"}.get(leg.get("prompt_ids_equal"), NOTHING),
            tokens=_percent(leg.get("token_agreement")),
            mean_difference=_small(leg.get("mean_logprob_difference")),
            max_difference=_small(leg.get("max_logprob_difference")),
            stops=_percent(leg.get("stop_agreement")),
            reason=leg.get("reason") or "",
        )
        for leg in certificate.get("legs") or []
    ]


def proof_notes(certificate: Mapping[str, Any]) -> list[str]:
    """What the legs were measured against, and the proof that the tuned model is not the base."""
    notes = []
    if noise := certificate.get("noise"):
        notes.append(
            "Noise of the same model run twice: mean "
            f"{_small(noise.get('mean'))}, largest {_small(noise.get('max'))} nats."
        )
    if limits := flat(certificate.get("thresholds") or {}):
        notes.append("Limits: " + ", ".join(f"{name} {value}" for name, value in limits) + ".")
    if changed := certificate.get("changed"):
        notes.append(
            f"Not the base: the greedy text changed on {changed.get('text_changed', NOTHING)} of "
            f"{changed.get('probes', NOTHING)} probes, log-probabilities by up to "
            f"{number(changed.get('max_logprob_shift'))} nats."
        )
    return notes


def _percent(value: float | None) -> str:
    # One disagreeing token in a thousand must not round up to "100%".
    return NOTHING if value is None else "100%" if value >= 1 else f"{min(100 * value, 99.9):.1f}%"


def _small(value: float | None) -> str:
    return NOTHING if value is None else "0" if value == 0 else f"{value:.2g}"


def stage_rows(report: BuildReport) -> list[StageRow]:
    """The stages in the order they ran."""
    slowest = max((stage.get("seconds") or 0.0 for stage in report.stages), default=0.0) or 1.0
    return [
        StageRow(
            name=stage.get("name", ""),
            took="cached" if stage.get("cached") else duration(stage.get("seconds") or 0.0),
            share=0.0 if stage.get("cached") else (stage.get("seconds") or 0.0) / slowest,
            summary=stage.get("summary") or "",
            key=stage.get("key") or "",
        )
        for stage in report.stages
    ]


def flat(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A nested mapping as pairs of dotted name and text; lists and missing values are left out."""
    return list(_flat(value, ""))


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        label = f"{prefix}{spoken(name)}"
        if isinstance(item, Mapping):
            yield from _flat(item, f"{label} ")
        elif item is not None and not isinstance(item, list | tuple):
            yield label, shown(item)
