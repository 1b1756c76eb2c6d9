"""Muon in the arithmetic of the machine; `torch.optim.Muon` always multiplies in bf16.

Without hardware for bf16 that takes twenty times as long as in fp32: an update of the starter took
20 seconds instead of 2. Matrices of the same shape are orthogonalised together.

Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon); updates as large as AdamW's as in
arXiv 2502.16982.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic whose iteration moves all singular values near one; Jordan et al. 2024."""
STEPS = 5
MOMENTUM = 0.95
RMS = 0.2
"""Root mean square of AdamW's updates; arXiv 2502.16982, section 2.2."""


def orthogonal(stack: torch.Tensor) -> torch.Tensor:
    """The nearest matrices with all singular values about one, each of [count, rows, columns]."""
    if stack.size(1) > stack.size(2):
        turned: torch.Tensor = orthogonal(stack.mT).mT
        return turned
    a, b, c = COEFFICIENTS
    found: torch.Tensor = stack / stack.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = found @ found.mT
        found = torch.baddbmm(
            found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a
        )
    return found


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, for matrices."""

    def __init__(
        self,
        parameters: Iterable[torch.Tensor],
        *,
        lr: float,
        weight_decay: float,
        arithmetic: torch.dtype,
    ) -> None:
        """Takes matrices alone; `arithmetic` is what the iteration multiplies in."""
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})
        self.arithmetic = arithmetic

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients."""
        for group in self.param_groups:
            by_shape = sorted(group["params"], key=lambda p: tuple(p.shape))
            for shape, alike in groupby(by_shape, key=lambda p: tuple(p.shape)):
                self._update(list(alike), group, RMS * math.sqrt(max(shape)))

    def _update(self, parameters: list[torch.Tensor], group: dict[str, Any], scale: float) -> None:
        updates = []
        for parameter in parameters:
            state, gradient = self.state[parameter], parameter.grad
            assert gradient is not None
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            momentum = state["momentum_buffer"].lerp_(gradient, 1 - MOMENTUM)
            updates.append(gradient.lerp(momentum, MOMENTUM))
        stack = orthogonal(torch.stack(updates).to(self.arithmetic))
        for parameter, update in zip(parameters, stack, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update, alpha=-group["lr"] * scale)
