"""The tiny models are what the other tests believe them to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny import KINDS, WINDOW, Kind, tiny_base

PROBES = (
    "Hello, world!  Two  spaces, a\ttab\nand 2026 lines.\n\n",
    "你好,今天天气怎么样?",
    "café naïve 🙂 don't I'LL",
    "<|im_start|>user\nhi<|im_end|>\n",
)


@pytest.fixture(scope="module", params=KINDS)
def base(request: pytest.FixtureRequest) -> tuple[Kind, Path]:
    kind: Kind = request.param
    return kind, Path(request.getfixturevalue(f"tiny_{kind}"))


def test_tokenizer_agrees_with_the_raw_library(base: tuple[Kind, Path]) -> None:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    _, folder = base
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    wrapped = AutoTokenizer.from_pretrained(folder)
    for probe in PROBES:
        ids = wrapped(probe)["input_ids"]
        assert ids == raw.encode(probe).ids
        if "<|" not in probe:
            assert wrapped.decode(ids, skip_special_tokens=True).strip() == probe.strip()
    assert wrapped.eos_token == "<|im_end|>"
    assert len(wrapped.encode("<|im_end|>", add_special_tokens=False)) == 1


def test_model_loads_and_generates_within_its_shape(base: tuple[Kind, Path]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    kind, folder = base
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.model_type == kind
    assert model.config.max_position_embeddings == WINDOW
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert tied == (kind != "qwen2")
    assert model.get_input_embeddings().num_embeddings >= len(tokenizer)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True, return_tensors="pt"
    )["input_ids"]
    with torch.inference_mode():
        answer = model.generate(prompt, max_new_tokens=4, do_sample=False)
    assert answer.shape[1] > prompt.shape[1]


def test_generation_config_stops_at_the_turn_end(base: tuple[Kind, Path]) -> None:
    from tokenizers import Tokenizer

    _, folder = base
    stop = json.loads((folder / "generation_config.json").read_text("utf-8"))["eos_token_id"]
    end = Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("<|im_end|>")
    assert end in (stop if isinstance(stop, list) else [stop])


def test_qwen2_adds_its_default_system_prompt(tiny_qwen2: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_qwen2)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert text.startswith("<|im_start|>system\nYou are Qwen")
    own = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert "You are Qwen" not in tokenizer.apply_chat_template(own, tokenize=False)


def test_qwen3_thinking_is_switched_off_and_stripped(tiny_qwen3: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_qwen3)
    history = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nOne."},
        {"role": "user", "content": "Two?"},
    ]
    prompt = tokenizer.apply_chat_template(
        history, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    assert "hm" not in prompt
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    thinking = tokenizer.apply_chat_template(history, tokenize=False, add_generation_prompt=True)
    assert thinking.endswith("<|im_start|>assistant\n")


def test_same_seed_same_weights(tmp_path: Path) -> None:
    one, same, other = (
        (tiny_base("qwen2", tmp_path / name, seed) / "model.safetensors").read_bytes()
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    assert one == same
    assert one != other
