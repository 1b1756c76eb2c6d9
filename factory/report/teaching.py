"""What came of asking a teacher, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from factory.report.words import plural


def summary(teaching: Mapping[str, Any]) -> list[str]:
    """What came of it, in sentences."""
    calls, source, figures = teaching["calls"], teaching["teacher"], teaching["diversity"]
    cost = "at an unknown price" if calls["usd"] is None else f"for ${calls['usd']:.2f}"
    lines = [
        f"{teaching['accepted']} of {plural(teaching['wanted'], 'pair')} that were wanted come from"
        f" the teacher {source['model']} ({source['endpoint']}), {source['date']}:"
        f" {calls['requests']} requests, {calls['prompt_tokens']} + {calls['completion_tokens']}"
        f" tokens, {cost}."
    ]
    if teaching["rejected"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in teaching["rejected"].items())
        lines.append(f"Rejected: {reasons}.")
    if short := teaching["shortfall"]:
        missing = sum(cell["wanted"] - cell["accepted"] for cell in short)
        cells = ", ".join(cell["cell"] for cell in short[:5])
        lines.append(
            f"{plural(missing, 'pair')} could not be had, in the cells {cells}"
            f"{' and others' if len(short) > 5 else ''}: the answers that `distill.candidates` allows"
            " were spent, or no new questions came any more."
        )
    if lost := teaching.get("twins_lost"):
        lines.append(
            f"{plural(lost, 'pair')} had to be kept without a plain twin to compare with, for the"
            " teacher gave none."
        )
    plain = ", ".join(
        f"{name.replace('_', ' ')} {value:.2f}"
        for name, value in figures.items()
        if isinstance(value, float)
    )
    if plain:
        lines.append(f"Variety: {plain}.")
    return lines
