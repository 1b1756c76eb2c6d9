"""Which sizes of base model a machine can tune, how, and about how long it takes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from factory.base import Base
from factory.errors import UsageError
from factory.hardware import GIB, Hardware
from factory.memory import finishing, training
from factory.plan import choose
from factory.spec import Tune

ROWS, ROW_TOKENS = 100, 150
"""The table assumes so many training rows of so many tokens, prompt and template included."""

TYPICAL = (
    ("6M (starter)", 6.4e6, 256, 6),
    ("0.1B", 1.35e8, 576, 30),
    ("0.5B", 4.9e8, 896, 24),
    ("1.5B", 1.54e9, 1536, 28),
    ("3B", 3.1e9, 2048, 36),
    ("7B", 7.6e9, 3584, 28),
    ("14B", 1.48e10, 5120, 48),
    ("32B", 3.28e10, 5120, 64),
    ("70B", 7.27e10, 8192, 80),
)
"""Label, weights, hidden size, layers: ours, SmolLM2-135M, and the Qwen2.5 family."""


@dataclass(frozen=True)
class Typical(Base):
    """A base of a common size that need not be on this disk."""

    weights: float = 0
    width: int = 0
    layers: int = 0

    @cached_property
    def config(self) -> dict[str, Any]:
        """The part of a config that a plan reads."""
        return {
            "model_type": "qwen2",
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "max_position_embeddings": 4096,
        }

    @cached_property
    def headers(self) -> dict[str, dict[str, Any]]:
        """One matrix with all the weights."""
        shape = [round(self.weights / self.width), self.width]
        return {"model.layers.0.mlp.down_proj.weight": {"dtype": "BF16", "shape": shape}}


def table(hardware: Hardware) -> tuple[str | None, str]:
    """What `factory plan` would choose for each size, given 100 rows of 150 tokens.

    Memory is weights, adapters with their Adam states and activations (34 bytes a token, hidden
    unit and layer; Korthikanti et al., arXiv 2205.05198), or what merging and judging take, if that
    is more. Time is 4 FLOPs a weight and token (2
    forward, 2 back through a frozen base; 6 where it is trained too, Kaplan et al., arXiv
    2001.08361) over the sustained speed that `factory.plan` assumes for this hardware.

    Returns:
        The label of the largest size that fits, if any does, and the table, one line a size.
    """
    head = f"{ROWS} rows of {ROW_TOKENS} tokens on {hardware}"
    if hardware.gpus:
        head += " (a consumer card takes several times as long)"
    largest, lines = None, [f"{head}:"]
    for label, weights, width, layers in TYPICAL:
        base = Typical(label, Path(), None, weights=weights, width=width, layers=layers)
        try:
            plan = choose(Tune(), base, [ROW_TOKENS] * ROWS, 0, hardware)
        except UsageError:
            smallest = "qlora" if hardware.gpus else "fp32"
            need = max(training(base, smallest, 1, ROW_TOKENS, hardware), finishing(hardware, base))
            lines.append(f"{label:>13}  {'does not fit':<12} {f'{need / GIB:.1f} GiB':>9}")
            continue
        largest = label
        how = "4-bit QLoRA" if plan["precision"] == "qlora" else f"{plan['precision']} LoRA"
        memory = f"{plan.memory / GIB:.1f} GiB"
        lines.append(f"{label:>13}  {how:<12} {memory:>9}  about {duration(plan.seconds)}")
    return largest, "\n".join(lines)


def duration(seconds: float) -> str:
    """A rough time in the unit people would use."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 10):.0f} seconds"
