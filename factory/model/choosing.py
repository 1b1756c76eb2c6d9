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


def choose(
    logits: torch.Tensor, sampling: Sampling, chance: torch.Tensor, look: int = FIRST_LOOK
) -> torch.Tensor:
    """The next token of every row: the most likely one, or the one a random number falls upon.

    The kept tokens are laid end to end in the order of their ids, each as long as it is likely, so
    that rounding which swaps two equally likely tokens moves no boundary but theirs. Filters apply
    as in vLLM: min-p, then top-k, then top-p of what is left.

    Args:
        logits: fp32, [rows, vocabulary].
        sampling: Temperature and filters; the penalty is not applied here.
        chance: In [0, 1), [rows].
        look: Likeliest tokens looked at first; rows that keep more of them are looked at again.

    Returns:
        Ids, [rows].
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    size = logits.shape[-1]
    scaled = logits / sampling.temperature
    most = min(sampling.top_k, size) if sampling.top_k > 0 else size
    if most == size and sampling.top_p >= 1:
        weights = scaled.double().softmax(-1)
        least = sampling.min_p * weights.amax(-1, keepdim=True)
        return _fallen_upon(weights.where(weights >= least, 0.0), chance)
    look = min(look, size) if most == size else most
    top, ids = scaled.topk(look)  # the likeliest first
    weights = _weights(top, top, sampling)
    if sampling.top_p < 1:
        whole = _weights(scaled, top, sampling) if look < most else weights
        whole = whole.sum(-1, keepdim=True)
        weights = weights.where(weights.cumsum(-1) - weights < sampling.top_p * whole, 0.0)
    ids, order = ids.sort(-1)
    at = _fallen_upon(weights.gather(-1, order), chance)
    found = ids.gather(-1, at[:, None])[:, 0]
    again = weights[:, -1] > 0
    if look < most and bool(again.any()):
        found[again] = choose(logits[again], sampling, chance[again], 8 * look)
    return found


def _weights(scaled: torch.Tensor, top: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """How likely tokens are beside the likeliest one, in fp64; 0 for those below min-p."""
    weights = (scaled - top[:, :1]).double().exp()
    return weights.where(weights >= sampling.min_p, 0.0)


def _fallen_upon(weights: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """The place that each row's random number falls upon; weights are fp64, [rows, places]."""
    reach = weights.cumsum(-1)
    found = torch.searchsorted(reach, chance.double()[:, None] * reach[:, -1:], right=True)
    return found[:, 0].clamp(max=weights.shape[-1] - 1)
