"""Starts vLLM's own server, in its own process: `python -m serve.engines.vllm_launch FLAGS`.

Two things are added. The server ends when the process that started it ends, however that happens.
And on a CPU it starts in a quarter of the time: there vLLM 0.32 imports itself four times in a row
(to look at the model's class, and in each of three processes), 15 s each on two slow cores. Here
the class is registered directly, and the engine's process is a fork of this one. On a GPU nothing
about the start is changed.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

GRACE = 5
"""Seconds between SIGTERM and SIGKILL."""


def end_with_parent() -> None:
    """End this process group when standard input closes, which it does when the parent is gone."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.killpg(0, signal.SIGTERM)
        time.sleep(GRACE)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def start_quickly_on_cpu(model_dir: Path) -> None:
    """Spare vLLM its repeated imports; a no-op on other platforms."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm import ModelRegistry
    from vllm.v1.engine import utils

    engine_utils: Any = utils

    config = json.loads((model_dir / "config.json").read_text("utf-8"))
    for name in config.get("architectures") or []:
        if (known := ModelRegistry.models.get(name)) is not None:
            ModelRegistry.register_model(name, known.load_model_cls())
    # vLLM forces "spawn" on CPUs for the sake of one worker process per NUMA node; we have none.
    engine_utils.get_mp_context = lambda: multiprocessing.get_context("fork")


def main() -> None:
    """Run the server; `sys.argv` is vLLM's."""
    if os.getpgrp() == os.getpid():
        end_with_parent()
    start_quickly_on_cpu(Path(sys.argv[sys.argv.index("--model") + 1]))
    importlib.import_module("vllm.entrypoints.launchers.api_server.entry").main()


if __name__ == "__main__":
    main()
