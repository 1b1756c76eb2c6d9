"""The beginning that many sequences share, computed once, and the cache that carries it on.

Every conversation of a persona begins with the same system prompt. Its keys and values are computed
for one row and spread over a batch (prefix sharing as in arXiv 2402.05099), so that only what
differs is computed for every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from factory.model.head import head_sees

WORTH = 16
"""Shorter beginnings are not shared: a forward pass of their own would cost more than they do."""

ROOM = 64
"""Tokens a cache has room for ahead of time."""


class _Roomy(DynamicLayer):
    """Keys and values in buffers with room ahead, so that a new token copies itself alone.

    transformers' own layer copies all it holds whenever a token comes; for 64 rows of 400 tokens on a
    CPU that took three times as long as the rest of the step.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append; returns views of everything kept, [rows, heads, tokens, width]."""
        used, new = self.get_seq_length(), (key_states, value_states)
        end = used + key_states.shape[-2]
        if not self.room or end > self.room[0].shape[-2]:
            held: tuple[Any, Any] = (self.keys, self.values)
            self.room = [
                states.new_empty(*states.shape[:2], end + ROOM, states.shape[-1]) for states in new
            ]
            if used:
                for buffer, states in zip(self.room, held, strict=True):
                    buffer[:, :, :used] = states
        for buffer, states in zip(self.room, new, strict=True):
            buffer[:, :, used:end] = states
        self.hold(*(buffer[:, :, :end] for buffer in self.room))
        return self.room[0][:, :, :end], self.room[1][:, :, :end]

    def hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Take keys and values as what is kept."""
        self.dtype, self.device = keys.dtype, keys.device
        self.keys, self.values = keys, values
        self.is_initialized = True

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep some rows, each as often as it is named."""
        super().batch_select_indices(indices)
        self.room = []


def shared(rows: Sequence[Sequence[int]], limits: Sequence[int]) -> int:
    """How many tokens all rows begin with; at most the smallest limit, 0 if it is not worth while."""
    if len(rows) < 2:
        return 0
    first, limit = rows[0], min(limits)
    length = next((k for k in range(limit) if any(row[k] != first[k] for row in rows)), limit)
    return length if length >= WORTH else 0


@torch.no_grad()
def compute(model: Any, ids: Sequence[int]) -> DynamicCache:
    """The cache of one row that holds a beginning, which may be empty."""
    cache = DynamicCache(config=model.config)
    cache.layers = [_Roomy() for _ in cache.layers]
    if ids:
        where = next(model.parameters()).device
        with head_sees(model, lambda hidden: hidden[:, -1:]):
            model(
                input_ids=torch.tensor([list(ids)], device=where),
                past_key_values=cache,
                use_cache=True,
            )
    return cache


def spread(cache: DynamicCache, rows: int) -> DynamicCache:
    """A new cache that holds one row's beginning for many; `cache` stays as it is."""
    found = DynamicCache()
    layers: list[Any] = list(cache.layers)
    copies = [_Roomy() for _ in layers]
    for layer, copy in zip(layers, copies, strict=True):
        if layer.get_seq_length():
            copy.hold(*(kept.expand(rows, -1, -1, -1) for kept in (layer.keys, layer.values)))
    found.layers = list(copies)
    return found


@torch.no_grad()
def reuses(model: Any) -> bool:
    """Whether this model may go on from a kept beginning, even with padding behind it.

    Tried out, for some models cannot: recurrent ones, sliding windows, and those that count
    positions by places in the cache.
    """
    where = next(model.parameters()).device
    row = torch.arange(1, 7, device=where)[None]
    try:
        whole = model(input_ids=row, use_cache=True)
        kept = whole.past_key_values
        if type(kept) is not DynamicCache or any(type(x) is not DynamicLayer for x in kept.layers):
            return False
        parted = model(
            input_ids=torch.cat([row[:, :2], row[:, 4:]], dim=1),  # the first two are padding
            attention_mask=torch.tensor([[1, 1, 1, 1, 0, 0, 1, 1]], device=where),
            position_ids=torch.tensor([[3, 3, 4, 5]], device=where),
            past_key_values=spread(compute(model, row[0, :4].tolist()), 1),
            use_cache=True,
        )
    except (RuntimeError, ValueError, TypeError, AttributeError):
        return False  # a model that does not take such arguments
    tolerance = 1e-3 if whole.logits.dtype == torch.float32 else 0.1
    apart = (whole.logits[:, -1].float() - parted.logits[:, -1].float()).abs().max()
    return bool(apart <= tolerance)


def padded(
    rows: Sequence[Sequence[int]], where: torch.device, *, left: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, each [rows, longest], padded on one side."""
    width = max(map(len, rows))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        span = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, span] = torch.tensor(row)
        mask[i, span] = 1
    return ids.to(where), mask.to(where)
