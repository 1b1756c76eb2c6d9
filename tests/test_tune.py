"""tune takes up exactly where a killed run stopped, also when that was after its last update."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from factory.artifacts import Adapter, hash_file, write_json
from factory.base import resolve
from factory.spec import Tune
from factory.stages import tune
from factory.store import Store
from tests.test_merge import PROMPT, dataset, quiet


def trained(store: Store, base: Path, config: Tune) -> Adapter:
    inputs = {
        "data": dataset(store), "base": resolve(str(base)), "prompt": PROMPT, "random_seed": 1,
    }  # fmt: skip
    return store.make(tune.STAGE, "a", config, inputs, quiet)


def weights(adapter: Adapter) -> str:
    return hash_file(adapter.weights / "adapter_model.safetensors")


@pytest.mark.parametrize("epochs", [2, 14], ids=["to the end", "stopped early"])
def test_killed_after_training_it_keeps_the_best_adapter_and_trains_no_further(
    epochs: int, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Tune(epochs=epochs, learning_rate=0.05, report_to=())
    undisturbed = trained(Store(tmp_path / "undisturbed"), tiny_llama, config)
    early = undisturbed.metrics()[-1]["step"] < 4 * epochs
    assert early == (epochs == 14)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    store = Store(tmp_path / "killed")
    with monkeypatch.context() as patch:
        patch.setattr("factory.model.score.generate", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(store, tiny_llama, config)
    again = trained(store, tiny_llama, config)
    assert weights(again) == weights(undisturbed)
    assert again.curve() == undisturbed.curve()
    steps = [m["step"] for m in again.metrics() if "loss" in m]
    assert steps == list(range(1, len(steps) + 1))


def test_killed_when_its_checkpoints_were_removed_it_does_not_train_again(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def training(*_: Any, **__: Any) -> None:
        raise AssertionError("it trains again")

    config, store = Tune(epochs=1, learning_rate=0.01, report_to=()), Store(tmp_path)
    dataset(store)
    with monkeypatch.context() as patch:
        patch.setattr("factory.store.commit", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(store, tiny_llama, config)
    partial = tmp_path / "store" / "tune" / "a.partial"
    shutil.copytree(partial, partial.with_name("b.partial"))
    monkeypatch.setattr("factory.model.lora.train", training)
    again = trained(store, tiny_llama, config)
    assert again.manifest.stats["updates"] == again.metrics()[-1]["step"] == 4
    assert again.manifest.stats["plan"]["epochs"] == 1
    assert not list(again.path.glob("checkpoints*"))

    partial.with_name("b.partial").rename(partial)
    again.path.rename(tmp_path / "elsewhere")
    write_json(partial / "plan.json", [])  # what was finished was planned otherwise
    with pytest.raises(AssertionError, match="it trains again"):
        trained(store, tiny_llama, config)


def test_equal_runs_make_equal_adapters_whatever_the_order_of_a_set(
    tiny_llama: Path, tmp_path: Path
) -> None:
    config = Tune(epochs=1, learning_rate=0.01, report_to=())
    first = trained(Store(tmp_path / "one"), tiny_llama, config)
    second = trained(Store(tmp_path / "two"), tiny_llama, config)
    assert first.digest == second.digest


def test_a_strength_that_is_set_is_that_share_of_the_adapter(
    tiny_llama: Path, tmp_path: Path
) -> None:
    full, half = (
        load_file(
            trained(
                Store(tmp_path / str(share)), tiny_llama,
                Tune(epochs=1, learning_rate=0.01, strength=share, report_to=()),
            ).weights / "adapter_model.safetensors"
        )
        for share in (1, 0.5)
    )  # fmt: skip
    assert full.keys() == half.keys()
    for name, tensor in half.items():
        torch.testing.assert_close(tensor, full[name] * (0.5 if "lora_B" in name else 1))
    assert any(tensor.abs().max() > 0 for name, tensor in half.items() if "lora_B" in name)


def test_an_adapter_is_kept_in_fp32_where_its_base_is_merged_in_less(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("factory.model.lora.exact_dtype", lambda base: torch.bfloat16)
    config = Tune(epochs=1, learning_rate=0.01, report_to=())
    adapter = trained(Store(tmp_path), tiny_llama, config)
    kept = load_file(adapter.weights / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}
