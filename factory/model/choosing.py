"""Chooses the next token of every row: filters the logits, then lets a random number decide."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from factory.model.sampling import Sampling

FIRST_LOOK = 256
"""Tokens looked at for a nucleus before the whole vocabulary is sorted."""


def held(prompts: Sequence[Sequence[int]], logits: torch.Tensor) -> torch.Tensor:
    """Which tokens each prompt holds, [rows, vocabulary]; placed and sized like the logits."""
    found = torch.zeros_like(logits, dtype=torch.bool)
    for k, prompt in enumerate(prompts):
        found[k, list(set(prompt))] = True
    return found


def penalised(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Logits with those of seen tokens pushed down, [rows, vocabulary]."""
    lower = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, lower, logits)


def choose(logits: torch.Tensor, sampling: Sampling, chance: torch.Tensor) -> torch.Tensor:
    """The next token of every row: the most likely one, or the one a random number falls upon.

    The kept tokens are laid end to end in the order of their ids, each as long as it is likely, so
    that rounding which swaps two equally likely tokens moves no boundary but theirs.

    Args:
        logits: fp32, [rows, vocabulary].
        sampling: Temperature and filters; the penalty is not applied here.
        chance: In [0, 1), [rows].

    Returns:
        Ids, [rows].
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    weights = (logits / sampling.temperature).double().softmax(-1)
    weights = _kept(weights, sampling)
    reach = weights.cumsum(-1)
    found = torch.searchsorted(reach, chance.double()[:, None] * reach[:, -1:], right=True)
    return found[:, 0].clamp(max=logits.shape[-1] - 1)


def _kept(weights: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Weights of the tokens that may follow, 0 for others: min-p, then top-k, then top-p (vLLM)."""
    size = weights.shape[-1]
    if sampling.min_p > 0:
        least = sampling.min_p * weights.amax(-1, keepdim=True)
        weights = weights.where(weights >= least, 0.0)
    most = min(sampling.top_k, size) if sampling.top_k > 0 else size
    if sampling.top_p >= 1:
        if most == size:
            return weights
        return weights.where(weights >= weights.topk(most).values[:, -1:], 0.0)
    look = most if most < size else min(FIRST_LOOK, size)
    while True:
        top = weights.topk(look).values
        whole = (top if most < size else weights).sum(-1, keepdim=True)
        wanted = sampling.top_p * whole
        if look == most or bool((top.sum(-1, keepdim=True) >= wanted).all()):
            break
        look = most
    before = top.cumsum(-1) - top
    least = top.where(before < wanted, torch.inf).amin(-1, keepdim=True)
    return weights.where(weights >= least, 0.0)
