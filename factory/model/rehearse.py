"""The base's own answers, which it rehearses while it learns a voice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from factory.base import Base
from factory.contracts import Message
from factory.model.device import free_memory, load_model
from factory.model.fold import exact_dtype
from factory.model.score import generate

ANSWER_TOKENS = 96
"""Longest own answer, in tokens."""


def own_answers(
    base: Base, asked: Sequence[Sequence[Message]], tick: Callable[[int], None]
) -> list[str]:
    """Greedy answers of the base, in the order of the questions; empty for one that does not end.

    Args:
        base: The base model.
        asked: Conversations up to a user's question, with the persona's prompt.
        tick: Called with the number of finished answers.
    """
    model = load_model(base.folder, exact_dtype(base))
    said = generate(
        model,
        [base.format.prompt_ids(messages) for messages in asked],
        stop_ids=base.stop_ids,
        max_new_tokens=ANSWER_TOKENS,
        tick=tick,
    )
    del model
    free_memory()
    decode = base.format.tokenizer.decode
    return [
        decode(one.token_ids, skip_special_tokens=True).strip() if one.stopped else ""
        for one in said
    ]
