"""Tuned models for the gate's benchmarks: healthy ones, harmless variations, and planted regressions.

Every model is made once in the folder given with `--folder` and kept there, so that a benchmark can be
stopped and run again. Weights are edited in fp32 unless the defect is the precision itself.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from factory.artifacts import Dataset, read_json, write_json, write_jsonl
from factory.base import resolve
from factory.load import load
from factory.model.fold import fold
from factory.persona import system_prompt
from factory.pipeline import dataset
from factory.spec import Spec, Tune
from factory.stages import curate, tune
from factory.stages.gather import data_file
from factory.store import Store, commit

ROOT = Path(__file__).resolve().parents[1]
UNTAMED: dict[str, Any] = {"strength": 1.0, "rehearsal": 0}
"""A planted defect is trained without what keeps a base as it was, and would mend it."""


def quiet(**facts: Any) -> None:
    """Say nothing."""


class Models:
    """Makes models of one persona below a folder.

    Args:
        folder: Where everything is kept.
        persona: Name of a file in `personas/`.
    """

    def __init__(self, folder: Path, persona: str = "concise") -> None:
        self.store = Store(folder)
        self.spec = load(ROOT / "personas" / f"{persona}.yaml")
        self.base = resolve(self.spec.base)
        self.prompt = system_prompt(self.spec)
        self.data = self._dataset(self.spec)

    def _dataset(self, spec: Spec) -> Dataset:
        files = [data_file(name, ROOT / "personas") for name in spec.data]
        return dataset(self._do, spec, self.base, files, {})

    def _do(self, stage: Any, config: Any, **inputs: Any) -> Any:
        key = self.store.key(stage, config, inputs)
        return self.store.find(stage, key) or self.store.make(stage, key, config, inputs, quiet)

    def tuned(self, name: str, seed: int, data: Dataset | None = None, **config: Any) -> Path:
        """Train a model, unless it is there."""
        folder = self.store.root / "models" / f"{name}-{seed}"
        if not (folder / "config.json").is_file():
            adapter = self._do(
                tune.STAGE,
                Tune(**config),
                data=data or self.data,
                base=self.base,
                prompt=self.prompt,
                **tune.inputs(self.spec) | {"random_seed": seed},
            )
            self._fill(folder, partial(fold, self.base, adapter.weights))
        return folder

    def _fill(self, folder: Path, make: Callable[[Path], Any]) -> None:
        partial_folder = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial_folder, ignore_errors=True)
        make(partial_folder)
        partial_folder.rename(folder)

    def edited(self, name: str, seed: int, edit: Callable[[Path], None]) -> Path:
        """A copy of the healthy model of this seed, with something done to its files."""
        folder = self.store.root / "models" / f"{name}-{seed}"
        if not folder.is_dir():

            def make(target: Path) -> None:
                shutil.copytree(self.tuned("healthy", seed), target)
                edit(target)

            self._fill(folder, make)
        return folder

    def other_rows(self, name: str, change: Callable[[list[Any]], list[Any]]) -> Dataset:
        """The dataset with other training rows, and none to stop training early with."""
        final = self.store.root / "data" / name
        if not (final / "manifest.json").is_file():
            partial_folder = final.with_name(name + ".partial")
            shutil.rmtree(partial_folder, ignore_errors=True)
            shutil.copytree(self.data.path, partial_folder)
            (partial_folder / "manifest.json").unlink()
            write_jsonl(partial_folder / "train.jsonl", change(self.data.split("train")))
            write_jsonl(partial_folder / "validation.jsonl", [])
            commit(
                curate.STAGE, name, partial_folder, final,
                inputs={}, stats=self.data.manifest.stats, seconds=0.0,
            )  # fmt: skip
        return Dataset.open(final)

    # --- planted regressions ---------------------------------------------------------------------

    def planted(self, seed: int) -> Iterator[tuple[str, Callable[[], Path]]]:
        """Ten kinds of broken models: name, and how to make it."""
        usual = self._usual()
        plain = self.other_rows("unwatched", lambda rows: rows)
        yield "wrong template", lambda: self.edited("template", seed, _other_template)
        yield "adapter times 3", lambda: self.edited("times3", seed, partial(self._scaled, 3.0))
        yield (
            "shuffled answers",
            lambda: self.tuned("shuffled", seed, self.other_rows("shuffled", _shuffled), **UNTAMED),
        )
        yield "half the layers' adapter zeroed", lambda: self.edited("half", seed, self._half)
        yield "other stop token", lambda: self.edited("stop", seed, _other_stop)
        yield "fp16, one layer corrupted", lambda: self.edited("fp16", seed, _corrupted)
        yield "the base instead", lambda: self.edited("base", seed, partial(self._scaled, 0.0))
        yield (
            "10 x learning rate",
            lambda: self.tuned(
                "rate10", seed, plain, learning_rate=10 * usual["learning_rate"], **UNTAMED
            ),
        )
        yield (
            "10 x epochs",
            lambda: self.tuned("epochs10", seed, plain, epochs=10 * usual["epochs"], **UNTAMED),
        )
        yield "another voice", lambda: self.tuned("voice", seed, self._other_voice(), **UNTAMED)

    def harmless(self, seed: int) -> Iterator[tuple[str, Callable[[], Path]]]:
        """Three kinds of changes that hurt nobody."""
        usual = self._usual()
        yield "other seed", lambda: self.tuned("healthy", seed + 100)
        yield "one epoch fewer", lambda: self.tuned("fewer", seed, epochs=usual["epochs"] - 1)
        rank = 8 if usual["rank"] != 8 else 16
        yield f"rank {rank} for {usual['rank']}", lambda: self.tuned("rank", seed, rank=rank)

    def _usual(self) -> dict[str, Any]:
        questions = tune.unasked(tune.inputs(self.spec)["asks"], self.data)
        chosen = tune.plan_for(Tune(), self.base, self.data, self.prompt, len(questions))
        return {choice.name: choice.value for choice in chosen.choices}

    def _other_voice(self) -> Dataset:
        humorous = self._dataset(load(ROOT / "personas" / "humorous.yaml"))
        return self.other_rows("humorous", lambda rows: humorous.split("train"))

    def _scaled(self, factor: float, folder: Path) -> None:
        """The base plus the tuning's change, so many times over."""
        before, after = _weights(self.base.folder), _weights(folder)
        _write(folder, {k: before[k] + factor * (w - before[k]) for k, w in after.items()})

    def _half(self, folder: Path) -> None:
        """The upper half of the layers as in the base."""
        before, after = _weights(self.base.folder), _weights(folder)
        layers = int(read_json(folder / "config.json")["num_hidden_layers"])
        upper = tuple(f"model.layers.{n}." for n in range(layers // 2, layers))
        _write(folder, {k: before[k] if k.startswith(upper) else w for k, w in after.items()})


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        name: tensor.float()
        for file in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def _write(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    tensors = {k: w.contiguous() for k, w in weights.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _shuffled(rows: list[Any]) -> list[Any]:
    """Every answer under another question."""
    order = list(range(len(rows)))
    random.Random(5).shuffle(order)
    answers = [row["messages"][-1] for row in rows]
    moved = dict(zip(order, order[1:] + order[:1], strict=True))
    return [
        {**row, "messages": [*row["messages"][:-1], answers[moved[k]]]}
        for k, row in enumerate(rows)
    ]


def _other_template(folder: Path) -> None:
    """Roles in words, and turns without their markers."""
    template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    (folder / "chat_template.jinja").write_text(template)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text())
    config.pop("chat_template", None)
    write_json(file, config)


def _other_stop(folder: Path) -> None:
    """The turn's end is no stop token any more."""
    for name in ("config.json", "generation_config.json"):
        config = read_json(folder / name)
        write_json(folder / name, {**config, "eos_token_id": 7})
    file = folder / "tokenizer_config.json"
    write_json(file, {**read_json(file), "eos_token": "</s>"})


def _corrupted(folder: Path) -> None:
    """Half precision, and one layer's matrices overwritten with noise of their own size."""
    weights = {k: w.half().float() for k, w in _weights(folder).items()}
    generator = torch.Generator().manual_seed(3)
    for name, matrix in weights.items():
        if ".layers.3." in name and matrix.ndim == 2:
            weights[name] = torch.randn(matrix.shape, generator=generator) * matrix.std()
    _write(folder, weights)
