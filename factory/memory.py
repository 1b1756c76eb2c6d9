"""How much memory a base takes on its way to a release: trained, then merged and judged (no torch)."""

from __future__ import annotations

from factory.base import Base
from factory.hardware import GIB, Hardware

SMALL = 500_000_000
"""Up to this many weights a base is trained in fp32 weights, whatever the arithmetic: that loses nothing."""

EXACT = 3_000_000_000
"""Up to this many weights a base is merged and judged in fp32, for log-likelihoods in bf16 are noisy."""

LIBRARIES = 0.4 * GIB
"""What torch and its relatives take before a model is there."""


def training(base: Base, precision: str, batch: int, longest: int, hardware: Hardware) -> int:
    """Peak bytes of a LoRA step: weights, adapters with Adam state, activations at batch 1.

    Activations follow Korthikanti et al. (arXiv 2205.05198), 34 bytes a token and hidden unit per
    layer in 16 bit, at the smallest per-device batch the out-of-memory ladder goes down to.
    """
    if not hardware.gpus:
        precision = "fp32"  # on a CPU bf16 is the arithmetic only
    width = {"fp32": 4, "bf16": 2, "fp16": 2, "qlora": 0.6}[precision]
    if base.parameters <= SMALL and precision != "qlora":
        width = 4
    adapters = 0.02 * base.parameters * 16
    layers = int(base.config.get("num_hidden_layers") or 1)
    activations = 34 * longest * base.hidden_size * layers * (2 if precision == "fp32" else 1)
    weights = base.parameters * width
    return int(weights + adapters + activations * min(batch, 2) + LIBRARIES)


def finishing(hardware: Hardware, *models: Base) -> int:
    """Peak bytes of merging and judging, with so many models held at once.

    What is judged and served stands on the unquantised base, whatever it was trained in. On top of
    the weights come the logits of a step and their logarithms: half a GiB each, less for a small model.
    """
    weights = sum(_finished(hardware, model) for model in models)
    return int(weights + min(max(_finished(hardware, m) for m in models) / 8, GIB) + LIBRARIES)


def _finished(hardware: Hardware, model: Base) -> int:
    return model.parameters * (4 if model.parameters <= EXACT or not hardware.gpus else 2)
