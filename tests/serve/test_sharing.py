"""Several personas on one base share one vLLM: the base once, an adapter for each, every one proven."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from factory.base import resolve
from factory.contracts import Endpoint
from factory.errors import EngineError
from factory.releases import point
from serve.engines.echo import EchoEngine
from serve.launch import Launcher
from serve.startup import prepare
from tests.serve.conftest import PROMPT, MakeRelease, Serve, ask, golden, make_release
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


class Sharing(EchoEngine):
    """Takes adapters as vLLM does, and says back what it was told."""

    takes_adapters = True
    fills_device = False

    @staticmethod
    def load_adapter(endpoint: Endpoint, name: str, folder: Path) -> None: ...

    @staticmethod
    def unload_adapter(endpoint: Endpoint, name: str) -> None: ...


class Filling(Sharing):
    """The same on a GPU."""

    fills_device = True


def shared(base: Path) -> dict[str, Any]:
    """What `release.json` says about a base that is still there."""
    return {"name": str(base), "revision": None, "digest": resolve(str(base)).digest}


def test_a_base_is_looked_for_only_where_releases_could_share_it(
    release: MakeRelease, factory_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(*_: object) -> None:
        raise AssertionError("nobody shares this base")

    monkeypatch.setattr("serve.launch.choose", lambda name: Sharing())
    monkeypatch.setattr("serve.launch.tuned_from", fetched)
    release(name="one")
    release(name="two", base={"name": "other", "revision": None, "digest": "1"})
    one, two = prepare(factory_home, ["one", "two"], allow_ungated=False, announce=print)
    launcher = Launcher(factory_home, "vllm", print)
    assert launcher.groups([one]) == [[one]]
    assert launcher.groups([one, two]) == [[one], [two]]


def test_a_release_that_was_removed_does_not_stop_those_it_shared_an_engine_with(
    release: MakeRelease, serve: Serve, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.launch.choose", lambda name: Sharing())
    told: list[str] = []
    release(name="one", base=shared(tiny_llama))
    gone = release(name="two", base=shared(tiny_llama)).path
    with serve("one", "two", announce=told.append, idle=0.5) as url:
        eventually(lambda: "unloaded one@1, two@1" in told)
        shutil.rmtree(gone)
        assert answering(url, "one") == "one@1"
        body = {"model": "two", "messages": ask("Why?")}
        response = httpx.post(f"{url}/v1/chat/completions", json=body)
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "engine_unavailable"


def test_a_promotion_for_which_the_gpu_has_no_part_left_changes_nothing(
    release: MakeRelease,
    serve: Serve,
    factory_home: Path,
    tiny_llama: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serve.launch.choose", lambda name: Filling())
    told: list[str] = []
    for name in ("one", "two"):
        release(name=name, base=shared(tiny_llama))
    release(name="three")
    with serve("one", "two", "three", announce=told.append) as url:
        release(name="one", number=2)  # on the base of `three`, whose engine takes no adapters
        point(factory_home, "one", 2)
        eventually(lambda: any("the GPU is divided for 2" in line for line in told))
        for name in ("one", "two", "three"):
            assert answering(url, name) == f"{name}@1"
        assert not any(line.startswith("unloaded") for line in told)
        release(name="three", number=2, base=shared(tiny_llama))  # no more engines than before
        point(factory_home, "three", 2)
        eventually(lambda: answering(url, "three") == "three@2")


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
