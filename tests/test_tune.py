"""tune takes up exactly where a killed run stopped, also when that was after its last update."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from factory import rehearsal
from factory.artifacts import Adapter, Dataset, hash_file, read_jsonl, write_json, write_jsonl
from factory.base import resolve
from factory.errors import UsageError
from factory.model.sampling import Sampling
from factory.model.subject import Subject
from factory.spec import MaxWords, Tune
from factory.stages import tune
from factory.store import Stage, Store
from tests.test_merge import HEARD, PROMPT, dataset, quiet


def trained(store: Store, base: Path, config: Tune) -> Adapter:
    inputs = {"data": dataset(store), "base": resolve(str(base)), "prompt": PROMPT, **HEARD}
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


def test_a_base_rehearses_its_own_answers_that_keep_the_rules_and_a_kill_asks_for_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, base = Store(tmp_path), resolve("starter")
    config = Tune(epochs=1, rehearsal=12, report_to=())
    inputs = {"data": dataset(store), "base": base, "prompt": PROMPT, **HEARD}
    inputs |= {"rules": (MaxWords(max_words=6),), "asks": rehearsal.asks("en")}

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("factory.model.lora.train", killed)
        with pytest.raises(KeyboardInterrupt):
            store.make(tune.STAGE, "a", config, inputs, quiet)
    with monkeypatch.context() as patch:
        patch.setattr("factory.model.rehearse.own_answers", killed)
        adapter = store.make(tune.STAGE, "a", config, inputs, quiet)
    own = list(read_jsonl(adapter.path / "rehearsal.jsonl"))
    assert 0 < adapter.manifest.stats["rehearsed"] == len(own) < 12
    asked = [row["messages"][0]["content"] for row in own]
    assert set(asked) < set(rehearsal.asks("en"))
    assert all(len(row["messages"][1]["content"].split()) <= 6 for row in own)
    subject = Subject(base, PROMPT, None, "digest")  # as the base is served
    said = subject.answers(
        [row["messages"][:-1] for row in own], [[0]] * len(own), Sampling().greedy()
    )
    assert [row["messages"][1]["content"] for row in own] == [reply.text for (reply,) in said]


def test_what_a_row_asks_is_not_rehearsed(tmp_path: Path) -> None:
    asks = rehearsal.asks("en")

    def run(config: None, /, *, out: Path, progress: Any) -> dict[str, Any]:
        talk = [
            {"role": "user", "content": asks[0].upper() + "!"},
            {"role": "assistant", "content": "An answer in the persona's voice."},
        ]
        write_jsonl(out / "train.jsonl", [{"id": "1", "messages": talk}])
        for empty in ("validation", "test"):
            write_jsonl(out / f"{empty}.jsonl", [])
        return {}

    data = Store(tmp_path).make(Stage("curate", 1, Dataset, run), "a", None, {}, quiet)
    left = tune.unasked(asks, data)
    assert left == list(asks[1:])
    with pytest.raises(UsageError, match=f"at most {len(asks) - 1}"):
        tune.plan_for(Tune(rehearsal=128), resolve("starter"), data, PROMPT, len(left))
