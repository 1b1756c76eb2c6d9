"""What this machine has, found without torch, so that a plan costs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU."""

    name: str
    memory: int
    """Bytes."""
    capability: tuple[int, int]
    """CUDA compute capability; bf16 needs (8, 0)."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Cores, memory and accelerators."""

    cores: int
    memory: int
    """Bytes of main memory that are free now."""
    flags: frozenset[str]
    """CPU feature flags that matter for arithmetic: avx2, avx512f, avx512_bf16, amx_bf16."""
    gpus: tuple[Gpu, ...]

    @property
    def budget(self) -> int:
        """Bytes a model may use: the smallest GPU's memory, else free main memory."""
        return min((gpu.memory for gpu in self.gpus), default=self.memory)

    def __str__(self) -> str:
        if self.gpus:
            return f"{len(self.gpus)} x {self.gpus[0].name} ({self.gpus[0].memory / GIB:.0f} GiB)"
        best = next(
            (f for f in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if f in self.flags), ""
        )
        return f"CPU, {self.cores} cores {best}, {self.memory / GIB:.0f} GiB free".replace(
            "  ", " "
        )


@cache
def detect() -> Hardware:
    """Look once per process."""
    return Hardware(_cores(), _free_memory(), _cpu_flags(), _gpus())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_memory() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(
            int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")
        )
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:  # a container may be allowed less than the machine has
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        return min(free, int(limit) - used) if limit != "max" else free
    except (OSError, ValueError):
        return free


def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.split()) & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}


def _gpus() -> tuple[Gpu, ...]:
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or not shutil.which("nvidia-smi"):
        return ()
    query = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,compute_cap",
        "--format=csv,noheader,nounits",
    ]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = []
    for line in done.stdout.splitlines():
        try:
            name, memory, capability = (part.strip() for part in line.split(","))
            major, minor = capability.split(".")
            found.append(Gpu(name, int(memory) * 1024**2, (int(major), int(minor))))
        except ValueError:
            continue  # "[N/A]" on partitioned cards: such a card cannot be planned for
    return tuple(found)
