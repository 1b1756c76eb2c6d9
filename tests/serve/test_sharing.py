"""Several personas on one base share one vLLM: the base once, an adapter for each, every one proven."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from factory.base import resolve
from factory.errors import EngineError
from factory.releases import point
from tests.serve.conftest import PROMPT, Serve, ask, golden, make_release
from tests.serve.test_supervise import answering, engines, eventually


def tuned(base: Path, folder: Path, seed: int) -> tuple[Path, Path]:
    """A random LoRA adapter of the base, strong enough to change what it says, and the merged model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=32, target_modules=["q_proj", "v_proj", "up_proj"])
    peft = get_peft_model(model, config)
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapter, merged = folder / f"adapter{seed}", folder / f"merged{seed}"
    peft.save_pretrained(adapter)
    shutil.copytree(base, merged)
    peft.merge_and_unload().save_pretrained(merged)
    return adapter, merged


def released(root: Path, base: Path, folder: Path, name: str, seed: int, number: int = 1) -> None:
    adapter, merged = tuned(base, folder, seed)
    make_release(
        root, merged, adapter=adapter, name=name, number=number,
        base={"name": str(base), "revision": None, "digest": resolve(str(base)).digest},
        probes=golden(merged, PROMPT),
    )  # fmt: skip


@pytest.mark.vllm
def test_personas_on_one_base_share_an_engine_and_swap_without_a_restart(
    factory_home: Path, serve: Serve, tiny_llama: Path, tmp_path: Path
) -> None:
    released(factory_home, tiny_llama, tmp_path, "one", 1)
    released(factory_home, tiny_llama, tmp_path, "two", 2)
    with serve("one", "two", engine="vllm") as url:
        before = engines()
        assert len(before) == 1
        said = {
            name: httpx.post(
                f"{url}/v1/chat/completions",
                json={"model": name, "messages": ask("Why?"), "temperature": 0, "max_tokens": 8},
                timeout=60,
            ).json()["choices"][0]["message"]["content"]
            for name in ("one", "two")
        }
        assert said["one"] != said["two"]
        released(factory_home, tiny_llama, tmp_path, "one", 3, number=2)
        point(factory_home, "one", 2)
        eventually(lambda: answering(url, "one") == "one@2")
        assert answering(url, "two") == "two@1"
        assert engines() == before


@pytest.mark.vllm
def test_an_adapter_that_changes_nothing_is_refused(
    factory_home: Path, serve: Serve, tiny_llama: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    released(factory_home, tiny_llama, tmp_path, "one", 1)
    adapter, _ = tuned(tiny_llama, tmp_path, 5)
    file = adapter / "adapter_model.safetensors"
    save_file({k: v * 0 for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    make_release(
        factory_home, tiny_llama, adapter=adapter, name="none",
        base={"name": str(tiny_llama), "revision": None, "digest": resolve(str(tiny_llama)).digest},
        probes=golden(tiny_llama, PROMPT),
    )  # fmt: skip
    with (
        pytest.raises(EngineError, match="changes nothing"),
        serve("one", "none", engine="vllm"),
    ):
        pass
    assert engines() == []
