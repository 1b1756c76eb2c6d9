"""How strongly an adapter is applied: as strongly as held-out rows want and plain answers allow.

Between a base and what was tuned from it lie weights that keep more of the base and often do as well
on new rows, or better (WiSE-FT, arXiv 2109.01903). An adapter's line is its own scale. The gate asks
for the same two things later, of other rows and other questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from factory.base import Base
from factory.chat import Example
from factory.contracts import Message
from factory.model.score import generate, token_log_likelihoods
from factory.plan import FORGETFUL

STEPS = (1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1)
"""Strengths that are tried, in this order."""

MOST_DRIFT = 0.2
"""Nats per token that the base's own answers may become less likely; the gate allows three times as much."""

FORGETFUL_DRIFT = 0.05
"""The same of a base below `factory.plan.FORGETFUL` weights, whose answers break sooner.

Measured with `humorous` on the starter, which rehearsed: at a drift of 0.09, 74 of 263 of the base's greedy
answers behind the persona's prompt stayed word for word, at 0.035 130, and a blind reader chose 15 instead
of 12 of 20 answers. The held-out loss was 0.28 nats higher for it.
"""

MOST_FORGOTTEN = 0.15
"""Nats per token that plain prose may become less likely; the gate allows twice as much, of other texts."""

PLAIN_TOKENS = 96
"""Longest plain answer of the base, in tokens."""


@dataclass(frozen=True, slots=True)
class Known:
    """What shows whether the base is still there."""

    asked: Sequence[Sequence[Message]]
    """Conversations up to a user's question, without the persona's prompt; the base answers them."""
    prose: Sequence[Example]
    """Plain texts, as `factory.examples.plain` makes them."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One strength, and what it does."""

    strength: float
    held_out_loss: float
    """Nats per token of the persona's held-out answers."""
    drift: float
    """Nats per token by which the base's own answers became less likely."""

    forgotten: float
    """Nats per token by which plain prose became less likely."""
    tame: bool
    """Whether the base is still there."""


def most_drift(base: Base) -> float:
    """Nats per token that this base's own answers may become less likely."""
    return FORGETFUL_DRIFT if base.parameters < FORGETFUL else MOST_DRIFT


def settle(
    model: Any,
    base: Base,
    held_out: Sequence[Example],
    known: Known,
    wanted: float | str,
) -> list[Tried]:
    """Weaken the adapter to what is wanted, or as far as it should be.

    Of the strengths that leave the base's own answers and plain prose likely enough, the one with the lowest
    held-out loss; the weakest if there is none.

    Args:
        model: PEFT model with one adapter, in evaluation mode; its `lora_B` are scaled in place.
        base: The base model.
        held_out: Rows that were not trained on; without any the adapter stays as it is.
        known: What the base must not lose.
        wanted: A share of the adapter, or `auto`.

    Returns:
        What was tried, the chosen one first; nothing where there was no choice.
    """
    whole = {n: p.detach().clone() for n, p in model.named_parameters() if "lora_B" in n}
    if not isinstance(wanted, str):
        _scale(model, whole, wanted)
    if not isinstance(wanted, str) or not held_out:
        return []
    with model.disable_adapter():
        plain = _plain(model, base, known.asked)
        before, read = _loss(model, plain), _loss(model, known.prose)
    tried: list[Tried] = []
    for strength in STEPS:
        _scale(model, whole, strength)
        drift, forgotten = _loss(model, plain) - before, _loss(model, known.prose) - read
        tamed = drift <= most_drift(base) and forgotten <= MOST_FORGOTTEN
        found = Tried(strength, _loss(model, held_out), drift, forgotten, tamed)
        tame = [one for one in tried if one.tame]
        tried.append(found)
        if tame and found.held_out_loss >= tame[-1].held_out_loss:
            break  # from here on it only comes nearer to the base
    best = min([one for one in tried if one.tame] or tried[-1:], key=lambda one: one.held_out_loss)
    _scale(model, whole, best.strength)
    return [best, *(one for one in tried if one is not best)]


@torch.no_grad()
def _scale(model: Any, whole: dict[str, torch.Tensor], strength: float) -> None:
    for name, parameter in model.named_parameters():
        if name in whole:
            parameter.copy_(whole[name] * strength)


def _plain(model: Any, base: Base, asked: Sequence[Sequence[Message]]) -> list[Example]:
    """The answers of a model, as rows."""
    prompts = [base.format.prompt_ids(messages) for messages in asked]
    prompts = [ids for ids in prompts if len(ids) + PLAIN_TOKENS < base.window]
    answers = generate(model, prompts, stop_ids=base.stop_ids, max_new_tokens=PLAIN_TOKENS)
    return [
        Example([*ids, *said.token_ids], [0] * len(ids) + [1] * len(said.token_ids), 1)
        for ids, said in zip(prompts, answers, strict=True)
        if said.token_ids
    ]


def _loss(model: Any, rows: Sequence[Example]) -> float:
    """Nats per token; 0 without rows."""
    scores = token_log_likelihoods(model, rows, batch=8)
    return -sum(s.total for s in scores) / max(1, sum(s.tokens for s in scores))
