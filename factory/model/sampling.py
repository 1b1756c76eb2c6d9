"""How answers are drawn: sampling parameters, and the random numbers of each answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which tokens may follow and how one of them is chosen, in the order servers apply it."""

    temperature: float = 1.0
    """0 always takes the most likely token."""
    top_p: float = 1.0
    """The likeliest tokens that together have this share are kept (arXiv 1904.09751)."""
    top_k: int = 0
    """So many of the likeliest tokens are kept; 0 or less keeps all."""
    max_new_tokens: int = 192
    """An answer that reaches it did not stop."""
    min_p: float = 0.0
    """Tokens less likely than this share of the likeliest one are dropped (arXiv 2407.01082)."""
    repetition_penalty: float = 1.0
    """Divides the logits of tokens that stand in the prompt or the answer (arXiv 1909.05858)."""

    @classmethod
    def of(cls, settings: Mapping[str, float], max_new_tokens: int) -> Self:
        """From the names of a generation config; what it does not name has no effect."""
        return cls(
            temperature=float(settings.get("temperature", 1.0)),
            top_p=float(settings.get("top_p", 1.0)),
            top_k=int(settings.get("top_k", 0)),
            max_new_tokens=max_new_tokens,
            min_p=float(settings.get("min_p", 0.0)),
            repetition_penalty=float(settings.get("repetition_penalty", 1.0)),
        )

    def greedy(self, max_new_tokens: int | None = None) -> Self:
        """The most likely answer as it would be served: a repetition penalty stays."""
        return replace(
            self,
            temperature=0.0,
            top_p=1.0,
            top_k=0,
            min_p=0.0,
            max_new_tokens=max_new_tokens or self.max_new_tokens,
        )


def uniforms(seed: int, steps: int) -> NDArray[np.float32]:
    """One number in [0, 1) for every step of one answer; more steps do not change the first ones.

    Philox is counter-based (Salmon et al., SC 2011): a stream depends on its seed alone. Numbers of
    24 bits keep clear of 1 in any later arithmetic.

    Args:
        seed: From 0 to 2**128 - 1.
        steps: How many.
    """
    return np.random.Generator(np.random.Philox(key=seed)).random(steps, dtype=np.float32)
