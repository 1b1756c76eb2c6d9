"""The torch rooms: both batch layouts mean the same, scores are right, memory runs out gracefully."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from factory.base import resolve
from factory.chat import Example
from factory.errors import TrainingError, UsageError
from factory.model import lora
from factory.model.batches import (
    agrees,
    end_to_end,
    labels_of,
    layout_for,
    padded,
    shared_beginning,
)
from factory.model.device import load_model, prove_tokenizer, with_ladder
from factory.model.lora import Trained, last_checkpoint, train
from factory.model.score import generate, token_log_likelihoods
from factory.model.strength import Known
from factory.plan import Choice, Plan

KINDS = ("llama", "qwen2", "qwen3")
PROMPT = [5, 6, 7, 8, 9]


def example(*answer: int, ask: tuple[int, ...] = (20, 21)) -> Example:
    ids = [*PROMPT, *ask, *answer]
    before = len(PROMPT) + len(ask)
    return Example(ids, [0] * before + [1] * len(answer), 1)


ROWS = [
    example(30, 31, 32),
    example(40, 41, 42, 43, 44, 45, ask=(22,)),
    example(50, 51, ask=(23, 24, 25)),
    example(30, 33, 34, 35),  # the same question as the first, another answer
]


def as_dicts(rows: list[Example]) -> list[dict[str, list[int]]]:
    return [{"input_ids": r.input_ids, "labels": labels_of(r)} for r in rows]


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> Any:
    return load_model(request.getfixturevalue(f"tiny_{request.param}"), torch.float32)


def loss(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    batch = dict(batch)
    labels = batch.pop("labels")[:, 1:]
    logits = model(**batch, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())


def test_the_prompt_computed_once_gives_the_same_loss_and_gradients(model: Any) -> None:
    gradients = []
    losses = []
    for layout in (padded, end_to_end):
        model.zero_grad()
        value = loss(model, layout(as_dicts(ROWS)))
        value.backward()
        losses.append(value.item())
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    assert agrees(model, as_dicts(ROWS))


def test_what_is_shared_stops_before_the_answers() -> None:
    assert shared_beginning(as_dicts(ROWS)) == len(PROMPT)
    same_question = as_dicts([ROWS[0], ROWS[3]])
    assert shared_beginning(same_question) == len(PROMPT) + 1
    assert end_to_end(same_question)["labels"][0].tolist().count(30) == 2


def test_less_is_computed_than_with_padding() -> None:
    rows = as_dicts(ROWS)
    assert padded(rows)["input_ids"].numel() == 4 * 12
    assert end_to_end(rows)["input_ids"].numel() == len(PROMPT) + 5 + 7 + 5 + 6


def test_a_model_that_ignores_the_mask_is_found_out(tiny_llama: Path) -> None:
    model = load_model(tiny_llama, torch.float32)
    whole = model.forward

    def deaf(attention_mask: torch.Tensor | None = None, **rest: Any) -> Any:
        return whole(**rest)

    model.forward = deaf
    assert not agrees(model, as_dicts(ROWS))


def test_a_window_that_only_the_longest_row_exceeds_is_found_out() -> None:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(1)
    model = MistralForCausalLM(
        MistralConfig(
            vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, sliding_window=16, initializer_range=0.2,
        )
    )  # fmt: skip
    long = example(*range(10, 50))
    assert layout_for(model, as_dicts(ROWS)) is end_to_end
    assert layout_for(model, as_dicts([*ROWS, long])) is padded


def test_scores_do_not_depend_on_the_batch_and_count_only_the_answer(model: Any) -> None:
    alone = [token_log_likelihoods(model, [row])[0] for row in ROWS]
    together = token_log_likelihoods(model, ROWS, batch=3)
    for one, other, row in zip(alone, together, ROWS, strict=True):
        assert one.tokens == other.tokens == sum(row.loss_mask)
        assert one.total == pytest.approx(other.total, abs=1e-3)
    ids = torch.tensor([ROWS[0].input_ids])
    chances = model(ids).logits[0].log_softmax(-1)
    by_hand = sum(chances[k - 1, ROWS[0].input_ids[k]].item() for k in (7, 8, 9))
    assert alone[0].total == pytest.approx(by_hand, abs=1e-3)


def test_greedy_answers_are_those_of_transformers_in_any_batch(model: Any) -> None:
    prompts = [row.input_ids for row in ROWS]
    own = generate(model, prompts, stop_ids=[3], max_new_tokens=12)
    for prompt, found in zip(prompts, own, strict=True):
        expected = model.generate(
            torch.tensor([prompt]), max_new_tokens=12, do_sample=False, eos_token_id=3,
            pad_token_id=0, attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        )[0, len(prompt) :].tolist()  # fmt: skip
        assert found.token_ids == [t for t in expected if t != 3]
        assert found.stopped == (3 in expected)
        assert len(found.log_probabilities) == len(expected)


def test_running_out_of_memory_halves_the_rows_and_keeps_the_batch() -> None:
    tried: list[tuple[int, bool]] = []
    notes: list[str] = []

    def attempt(rows: int, recompute: bool) -> str:
        tried.append((rows, recompute))
        if rows > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "trained"

    assert with_ladder(attempt, 8, notes.append) == "trained"
    assert tried == [(8, False), (4, False), (2, False)]
    assert "effective batch stays 8" in notes[-1]


def test_the_ladder_ends_with_one_clear_error() -> None:
    tried: list[tuple[int, bool]] = []

    def attempt(rows: int, recompute: bool) -> None:
        tried.append((rows, recompute))
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match="one row at a time") as caught:
        with_ladder(attempt, 6, lambda _: None)
    assert tried == [(6, False), (3, False), (1, False), (1, True)]
    assert "qlora" in str(caught.value)


@pytest.mark.parametrize("precision", ["bf16", "qlora"])
def test_out_of_memory_after_training_is_not_blamed_on_the_rows(
    precision: str, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    model = get_peft_model(
        load_model(tiny_llama, torch.float32), LoraConfig(target_modules=["q_proj"])
    )

    def trained(*given: Any, **_: Any) -> Trained:
        runs.append(given[4])
        return Trained(model, 1, False, given[4], [])

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 10 GiB")

    monkeypatch.setattr(lora, "_run", trained)
    monkeypatch.setattr(lora, "load_adapter", full)
    monkeypatch.setattr(type(model), "to", full)
    chosen = Plan(
        (
            Choice("batch_size", 8, ""),
            Choice("precision", precision, ""),
            Choice("strength", "auto", ""),
        ),
        1,
        1.0,
        1,
    )
    with pytest.raises(TrainingError, match="after training") as caught:
        train(
            resolve(str(tiny_llama)), ROWS, [], Known([], []), chosen,
            out=tmp_path, progress=lambda **_: None, seed=1, report_to=(),
        )  # fmt: skip
    assert runs == [8]
    assert "training is kept" in str(caught.value)


def test_a_torn_checkpoint_is_passed_over_and_removed(tmp_path: Path) -> None:
    for step, state in ((9, json.dumps({"global_step": 9})), (10, '{"global_'), (11, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-9"]


def test_a_tokenizer_that_transformers_reads_differently_is_refused(
    tiny_qwen2: Path, tmp_path: Path
) -> None:
    import shutil

    prove_tokenizer(resolve(str(tiny_qwen2)))
    copy = tmp_path / "copy"
    shutil.copytree(tiny_qwen2, copy)
    # Its class rebuilds the normalizer and overlooks this one (huggingface/transformers#45488).
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Lowercase"}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UsageError, match="differently"):
        prove_tokenizer(resolve(str(copy)))
