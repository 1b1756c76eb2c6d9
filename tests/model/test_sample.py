"""Drawn answers are what one row at a time would give, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LogitsProcessorList,
    MinPLogitsWarper,
    MistralConfig,
    MptConfig,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from factory.chat import Example
from factory.model.choosing import FIRST_LOOK, choose
from factory.model.device import load_model
from factory.model.prefix import WORTH, compute, reuses, shared, spread
from factory.model.sample import Drawn, draw
from factory.model.sampling import Sampling, uniforms
from factory.model.score import generate, token_log_likelihoods

SYSTEM = list(range(100, 130))
OTHER = list(range(140, 175))
PROMPTS = [
    [*SYSTEM, 50],
    [*SYSTEM, 60, 61, 62],
    [*SYSTEM, 60, 61, 62],
    [*SYSTEM, 60, 61, 62],
    [*SYSTEM, *range(70, 90)],
    [*SYSTEM, 60, 61, 62, 5],
]
SEEDS = [11, 12, 13, 14, 2**63 - 1, 0]
STOPS = range(0, 10_000, 10)
"""Many ids end an answer, so that rows end at different times."""

SETTINGS = [
    Sampling(temperature=1.0, max_new_tokens=24),
    Sampling(temperature=0.7, top_p=0.9, max_new_tokens=24),
    Sampling(temperature=1.3, top_k=20, max_new_tokens=24),
    Sampling(
        temperature=0.9, top_p=0.8, top_k=40, min_p=0.01, repetition_penalty=1.2, max_new_tokens=24
    ),
]


@pytest.fixture(params=("llama", "qwen2", "qwen3"))
def model(request: pytest.FixtureRequest) -> Any:
    return load_model(request.getfixturevalue(f"tiny_{request.param}"), torch.float32)


@torch.no_grad()
def one_by_one(model: Any, prompt: Sequence[int], seed: int, sampling: Sampling) -> Drawn:
    """The same without a batch or a cache, filtered by transformers."""
    warpers: Any = LogitsProcessorList()
    if sampling.repetition_penalty != 1:
        warpers.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    warpers.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.min_p:
        warpers.append(MinPLogitsWarper(sampling.min_p))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    ids = list(prompt)
    for chance in uniforms(seed, sampling.max_new_tokens):
        logits = model(torch.tensor([ids])).logits[:, -1].float()
        shares = warpers(torch.tensor([ids]), logits)[0].double().softmax(-1).numpy().cumsum()
        token = int(np.searchsorted(shares, float(chance) * shares[-1], side="right"))
        if token in STOPS:
            return Drawn(ids[len(prompt) :], True)
        ids.append(token)
    return Drawn(ids[len(prompt) :], False)


@pytest.mark.parametrize("sampling", SETTINGS, ids=lambda s: f"p{s.top_p}-k{s.top_k}")
def test_a_batch_draws_what_a_loop_draws(model: Any, sampling: Sampling) -> None:
    ticks: list[int] = []
    drawn = draw(
        model, PROMPTS, seeds=SEEDS, sampling=sampling, stop_ids=STOPS, batch=4, tick=ticks.append
    )
    expected = [one_by_one(model, p, s, sampling) for p, s in zip(PROMPTS, SEEDS, strict=True)]
    assert drawn == expected
    assert len({len(answer.token_ids) for answer in drawn}) > 2
    assert ticks == [4, 6]


def test_neighbours_and_order_do_not_matter(model: Any) -> None:
    sampling = SETTINGS[1]

    def answers(order: Sequence[int], batch: int) -> list[Drawn]:
        found = draw(
            model, [PROMPTS[i] for i in order], seeds=[SEEDS[i] for i in order],
            sampling=sampling, stop_ids=STOPS, batch=batch,
        )  # fmt: skip
        return [found[order.index(i)] for i in sorted(order)]

    together = answers(range(6), 64)
    assert answers((4, 2, 0, 5, 3, 1), 3) == together
    assert [answers((i,), 1)[0] for i in range(6)] == together
    # Beside prompts that begin with something else, nothing is shared.
    prompts = [*PROMPTS, [*OTHER, 60, 61], OTHER[:3]]
    beside = draw(model, prompts, seeds=[*SEEDS, 8, 9], sampling=sampling, stop_ids=STOPS)
    assert beside[:6] == together


def test_each_seed_has_an_answer_of_its_own(model: Any) -> None:
    sampling = Sampling(temperature=1.0, max_new_tokens=12)
    prompts = [PROMPTS[1]] * 8
    drawn = draw(model, prompts, seeds=[*range(7), 0], sampling=sampling, stop_ids=[])
    assert len({tuple(answer.token_ids) for answer in drawn[:7]}) == 7
    assert drawn[7] == drawn[0]
    assert all(len(answer.token_ids) == 12 and not answer.stopped for answer in drawn)


def test_temperature_zero_is_the_greedy_answer(model: Any) -> None:
    sampling = Sampling(temperature=0, top_p=0.5, max_new_tokens=24)
    drawn = draw(model, PROMPTS, seeds=SEEDS, sampling=sampling, stop_ids=STOPS)
    greedy = generate(model, PROMPTS, stop_ids=list(STOPS), max_new_tokens=24)
    assert drawn == [Drawn(g.token_ids, g.stopped) for g in greedy]


def test_an_answer_ends_at_the_window(model: Any) -> None:
    sampling = Sampling(temperature=1.0, max_new_tokens=24)
    window = len(SYSTEM) + 8
    drawn = draw(model, PROMPTS, seeds=SEEDS, sampling=sampling, stop_ids=[], window=window)
    room = [max(0, min(24, window - len(prompt))) for prompt in PROMPTS]
    assert [len(answer.token_ids) for answer in drawn] == room
    whole = draw(model, PROMPTS, seeds=SEEDS, sampling=sampling, stop_ids=[])
    full = draw(model, PROMPTS[:1], seeds=[1], sampling=sampling, stop_ids=[], window=len(SYSTEM))
    assert full == [Drawn([], False)]
    assert [a.token_ids for a in drawn] == [
        w.token_ids[:n] for w, n in zip(whole, room, strict=True)
    ]


def test_nothing_asked_nothing_drawn(model: Any) -> None:
    assert draw(model, [], seeds=[], sampling=SETTINGS[0], stop_ids=[]) == []


def test_a_batch_that_does_not_fit_is_halved(tiny_llama: Any) -> None:
    model = load_model(tiny_llama, torch.float32)
    expected = draw(model, PROMPTS, seeds=SEEDS, sampling=SETTINGS[0], stop_ids=STOPS)
    whole, sizes = model.forward, []

    def small(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(**inputs)

    model.forward = small
    assert draw(model, PROMPTS, seeds=SEEDS, sampling=SETTINGS[0], stop_ids=STOPS) == expected
    assert max(sizes) > 2


def test_the_common_beginning_is_computed_once(tiny_llama: Any) -> None:
    model = load_model(tiny_llama, torch.float32)
    read = 0
    whole = model.forward

    def counted(**inputs: Any) -> Any:
        nonlocal read
        read += inputs["input_ids"].numel()
        return whole(**inputs)

    model.forward = counted
    draw(model, PROMPTS, seeds=SEEDS, sampling=SETTINGS[0], stop_ids=range(100_000))
    once = read
    rest = 4 * 20  # the four distinct questions, padded
    assert once <= len(SYSTEM) + rest + 20  # and what tries out whether the model can do it
    read = 0
    rows = [Example([*p, 7, 8], [0] * len(p) + [1, 1], 1) for p in PROMPTS]
    token_log_likelihoods(model, rows)
    assert read <= len(SYSTEM) + 6 * 22 + 20


SHAPE: dict[str, Any] = {
    "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "initializer_range": 0.2,
}  # fmt: skip
ODD = {
    "sliding windows": MistralConfig(**SHAPE, sliding_window=8),
    "capped logits": Gemma2Config(**SHAPE, head_dim=32, sliding_window=8),
    "places as positions": MptConfig(
        d_model=64, n_heads=2, n_layers=2, vocab_size=300, initializer_range=0.2
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_a_model_that_cannot_go_on_from_a_beginning_is_read_whole(name: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(ODD[name], dtype=torch.float32).eval()
    assert not reuses(model)
    drawn = draw(model, PROMPTS, seeds=SEEDS, sampling=SETTINGS[1], stop_ids=STOPS)
    assert drawn == [
        one_by_one(model, p, s, SETTINGS[1]) for p, s in zip(PROMPTS, SEEDS, strict=True)
    ]
    rows = [Example([*p, 7, 8, 9], [0] * len(p) + [1, 1, 1], 1) for p in PROMPTS]
    for row, found in zip(rows, token_log_likelihoods(model, rows), strict=True):
        assert found.total == pytest.approx(by_hand(model, row), abs=1e-4)


@torch.no_grad()
def by_hand(model: Any, row: Example) -> float:
    chances = model(torch.tensor([row.input_ids])).logits[0].double().log_softmax(-1)
    return sum(
        chances[k - 1, token].item()
        for k, (token, on) in enumerate(zip(row.input_ids, row.loss_mask, strict=True))
        if on and k
    )


def test_likelihoods_behind_a_common_beginning_are_those_of_whole_rows(model: Any) -> None:
    rows = [
        Example([*p, *range(7, 9 + k)], [0] * len(p) + [1] * (2 + k), 1)
        for k, p in enumerate(PROMPTS)
    ]
    rows.append(Example([*SYSTEM, 60, 61, 7, 8, 9], [0] * 31 + [1, 0, 0, 1], 2))
    ticks: list[int] = []
    found = token_log_likelihoods(model, rows, batch=3, tick=ticks.append)
    for row, score in zip(rows, found, strict=True):
        assert score.tokens == sum(row.loss_mask)
        assert score.total == pytest.approx(by_hand(model, row), abs=1e-4)
    assert ticks[-1] == len(rows)
    text = Example(OTHER, [1] * len(OTHER), 0)  # the first token has nothing before it
    score = token_log_likelihoods(model, [text, *rows])[0]
    assert score.tokens == len(OTHER) - 1
    assert score.total == pytest.approx(by_hand(model, text), abs=1e-4)
    nothing = Example(SYSTEM, [0] * len(SYSTEM), 0)
    assert token_log_likelihoods(model, [nothing])[0].tokens == 0
    assert token_log_likelihoods(model, []) == []


def test_a_model_that_computes_nan_says_so(tiny_llama: Any) -> None:
    model = load_model(tiny_llama, torch.float32)
    with torch.no_grad():
        model.model.norm.weight[:] = torch.nan
    rows = [Example([*p, 7, 8], [0] * len(p) + [1, 1], 1) for p in PROMPTS]
    assert all(np.isnan(score.total) for score in token_log_likelihoods(model, rows))
    drawn = draw(model, PROMPTS, seeds=SEEDS, sampling=SETTINGS[1], stop_ids=STOPS)
    assert len(drawn) == len(PROMPTS)


def test_a_spread_beginning_leaves_the_kept_one_alone(tiny_qwen3: Any) -> None:
    model = load_model(tiny_qwen3, torch.float32)
    cache = compute(model, SYSTEM)
    before = cache.layers[0].keys.clone()
    many = spread(cache, 3)
    with torch.no_grad():
        model(input_ids=torch.tensor([[5], [6], [7]]), past_key_values=many, use_cache=True)
    assert many.get_seq_length() == len(SYSTEM) + 1
    assert torch.equal(cache.layers[0].keys, before)


def test_what_is_shared_stops_at_the_limit_and_is_worth_while() -> None:
    assert shared(PROMPTS, [len(p) - 1 for p in PROMPTS]) == len(SYSTEM)
    assert shared(PROMPTS, [WORTH] * 6) == WORTH
    assert shared(PROMPTS, [WORTH - 1] * 6) == 0
    assert shared(PROMPTS[:1], [20]) == 0
    assert shared([*PROMPTS, OTHER], [20] * 7) == 0


def test_random_numbers_are_even_and_depend_on_the_seed_alone() -> None:
    assert uniforms(5, 10).tolist() == uniforms(5, 99)[:10].tolist()
    assert not set(uniforms(5, 50)) & set(uniforms(6, 50))
    many = np.concatenate([uniforms(seed, 20) for seed in range(1000)])
    assert many.min() >= 0
    assert many.max() < 1
    counts, _ = np.histogram(many, bins=10, range=(0, 1))
    assert counts.min() > 1800
    assert counts.max() < 2200


def test_tokens_come_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([0.5, 0.25, 0.15, 0.1]).log().repeat(20_000, 1)
    chance = torch.tensor(uniforms(1, 20_000))

    def shares(**settings: Any) -> list[float]:
        picked = choose(logits, Sampling(**settings), chance)
        return (picked.bincount(minlength=4) / 20_000).tolist()

    assert shares() == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=0.015)
    assert shares(temperature=0.5) == pytest.approx([0.7246, 0.1812, 0.0652, 0.0290], abs=0.015)
    assert shares(top_p=0.7) == pytest.approx([2 / 3, 1 / 3, 0, 0], abs=0.015)
    assert shares(top_k=3) == pytest.approx([0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0], abs=0.015)
    assert shares(min_p=0.25) == pytest.approx([0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0], abs=0.015)
    assert shares(top_k=2, top_p=0.6) == [1, 0, 0, 0]  # the nucleus of what top-k left
    assert shares(temperature=0) == [1, 0, 0, 0]


def test_a_wide_nucleus_is_found_whole() -> None:
    size = 4 * FIRST_LOOK
    slope = torch.linspace(1e-2, 0, size)  # nearly even: the nucleus is wider than the first look
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    wide = torch.empty(size)
    wide[order] = slope
    narrow = torch.zeros(size)
    narrow[7] = 20.0
    logits = torch.stack([wide, narrow]).repeat(5000, 1)
    chance = torch.linspace(0, 0.9999, 5000).repeat_interleave(2)
    picked = choose(logits, Sampling(top_p=0.4), chance)
    shares = slope.double().softmax(-1)
    count = int((shares.cumsum(-1) - shares < 0.4).sum())
    assert count > FIRST_LOOK
    assert set(picked[::2].tolist()) == set(order[:count].tolist())
    assert set(picked[1::2].tolist()) == {7}


@pytest.mark.parametrize(
    "settings",
    [{"top_k": 700, "top_p": 0.9}, {"min_p": 0.3, "top_p": 0.9}, {"min_p": 0.3, "top_k": 700}],
    ids=str,
)
def test_filters_keep_what_transformers_keeps(settings: dict[str, Any]) -> None:
    logits = torch.randn(1, 1500, generator=torch.Generator().manual_seed(1)) * 0.3
    warpers: Any = LogitsProcessorList()
    if "min_p" in settings:
        warpers.append(MinPLogitsWarper(settings["min_p"]))
    if "top_k" in settings:
        warpers.append(TopKLogitsWarper(settings["top_k"]))
    if "top_p" in settings:
        warpers.append(TopPLogitsWarper(settings["top_p"]))
    expected = warpers(torch.zeros(1, 0, dtype=torch.long), logits.clone())[0]
    picked = choose(
        logits.repeat(6_000, 1), Sampling(**settings), torch.linspace(0, 0.99999, 6_000)
    )
    assert set(picked.tolist()) == set(expected.isfinite().nonzero()[:, 0].tolist())


def test_settings_come_from_a_generation_config() -> None:
    served = Sampling.of({"temperature": 0.7, "top_k": 20, "repetition_penalty": 1.1}, 64)
    assert served == Sampling(0.7, 1.0, 20, 64, 0.0, 1.1)
    assert served.greedy() == Sampling(0.0, 1.0, 0, 64, 0.0, 1.1)
    assert served.greedy(8).max_new_tokens == 8
