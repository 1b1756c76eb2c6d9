"""Draws many answers at once, each from random numbers of its own.

An answer depends on its prompt, its seed and the weights, never on what else is in the batch, up to
rounding. What prompts share is computed once, equal prompts are read once, and rows that have ended
leave the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch

from factory.model.choosing import choose, held, penalised
from factory.model.device import free_memory
from factory.model.head import head_sees
from factory.model.prefix import compute, padded, reuses, shared, spread
from factory.model.sampling import Sampling, uniforms

__all__ = ["Drawn", "Sampling", "draw"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One answer: its ids without the stop token, and whether it ended with one."""

    token_ids: list[int]
    stopped: bool


@dataclass(frozen=True, slots=True)
class _Row:
    prompt: tuple[int, ...]
    seed: int
    limit: int


@torch.no_grad()
def draw(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    seeds: Sequence[int],
    sampling: Sampling,
    stop_ids: Sequence[int],
    window: int | None = None,
    batch: int = 64,
    tick: Callable[[int], None] | None = None,
) -> list[Drawn]:
    """One answer for every prompt, in the order given; a prompt may come several times.

    Args:
        model: A causal language model in evaluation mode.
        prompts: Token ids of each generation prompt, none empty.
        seeds: One for every prompt.
        sampling: How tokens are chosen.
        stop_ids: Ids that end an answer.
        window: Longest conversation in tokens; an answer ends there too, not stopped.
        batch: Answers at a time; halved for a batch that does not fit the memory.
        tick: Called with the number of finished answers.
    """
    rows = [
        _Row(tuple(prompt), seed, _room(len(prompt), sampling.max_new_tokens, window))
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i].prompt), rows[i].prompt))
    if not rows:
        return []
    writer = _Writer.of(model, rows, sampling, frozenset(stop_ids))
    found: dict[int, Drawn] = {}
    for chosen in writer.batches(order, rows, batch):
        found.update(zip(chosen, writer.answer([rows[i] for i in chosen]), strict=True))
        if tick:
            tick(len(found))
    return [found[i] for i in range(len(rows))]


def _room(used: int, wanted: int, window: int | None) -> int:
    return wanted if window is None else max(0, min(wanted, window - used))


@dataclass(frozen=True, slots=True)
class _Writer:
    """A model, and the cache of what all prompts begin with; None where it cannot be reused."""

    model: Any
    sampling: Sampling
    stop_ids: frozenset[int]
    length: int
    cache: Any | None

    @classmethod
    def of(
        cls, model: Any, rows: Sequence[_Row], sampling: Sampling, stop_ids: frozenset[int]
    ) -> _Writer:
        if not reuses(model):
            return cls(model, sampling, stop_ids, 0, None)
        distinct = list({row.prompt for row in rows})
        # At least one token is left to every prompt, for its logits begin the answer.
        length = shared(distinct, [len(prompt) - 1 for prompt in distinct])
        cache = compute(model, rows[0].prompt[:length])
        return cls(model, sampling, stop_ids, length, cache)

    def batches(
        self, order: Sequence[int], rows: Sequence[_Row], size: int
    ) -> Iterator[Sequence[int]]:
        """Rows to be answered together; without a cache to reuse, none that would need padding."""
        alone = self.cache is None
        for _, same in groupby(order, lambda i: len(rows[i].prompt) if alone else 0):
            group = list(same)
            yield from (group[start : start + size] for start in range(0, len(group), size))

    def answer(self, rows: Sequence[_Row]) -> list[Drawn]:
        """Answer a batch, or its halves if it does not fit."""
        try:
            return self._answer(rows)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
        free_memory()
        half = len(rows) // 2
        return [*self.answer(rows[:half]), *self.answer(rows[half:])]

    def _answer(self, rows: Sequence[_Row]) -> list[Drawn]:
        where = next(self.model.parameters()).device
        logits, cache, mask = self._read(rows, where)
        penalty = self.sampling.repetition_penalty
        seen = held([row.prompt for row in rows], logits) if penalty != 1 else None
        steps = max(row.limit for row in rows)
        chance = torch.tensor(np.stack([uniforms(row.seed, steps) for row in rows]), device=where)
        last = torch.tensor([[len(row.prompt) + row.limit - 1] for row in rows], device=where)
        tokens: list[list[int]] = [[] for _ in rows]
        stopped = [False] * len(rows)
        over = {k for k, row in enumerate(rows) if row.limit < 1}
        present = list(range(len(rows)))  # which answer each row of the batch belongs to
        for step in range(steps):
            logits = logits.float()
            if seen is not None:
                logits = penalised(logits, seen, penalty)
            picked = choose(logits, self.sampling, chance[:, step])
            for k, token in zip(present, picked.tolist(), strict=True):
                if k in over:
                    continue
                if token in self.stop_ids:
                    stopped[k] = True
                    over.add(k)
                else:
                    tokens[k].append(token)
                    if len(tokens[k]) == rows[k].limit:
                        over.add(k)
            running = [at for at, k in enumerate(present) if k not in over]
            if not running:
                break
            if mask is not None and 2 * len(running) <= len(present):
                keep = torch.tensor(running, device=where)
                cache.batch_select_indices(keep)
                picked, mask, chance, last = (x[keep] for x in (picked, mask, chance, last))
                seen = seen[keep] if seen is not None else None
                present = [present[at] for at in running]
            fed = picked[:, None]
            if seen is not None:
                seen.scatter_(1, fed, True)
            more: dict[str, torch.Tensor] = {}
            if mask is not None:
                mask = torch.cat([mask, torch.ones_like(fed)], dim=1)
                # Rows that have ended but are still here must not run past the window.
                positions = (mask.sum(-1, keepdim=True) - 1).minimum(last)
                more = {"attention_mask": mask, "position_ids": positions}
            output = self.model(input_ids=fed, past_key_values=cache, use_cache=True, **more)
            logits, cache = output.logits[:, -1], output.past_key_values
        return [Drawn(*parts) for parts in zip(tokens, stopped, strict=True)]

    def _read(
        self, rows: Sequence[_Row], where: torch.device
    ) -> tuple[torch.Tensor, Any, torch.Tensor | None]:
        """Logits [rows, vocabulary] behind the prompts, their cache, and what of it is no padding."""
        prompts = [row.prompt for row in rows]
        more: dict[str, Any] = {}
        mask = None
        if self.cache is not None:
            distinct = list(dict.fromkeys(prompts))
            ids, own = padded([p[self.length :] for p in distinct], where, left=True)
            mask = torch.cat([own.new_ones(len(distinct), self.length), own], dim=1)
            positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, self.length :]
            more = {
                "attention_mask": mask,
                "position_ids": positions,
                "past_key_values": spread(self.cache, len(distinct)),
            }
        else:
            ids, _ = padded(prompts, where, left=True)
        with head_sees(self.model, lambda hidden: hidden[:, -1:]):
            output = self.model(input_ids=ids, use_cache=True, **more)
        logits, cache = output.logits[:, -1], output.past_key_values
        if mask is not None:
            number = {prompt: k for k, prompt in enumerate(distinct)}
            which = torch.tensor([number[prompt] for prompt in prompts], device=where)
            cache.batch_select_indices(which)
            logits, mask = logits[which], mask[which]
        return logits, cache, mask
