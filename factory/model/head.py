"""Keeps the output layer, a model's largest, from computing logits that nobody reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def head_sees(model: Any, pick: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Let the output layer compute logits for some positions only, within the model's own forward.

    Whatever else the model does to its logits (scaling, capping) stays in place. A model that does
    not name its output layer computes them all.

    Args:
        model: A causal language model.
        pick: From hidden states, [rows, tokens, width], to the wanted ones, [1 or rows, wanted, width].
    """
    try:
        head = model.get_output_embeddings()
    except NotImplementedError:
        head = None
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, inputs: (pick(inputs[0]), *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()
