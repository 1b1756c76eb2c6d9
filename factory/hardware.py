"""What this machine has, found without torch, so that a plan costs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

GIB = 1024**3
CGROUP = Path("/sys/fs/cgroup")
"""Where a container's own limits stand."""


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

    @property
    def fast_bf16(self) -> bool:
        """Whether the CPU multiplies bf16 in hardware, and faster than fp32."""
        return bool(self.flags & {"amx_bf16", "avx512_bf16"})

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
def present() -> Hardware:
    """Everything that is there. Looks once per process."""
    return Hardware(_cores(), _free_memory(), _cpu_flags(), _gpus())


@cache
def detect() -> Hardware:
    """What can be used: no GPU where the installed torch is the CPU build."""
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = None
    return present() if takes_gpus(torch) else replace(present(), gpus=())


def takes_gpus(torch: str | None) -> bool:
    """Whether this version of torch, None if there is none, can use an NVIDIA GPU."""
    return torch is not None and "+cpu" not in torch


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
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
        return min(free, int(limit) - max(0, used - _given_back())) if limit != "max" else free
    except (OSError, ValueError):
        return free


def _given_back() -> int:
    """Bytes that count as used by a container and are given up when asked for: files read before."""
    lines = (CGROUP / "memory.stat").read_text().splitlines()
    counts = {name: int(count) for name, _, count in (line.partition(" ") for line in lines)}
    return sum(counts.get(name, 0) for name in ("inactive_file", "active_file", "slab_reclaimable"))


def _cpu_flags() -> frozenset[str]:
    try:
        return fast_flags(Path("/proc/cpuinfo").read_text())
    except OSError:
        return frozenset()


def fast_flags(cpuinfo: str) -> frozenset[str]:
    """The flags that matter for arithmetic.

    Not Intel's bf16 by AVX-512, which a virtual machine without AMX still has: matrix products took 1.8
    times as long as in fp32 on a Xeon with both (165 beside 300 billion operations a second on two cores).
    """
    lines = dict(line.split("\t", 1) for line in cpuinfo.splitlines() if "\t" in line)
    flags = frozenset(lines.get("flags", "").split())
    if "GenuineIntel" in lines.get("vendor_id", ""):
        flags -= {"avx512_bf16"}
    return flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}


def _gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that `CUDA_VISIBLE_DEVICES` names, by number or id; all, if it is not set."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named in ("", "-1") or not shutil.which("nvidia-smi"):
        return ()
    wanted = [part.strip() for part in named.split(",")] if named else None
    query = [
        "nvidia-smi",
        "--query-gpu=index,uuid,name,memory.total,compute_cap",
        "--format=csv,noheader,nounits",
    ]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = []
    for line in done.stdout.splitlines():
        try:
            index, uuid, name, memory, capability = (part.strip() for part in line.split(","))
            major, minor = capability.split(".")
            if wanted and not any(w == index or (w and uuid.startswith(w)) for w in wanted):
                continue
            found.append(Gpu(name, int(memory) * 1024**2, (int(major), int(minor))))
        except ValueError:
            continue  # "[N/A]" on partitioned cards: such a card cannot be planned for
    return tuple(found)
