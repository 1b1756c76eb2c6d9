"""Log-likelihoods and greedy answers of a causal language model, batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from factory.chat import Example
from factory.contracts import Reply


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """Of one row: natural-log likelihood of the tokens inside the loss, and how many there are."""

    total: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Generated:
    """One greedy answer: ids without the stop token, their log-probabilities, and how it ended."""

    token_ids: list[int]
    log_probabilities: list[float]
    """Of every chosen token, the stop token included."""
    margins: list[float]
    """How far the runner-up was behind, in nats: a small margin is a tie that rounding can flip."""
    stopped: bool


def _padded(rows: Sequence[Sequence[int]], where: torch.device, left: bool) -> tuple[Any, Any]:
    width = max(map(len, rows))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        span = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, span] = torch.tensor(row)
        mask[i, span] = 1
    return ids.to(where), mask.to(where)


@torch.no_grad()
def token_log_likelihoods(
    model: Any,
    rows: Sequence[Example],
    *,
    batch: int = 8,
    tick: Callable[[int], None] | None = None,
) -> list[LogLikelihood]:
    """Completion-only log-likelihood of every row, in the order given.

    Rows are batched by length, padded on the right, and never cut. Log-probabilities are taken in
    fp32 at the scored positions only.

    Args:
        model: A causal language model; its training mode is kept.
        rows: Tokenised rows; tokens with mask 1 are scored given all tokens before them.
        batch: Rows per forward pass.
        tick: Called with the number of finished rows.
    """
    was_training = model.training
    model.eval()
    where = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].input_ids))
    found: dict[int, LogLikelihood] = {}
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        ids, mask = _padded([rows[i].input_ids for i in chosen], where, left=False)
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        for k, i in enumerate(chosen):
            on = torch.tensor(rows[i].loss_mask, dtype=torch.bool, device=where)
            on[0] = False  # the first token has nothing before it
            targets = ids[k, : len(on)][on]
            before = logits[k, : len(on) - 1][on[1:]].float().log_softmax(-1)
            total = before.gather(-1, targets[:, None]).double().sum().item()
            found[i] = LogLikelihood(total, int(on.sum()))
        if tick:
            tick(start + len(chosen))
    model.train(was_training)
    return [found[i] for i in range(len(rows))]


@torch.no_grad()
def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: Sequence[int],
    max_new_tokens: int,
    batch: int = 8,
    tick: Callable[[int], None] | None = None,
) -> list[Generated]:
    """Greedy answers, in the order of the prompts.

    Plain argmax without any penalty, so that every engine can be held to the same tokens.

    Args:
        model: A causal language model in evaluation mode.
        prompts: Token ids of each generation prompt.
        stop_ids: Ids that end an answer.
        max_new_tokens: Longest answer; one that reaches it did not stop.
        batch: Prompts per batch; batched by length, padded on the left.
        tick: Called with the number of finished prompts.
    """
    where = next(model.parameters()).device
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found: dict[int, Generated] = {}
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        answers = _greedy(model, [prompts[i] for i in chosen], where, stop_ids, max_new_tokens)
        found.update(zip(chosen, answers, strict=True))
        if tick:
            tick(start + len(chosen))
    return [found[i] for i in range(len(prompts))]


def _greedy(
    model: Any,
    prompts: Sequence[Sequence[int]],
    where: torch.device,
    stop_ids: Sequence[int],
    max_new_tokens: int,
) -> list[Generated]:
    ids, mask = _padded(prompts, where, left=True)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    stops = torch.tensor(sorted(stop_ids), device=where)
    alive = torch.ones(len(prompts), dtype=torch.bool, device=where)
    tokens: list[list[int]] = [[] for _ in prompts]
    scores: list[list[float]] = [[] for _ in prompts]
    margins: list[list[float]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    cache = None
    for _ in range(max_new_tokens):
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        cache = output.past_key_values
        chances = output.logits[:, -1].float().log_softmax(-1)
        top, order = chances.topk(2, dim=-1)
        choice = order[:, 0]
        ends = torch.isin(choice, stops)
        for k, running in enumerate(alive.tolist()):
            if running:
                scores[k].append(top[k, 0].item())
                margins[k].append((top[k, 0] - top[k, 1]).item())
                if ends[k]:
                    stopped[k] = True
                else:
                    tokens[k].append(int(choice[k]))
        alive &= ~ends
        if not alive.any():
            break
        ids = choice[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
        positions = positions[:, -1:] + 1
    return [Generated(*parts) for parts in zip(tokens, scores, margins, stopped, strict=True)]


def reply(generated: Generated, decode: Callable[[list[int]], str]) -> Reply:
    """A generated answer as graders see it."""
    return Reply(
        decode(generated.token_ids).strip(),
        "stop" if generated.stopped else "length",
        len(generated.token_ids),
    )
