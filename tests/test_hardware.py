"""What a plan may count on: cards that the process may use, memory that it could really get."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory import hardware

CARDS = """0, GPU-1a2b, Small Card, 4096, 7.5
1, GPU-3c4d, Large Card, 81920, 9.0
2, GPU-5e6f, Partitioned Card, [N/A], 9.0"""


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["Small Card", "Large Card"]),
        ("1", ["Large Card"]),
        ("GPU-3c4d", ["Large Card"]),
        ("0, 1", ["Small Card", "Large Card"]),
        ("", []),
        ("-1", []),
    ],
)
def test_only_cards_that_the_process_may_use_are_planned_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, names: list[str]
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho '{CARDS}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [card.name for card in hardware._gpus()] == names


def test_files_that_a_container_has_read_are_not_memory_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gib = hardware.GIB
    (tmp_path / "memory.max").write_text(f"{2 * gib}\n")
    (tmp_path / "memory.current").write_text(f"{2 * gib - 4096}\n")
    (tmp_path / "memory.stat").write_text(
        f"anon {gib}\nactive_file {gib // 4}\ninactive_file {gib // 2}\n"
    )
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    assert hardware._free_memory() == gib * 3 // 4 + 4096


@pytest.mark.parametrize(
    ("vendor", "flags", "fast"),
    [
        ("AuthenticAMD", "avx2 avx512f avx512_bf16", "avx512_bf16"),
        ("GenuineIntel", "avx2 avx512f avx512_bf16", "avx512f"),
        ("GenuineIntel", "avx2 avx512f avx512_bf16 amx_bf16", "amx_bf16"),
    ],
)
def test_bf16_is_chosen_only_where_it_is_faster(vendor: str, flags: str, fast: str) -> None:
    cpuinfo = f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n\n" * 2
    found = hardware.fast_flags(cpuinfo)
    assert f"cores {fast}," in str(hardware.Hardware(2, 8 * hardware.GIB, found, ()))
