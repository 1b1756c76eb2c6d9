"""merge stops with the numbers when the merged model is not the trained one, or is only the base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from factory.artifacts import Adapter, Dataset, Row, write_json, write_jsonl
from factory.base import Base, resolve
from factory.errors import InstrumentInvalid
from factory.spec import Merge, Tune
from factory.stages import merge, tune
from factory.store import Stage, Store
from tests.personas import rows

PROMPT = "Short answers."
HEARD = {"rules": (), "asks": (), "prose": (), "random_seed": 1}
"""What `tune` hears of a persona."""


def quiet(**_: Any) -> None:
    pass


def dataset(store: Store) -> Dataset:
    made: list[Row] = [
        {
            "id": str(i),
            "messages": [
                {"role": "user", "content": str(row["instruction"])},
                {"role": "assistant", "content": str(row["output"])},
            ],
        }
        for i, row in enumerate(rows(count=24))
    ]

    def run(config: None, /, *, out: Path, progress: Any) -> dict[str, Any]:
        for name, part in (("train", made[:16]), ("validation", made[16:20]), ("test", made[20:])):
            write_jsonl(out / f"{name}.jsonl", list(part))
        return {}

    return store.make(Stage("curate", 1, Dataset, run), "rows", None, {}, quiet)


@pytest.fixture(scope="module")
def trained(
    tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Store, Base, Dataset, Adapter]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACTORY_HOME", str(tmp_path_factory.mktemp("home")))
        store, base = Store(tmp_path_factory.mktemp("store")), resolve(str(tiny_llama))
        data = dataset(store)
        config = Tune(epochs=4, learning_rate=0.02, report_to=())
        inputs = {"data": data, "base": base, "prompt": PROMPT, **HEARD}
        return store, base, data, store.make(tune.STAGE, "a", config, inputs, quiet)


def merged(trained: tuple[Store, Base, Dataset, Adapter], key: str, adapter: Adapter) -> Any:
    store, base, data, _ = trained
    inputs = {
        "adapter": adapter, "data": data, "base": base, "prompt": PROMPT,
        "engines": {"vllm": "not installed here"},
    }  # fmt: skip
    return store.make(merge.STAGE, key, Merge(), inputs, quiet)


def altered(adapter: Adapter, folder: Path, change: Any) -> Adapter:
    """The same adapter with other records of what it answered in memory."""
    import shutil

    shutil.copytree(adapter.path, folder)
    write_json(folder / "probes.json", change(json.loads((folder / "probes.json").read_text())))
    return Adapter(folder, adapter.manifest)


def test_a_faithful_merge_has_a_certificate_and_names_the_missing_leg(trained: Any) -> None:
    certificate = merged(trained, "good", trained[3]).certificate()
    assert certificate["passed"]
    by_status = {leg["name"]: leg["status"] for leg in certificate["legs"]}
    assert by_status == {
        "adapter reloaded": "passed",
        "merged, transformers": "passed",
        "merged, vllm": "missing",
    }
    assert "not installed here" in certificate["legs"][-1]["reason"]


def test_a_merge_that_answers_differently_stops_the_build_with_the_numbers(
    trained: Any, tmp_path: Path
) -> None:
    def other(probes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {**p, "log_probabilities": [x - 0.5 for x in p["log_probabilities"]]} for p in probes
        ]

    adapter = altered(trained[3], tmp_path / "adapter", other)
    with pytest.raises(InstrumentInvalid, match="not the model that was trained") as caught:
        merged(trained, "bad", adapter)
    assert "0.5000" in str(caught.value)
    assert caught.value.exit_code == 12


def test_a_template_that_reads_differently_stops_the_build(trained: Any, tmp_path: Path) -> None:
    def other(probes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**p, "prompt_ids": p["prompt_ids"][:-1]} for p in probes]

    adapter = altered(trained[3], tmp_path / "adapter", other)
    with pytest.raises(InstrumentInvalid, match="not the model that was trained"):
        merged(trained, "template", adapter)


def test_an_adapter_that_does_nothing_is_the_base_in_disguise(trained: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from factory.model.device import load_model
    from factory.model.score import generate

    _, base, _, adapter = trained
    import torch

    model = load_model(base.folder, torch.float32)

    def base_answers(probes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = generate(
            model, [p["prompt_ids"] for p in probes], stop_ids=base.stop_ids, max_new_tokens=24
        )
        return [
            {
                "prompt_ids": p["prompt_ids"],
                "token_ids": g.token_ids,
                "log_probabilities": g.log_probabilities,
                "margins": g.margins,
                "stopped": g.stopped,
            }
            for p, g in zip(probes, found, strict=True)
        ]

    empty = altered(adapter, tmp_path / "adapter", base_answers)
    file = empty.weights / "adapter_model.safetensors"
    save_file({name: tensor * 0 for name, tensor in load_file(file).items()}, file)
    with pytest.raises(InstrumentInvalid, match="cannot be told from its base"):
        merged(trained, "empty", empty)
