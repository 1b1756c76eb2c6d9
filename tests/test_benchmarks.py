"""The benchmarks that train drive the same stages as a build, and must not fall behind them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from factory.base import STARTER

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_the_gates_models_can_be_made(benchmark: Any, tmp_path: Path) -> None:
    models = benchmark("gate_models").Models(tmp_path)
    healthy = models.tuned("healthy", 1, epochs=0.3, strength=1.0, rehearsal=0)
    assert (healthy / "model.safetensors").is_file()
    assert [name for name, _ in models.harmless(1)][:2] == ["other seed", "one epoch fewer"]
    broken = dict(models.planted(1))
    assert len(broken) == 10
    assert broken["half the layers' adapter zeroed"]().is_dir()


def test_our_side_of_the_training_figure_trains(benchmark: Any, tmp_path: Path) -> None:
    train_time = benchmark("train_time")
    (tmp_path / "base").symlink_to(STARTER)
    (tmp_path / "rows.json").write_text(json.dumps(train_time.rows("Be brief.")[:4]))
    train_time.train_ours(tmp_path)
    adapter = tmp_path / "home/store/tune/ours/adapter/adapter_model.safetensors"
    assert adapter.is_file()
