"""The adapter's strength: as strong as held-out rows want, and the base is still there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from factory.base import Base, resolve
from factory.chat import Example
from factory.contracts import Message
from factory.examples import plain
from factory.model import strength
from factory.model.device import load_model
from factory.model.score import token_log_likelihoods

ASKED: list[list[Message]] = [
    [{"role": "user", "content": text}] for text in ("hello there", "what now", "and then")
]
KNOWN = strength.Known(ASKED, [])


@pytest.fixture
def base(tiny_llama: Path) -> Base:
    return resolve(str(tiny_llama))


def adapted(base: Base, size: float, seed: int = 0) -> Any:
    """A base with an adapter in a random direction, so large."""
    torch.manual_seed(seed)
    model = get_peft_model(
        load_model(base.folder, torch.float32),
        LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj", "up_proj"]),
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, size)
    return model.eval()


def held_out(base: Base) -> list[Example]:
    return [
        base.format.example([*talk, {"role": "assistant", "content": "a small answer to it"}])
        for talk in ASKED
    ]


def loss(model: Any, rows: list[Example]) -> float:
    scores = token_log_likelihoods(model, rows)
    return -sum(s.total for s in scores) / sum(s.tokens for s in scores)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if "lora_B" in n}


def test_an_adapter_that_breaks_the_base_is_weakened_and_what_is_said_of_it_holds(
    base: Base,
) -> None:
    model = adapted(base, 3.0)
    before = weights(model)
    best, *others = strength.settle(model, base, held_out(base), KNOWN, "auto")
    assert others[0].strength == 1 and others[0].drift > strength.most_drift(base)
    assert best.strength < 1 and best.drift < others[0].drift
    for name, after in weights(model).items():
        torch.testing.assert_close(after, before[name] * best.strength)
    assert loss(model, held_out(base)) == pytest.approx(best.held_out_loss, abs=1e-4)


def test_an_adapter_that_helps_and_breaks_nothing_stays_as_it_is(base: Base) -> None:
    model, rows = adapted(base, 0.0), held_out(base)
    ids = torch.tensor([rows[0].input_ids])
    model(input_ids=ids, labels=ids).loss.backward()
    with torch.no_grad():  # one small step downhill
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad
    before = weights(model)
    best = strength.settle(model, base, rows[:1], KNOWN, "auto")[0]
    assert best.strength == 1 and best.tame
    for name, after in weights(model).items():
        torch.testing.assert_close(after, before[name])


def test_of_the_tame_strengths_the_one_with_the_lowest_held_out_loss(base: Base) -> None:
    for seed in range(4):
        found = strength.settle(adapted(base, 1.0, seed), base, held_out(base), KNOWN, "auto")
        tame = [one.held_out_loss for one in found if one.tame]
        if tame:
            assert found[0].tame and found[0].held_out_loss == min(tame)
        else:
            assert found[0].strength == min(strength.STEPS)


def test_an_adapter_that_loses_plain_prose_is_weakened_though_no_answer_changes(base: Base) -> None:
    model, rows = adapted(base, 0.0), held_out(base)[:1]
    text = plain(base, "a river begins as a small stream in the hills")
    prose, row = torch.tensor([text.input_ids]), torch.tensor([rows[0].input_ids])
    before = loss(model, [text])
    while loss(model, [text]) < before + 2 * strength.MOST_FORGOTTEN:  # better rows, worse prose
        model.zero_grad()
        gain = model(input_ids=prose, labels=prose).loss - model(input_ids=row, labels=row).loss
        gain.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter += 0.1 * parameter.grad / parameter.grad.norm().clamp(min=1e-9)
    tried = strength.settle(model, base, rows, strength.Known([], [text]), "auto")
    best, full = tried[0], max(tried, key=lambda one: one.strength)
    assert full.held_out_loss < best.held_out_loss
    assert best.strength < 1 and best.forgotten <= strength.MOST_FORGOTTEN
    assert loss(model, [text]) - before == pytest.approx(best.forgotten, abs=1e-4)
