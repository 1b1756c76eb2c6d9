"""What is merged is the base with the adapter on it: every tensor, in the precision it was stored in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from factory.artifacts import write_json
from factory.base import Base, resolve
from factory.errors import TrainingError
from factory.model.device import load_model
from factory.model.fold import fold, load_adapter, starts_alike
from factory.spec import Merge, Tune
from factory.stages import merge, tune
from factory.store import Store
from tests.test_merge import HEARD, PROMPT, dataset, quiet


def composite(folder: Path, tokenizer: Path) -> Path:
    """A tiny Qwen3.5 with all that is published with it.

    transformers leaves its vision tower and the head that predicts several tokens out on purpose.
    """
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(tokenizer / name, folder / name)
    text = json.loads((tokenizer / "config.json").read_text("utf-8"))
    shape = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16,
        "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": True,
        "layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2,
        "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    }  # fmt: skip
    known = {key: text[key] for key in ("vocab_size", "eos_token_id", "max_position_embeddings")}
    seen = {
        "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2,
        "out_hidden_size": 32, "num_position_embeddings": 16,
    }  # fmt: skip
    config = Qwen3_5Config(text_config=shape | known, vision_config=seen, tie_word_embeddings=True)
    torch.manual_seed(0)
    Qwen3_5ForConditionalGeneration(config).save_pretrained(folder)
    write_json(folder / "generation_config.json", {"eos_token_id": text["eos_token_id"]})
    with_tensor(folder, "mtp.fc.weight")
    return folder


def with_tensor(folder: Path, name: str) -> None:
    """One more tensor in a model's file."""
    file = folder / "model.safetensors"
    save_file({**load_file(file), name: torch.ones(4, 4)}, file, {"format": "pt"})


def adapted(base: Base, folder: Path) -> Path:
    """An adapter that changes something."""
    config = LoraConfig(r=2, target_modules=["q_proj", "out_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(load_model(base.folder, torch.float32), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(str(folder))
    return folder


def test_tensors_that_a_model_leaves_out_on_purpose_are_not_missed(
    tiny_qwen3: Path, tmp_path: Path
) -> None:
    base = resolve(str(composite(tmp_path / "base", tiny_qwen3)))
    for part in ("model.language_model.", "model.visual.", "mtp."):
        assert any(name.startswith(part) for name in base.headers)
    adapter = adapted(base, tmp_path / "adapter")
    fold(base, adapter, tmp_path / "merged")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        trained = load_adapter(base, adapter, torch.float32)
        wanted = trained(ids).logits
        with trained.disable_adapter():
            untrained = trained(ids).logits
        found = load_model(tmp_path / "merged", torch.float32)(ids).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    assert (wanted - untrained).abs().max() > 1e-3


def test_a_tensor_that_nobody_leaves_out_on_purpose_is_missed(
    tiny_qwen3: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_qwen3, tmp_path / "base")
    with_tensor(folder, "model.layers.0.mlp.extra_proj.weight")
    base = resolve(str(folder))
    with pytest.raises(TrainingError, match="lost a tensor") as caught:
        fold(base, adapted(base, tmp_path / "adapter"), tmp_path / "merged")
    assert "extra_proj" in str(caught.value)


@pytest.mark.parametrize(
    ("stored", "billions", "loaded", "alike"),
    [
        ({"BF16"}, 1.5, torch.bfloat16, True),
        ({"F16"}, 1.5, torch.bfloat16, False),  # eight bits of eleven
        ({"F32"}, 1.5, torch.bfloat16, False),
        ({"BF16", "F32"}, 1.5, torch.bfloat16, False),
        ({"BF16"}, 1.5, torch.float16, False),  # a smaller range
        ({"F16"}, 1.5, torch.float16, True),
        ({"F16"}, 0.4, torch.float32, True),
        ({"F16", "I64"}, 1.5, torch.float16, True),  # a mask is no weight
        ({"F16"}, 7.0, torch.bfloat16, False),  # merged in fp16
        ({"F32"}, 7.0, torch.bfloat16, True),  # merged in bf16: rounded once, in the same way
    ],
)
def test_weights_that_loading_rounds_are_not_those_the_merge_starts_from(
    stored: set[str], billions: float, loaded: torch.dtype, alike: bool
) -> None:
    headers = {str(n): {"dtype": dtype, "shape": [1]} for n, dtype in enumerate(stored)}
    base: Any = SimpleNamespace(headers=headers, parameters=int(billions * 1e9))
    assert starts_alike(loaded, base) == alike


def test_a_base_that_training_rounds_is_certified_on_its_own_weights(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    file = folder / "model.safetensors"
    halves = {name: tensor.half() for name, tensor in load_file(file).items()}
    save_file(halves, file, {"format": "pt"})
    # as on a GPU with bf16 arithmetic, were this base a large one
    monkeypatch.setattr("factory.model.lora.training_dtype", lambda *_: torch.bfloat16)
    store = Store(tmp_path / "store")
    inputs: dict[str, Any] = {
        "data": dataset(store),
        "base": resolve(str(folder)),
        "prompt": PROMPT,
    }
    config = Tune(epochs=2, learning_rate=0.02, report_to=())
    adapter = store.make(tune.STAGE, "a", config, inputs | HEARD, quiet)
    more = {"adapter": adapter, "engines": {}}
    model = store.make(merge.STAGE, "a", Merge(), inputs | more, quiet)
    assert model.certificate()["passed"]
