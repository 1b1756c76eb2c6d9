"""Attention of short windows as matrix products: on two CPU cores an update of them takes a sixth less.

PyTorch's fused attention spends nearly as much on the backward pass of windows of 128 tokens as on all matrix
products of the layers; from some hundred tokens on it is the faster one, because it never writes the
scores down.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

BEGIN = 1
"""Id of the token that every document begins with."""

BESIDE = 2
"""Id of the token before every one of several questions behind one system prompt."""

NAME = "starter"
"""What a configuration calls it."""

SHORT = 256
"""Longest window, in tokens, whose scores are written down."""


def layout(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which token may look at which, and where each one stands.

    A token sees those before it in its own document: a model that must find out by itself which of the
    questions in a window is its own learns more slowly what to answer. Source: intra-document causal
    masking, arXiv 2402.13991. Of several questions behind one system prompt, each set off by `BESIDE`,
    every one sees the prompt and itself, as if the others were not there: a prompt is read once
    for many of them.

    Args:
        tokens: Ids, [rows, tokens]; every row begins with `BEGIN`.

    Returns:
        What is seen, [rows, 1, tokens, tokens], true where one may look, and positions, [rows, tokens].
    """
    index = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    beside = tokens == BESIDE

    def latest(where: torch.Tensor) -> torch.Tensor:
        return (index * where).cummax(1).values

    begin = latest(tokens == BEGIN)
    count = beside.cumsum(1)
    branch = count - count.gather(1, begin)
    prompt = branch == 0
    same = begin[:, :, None] == begin[:, None, :]
    mine = (branch[:, :, None] == branch[:, None, :]) | prompt[:, None, :]
    seen = (same & mine & ~beside[:, None, :]).tril()
    own = torch.where(prompt, begin, begin + latest(beside) - latest(prompt))
    return seen[:, None], index - own


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    seen: torch.Tensor,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attention, [rows, heads, tokens, width] each; as transformers wants it, heads last but one.

    `seen` is what `layout` found; no other mask is made for it.
    """
    tokens = query.shape[-2]
    if tokens > SHORT or query.is_cuda:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, seen, scaling=scaling, **{**more, "is_causal": False}
        )
        return found
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = query @ key.transpose(2, 3) * scale
    shares = functional.softmax(scores.masked_fill(~seen, -torch.inf).float(), -1)
    return (shares.to(query.dtype) @ value).transpose(1, 2).contiguous(), None


def _no_mask(*_: Any, **__: Any) -> None:
    """`seen` says it all."""


AttentionInterface.register(NAME, attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, _no_mask)
