"""Log-likelihoods and greedy answers of a causal language model, batched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from factory.chat import Example
from factory.contracts import Reply
from factory.model.head import head_sees
from factory.model.prefix import compute, padded, reuses, shared, spread


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


LOGITS = 2**27
"""Logits computed at a time, tokens times vocabulary: half a GiB in fp32."""

TOKENS = {"cpu": 512, "cuda": 8192}
"""Tokens read at a time, padding included: a CPU is busy with few, and more only leave its cache."""


@torch.no_grad()
def token_log_likelihoods(
    model: Any,
    rows: Sequence[Example],
    *,
    batch: int = 64,
    tick: Callable[[int], None] | None = None,
) -> list[LogLikelihood]:
    """Completion-only log-likelihood of every row, in the order given.

    What all rows begin with is computed once; the rest is batched by length, padded on the right,
    and never cut. Logits are computed at the scored positions only, their logarithms in fp32. A
    model that computes NaN has a likelihood of NaN.

    Args:
        model: A causal language model; its training mode is kept.
        rows: Tokenised rows; tokens with mask 1 are scored given all tokens before them.
        batch: Most rows of a forward pass; long ones are fewer.
        tick: Called with the number of finished rows.
    """
    was_training = model.training
    model.eval()
    ids = [row.input_ids for row in rows]
    # The token before the first scored one stays with its row: its logits are the first needed.
    length = shared(ids, [_first_scored(row) - 1 for row in rows])
    cache = compute(model, ids[0][:length]) if length and reuses(model) else None
    length = length if cache is not None else 0
    found: dict[int, LogLikelihood] = {}
    device = next(model.parameters()).device.type
    for chosen in _batches(
        rows,
        length,
        most=batch,
        readable=TOKENS.get(device, TOKENS["cuda"]),
        scorable=LOGITS // int(model.config.get_text_config().vocab_size),
    ):
        kept = spread(cache, len(chosen)) if cache is not None else None
        scored = _score(model, [rows[i] for i in chosen], length, kept)
        found.update(zip(chosen, scored, strict=True))
        if tick:
            tick(len(found))
    model.train(was_training)
    return [found[i] for i in range(len(rows))]


def _first_scored(row: Example) -> int:
    """Where the loss begins; the first token has nothing before it and is never scored."""
    return next((k for k, on in enumerate(row.loss_mask) if on and k), len(row.loss_mask))


def _batches(
    rows: Sequence[Example], shared: int, *, most: int, readable: int, scorable: int
) -> Iterator[list[int]]:
    """Rows of like length, as many as fit all three limits (rows, tokens, tokens with logits)."""
    chosen: list[int] = []
    scored = 0
    for i in sorted(range(len(rows)), key=lambda i: len(rows[i].input_ids)):
        own, width = sum(rows[i].loss_mask), len(rows[i].input_ids) - shared
        full = len(chosen) == most or (len(chosen) + 1) * width > readable
        if chosen and (full or scored + own > scorable):
            yield chosen
            chosen, scored = [], 0
        chosen.append(i)
        scored += own
    if chosen:
        yield chosen


def _score(
    model: Any, rows: Sequence[Example], length: int, cache: Any | None
) -> list[LogLikelihood]:
    """Score rows whose first `length` tokens are in the cache."""
    where = next(model.parameters()).device
    ids, mask = padded([row.input_ids[length:] for row in rows], where, left=False)
    on, _ = padded([row.loss_mask[length:] for row in rows], where, left=False)
    before = torch.zeros_like(on, dtype=torch.bool)  # positions whose logits are the scored tokens'
    before[:, :-1] = on[:, 1:].bool()
    if cache is not None:
        mask = torch.cat([mask.new_ones(len(rows), length), mask], dim=1)
    with head_sees(model, lambda hidden: hidden[before][None]):
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
        ).logits
    logits = logits[before] if logits.shape[:2] == before.shape else logits[0]
    targets = ids[:, 1:][before[:, :-1]]
    nats = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none").double()
    counts = before.sum(-1).tolist()
    return [
        LogLikelihood(-part.sum().item(), count)
        for part, count in zip(nats.split(counts), counts, strict=True)
    ]


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
    ids, mask = padded(prompts, where, left=True)
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
