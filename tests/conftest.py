"""What every test gets: no hub, a factory home of its own, and tiny models built once."""

from __future__ import annotations

import os

# Read by the libraries when they are imported, so set before any of them is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["GOMP_SPINCOUNT"] = "50000"  # as the command sets it
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # the workers share the cores

from pathlib import Path

import pytest
from hypothesis import settings

from tests.tiny import tiny_base

# A busy machine is no bug. Where CI is set, hypothesis also tries the same examples every time.
settings.register_profile("house", settings.default, deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def factory_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `$FACTORY_HOME` of the test's own; nothing a test builds is seen by another."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FACTORY_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama's folder; do not write into it."""
    return tiny_base("llama", tmp_path_factory.mktemp("bases") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2's folder; do not write into it."""
    return tiny_base("qwen2", tmp_path_factory.mktemp("bases") / "tiny-qwen2")


@pytest.fixture(scope="session")
def tiny_qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3's folder; do not write into it."""
    return tiny_base("qwen3", tmp_path_factory.mktemp("bases") / "tiny-qwen3")
