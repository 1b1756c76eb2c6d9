"""Rows as tensors: padded, or laid end to end with their common beginning only once.

Every row of a persona begins with the same system prompt. Laid end to end, a batch computes that
prompt once instead of once per row, and nothing is padded: the same loss and gradients for a
fraction of the work. Attention is kept inside each row by an explicit mask, positions restart
behind the shared beginning (the layout of prefix sharing in arXiv 2402.05099, used for training).

Models that do not honour such a mask (sliding windows, recurrent layers) are found out by `agrees`,
on the longest rows, before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import nlargest
from typing import Any

import torch

from factory.chat import Example

IGNORED = -100
"""Label of tokens outside the loss (PyTorch's cross_entropy ignore_index)."""

TOLERANCE = 5e-3
"""Largest difference of the mean loss between both layouts, in nats: rounding, not meaning."""


def labels_of(row: Example) -> list[int]:
    """The row's ids where the loss looks, IGNORED elsewhere."""
    return [t if on else IGNORED for t, on in zip(row.input_ids, row.loss_mask, strict=True)]


def padded(rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """`input_ids`, `labels` and `attention_mask`, each [rows, longest], padded on the right."""
    width = max(len(row["input_ids"]) for row in rows)
    shape = (len(rows), width)
    batch = {
        "input_ids": torch.zeros(shape, dtype=torch.long),
        "labels": torch.full(shape, IGNORED),
        "attention_mask": torch.zeros(shape, dtype=torch.long),
    }
    for k, row in enumerate(rows):
        size = len(row["input_ids"])
        batch["input_ids"][k, :size] = torch.tensor(row["input_ids"])
        batch["labels"][k, :size] = torch.tensor(row["labels"])
        batch["attention_mask"][k, :size] = 1
    return batch


def shared_beginning(rows: Sequence[dict[str, list[int]]]) -> int:
    """How many tokens all rows begin with, at least one less than come before any row's loss.

    That one token more keeps every row's first scored token behind a token of the same row.
    """
    first = rows[0]["input_ids"]
    limit = min(
        next((k for k, label in enumerate(row["labels"]) if label != IGNORED), len(row["labels"]))
        for row in rows
    )
    for k in range(limit - 1):
        if any(row["input_ids"][k] != first[k] for row in rows):
            return k
    return max(limit - 1, 0)


def end_to_end(rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """One sequence: the shared beginning, then the rest of every row.

    Returns:
        `input_ids`, `labels` and `position_ids`, each [1, length]; `attention_mask`,
        [1, 1, length, length], true where a query (third axis) may look.
    """
    shared = shared_beginning(rows)
    ids = list(rows[0]["input_ids"][:shared])
    labels = [IGNORED] * shared
    positions = list(range(shared))
    owner = [-1] * shared
    for k, row in enumerate(rows):
        rest = row["input_ids"][shared:]
        ids += rest
        labels += row["labels"][shared:]
        positions += range(shared, shared + len(rest))
        owner += [k] * len(rest)
    whose = torch.tensor(owner)
    same = (whose[None, :] == whose[:, None]) | (whose == -1)[None, :]
    return {
        "input_ids": torch.tensor([ids]),
        "labels": torch.tensor([labels]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": torch.tril(same)[None, None],
    }


def layout_for(
    model: Any, rows: Sequence[dict[str, list[int]]]
) -> Callable[[Sequence[dict[str, list[int]]]], dict[str, torch.Tensor]]:
    """`end_to_end` if this model gives it the same loss, else `padded`.

    The longest rows are tried: a sliding window, which such a mask switches off, shows in none
    that is shorter.
    """
    longest = nlargest(2, rows, key=lambda row: len(row["input_ids"]))
    return end_to_end if agrees(model, longest) else padded


@torch.no_grad()
def agrees(model: Any, rows: Sequence[dict[str, list[int]]]) -> bool:
    """Whether this model gives both layouts of the same rows the same loss."""
    was_training = model.training
    model.eval()
    where = next(model.parameters()).device
    try:
        losses = []
        for layout in (padded, end_to_end):
            batch = {name: tensor.to(where) for name, tensor in layout(rows).items()}
            labels = batch.pop("labels")[:, 1:]
            logits = model(**batch, use_cache=False).logits[:, :-1].float()
            losses.append(
                torch.nn.functional.cross_entropy(
                    logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=IGNORED
                ).item()
            )
    except (RuntimeError, ValueError, TypeError):
        return False  # a model that does not take such a mask
    finally:
        model.train(was_training)
    return abs(losses[0] - losses[1]) <= TOLERANCE
