"""The whole story with real parts: tiny real models, real training, real files, the real command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from factory.artifacts import Adapter, Model, Release, hash_file
from factory.store import home
from tests.personas import write_persona

FACTORY = [sys.executable, "-m", "factory"]


def factory(*arguments: str | Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, in a process of its own."""
    done = subprocess.run(
        [*FACTORY, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300
    )
    assert check is None or done.returncode == check, done.stdout + done.stderr
    return done


def only(pattern: str) -> Path:
    (found,) = home().glob(pattern)
    return found


def stages(folder: Path) -> dict[str, bool]:
    """Which stages of the newest build were found in the store."""
    return {s["name"]: s["cached"] for s in json.loads((folder / "stages.json").read_text())}


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_a_persona_becomes_a_tested_release(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    rate = 0.01 if kind == "llama" else 0.001
    whole = ", strength: 1" if kind == "qwen2" else ""  # less of it is too little for six rows
    tune = f"{{learning_rate: {rate}, epochs: 4{whole}}}"
    file = write_persona(tmp_path / "p", request.getfixturevalue(f"tiny_{kind}"), tune=tune)
    done = factory("build", file)
    assert "PASS" in done.stdout

    release = Release.open(home() / "releases" / "brief" / "1")
    release.verify()
    card = release.card()
    perplexity = next(m for m in card["metrics"] if m["name"] == "perplexity")["values"]
    assert perplexity["tuned"] < min(perplexity["base"], perplexity["prompted"])
    assert card["model_digest"] == release.facts()["model_digest"]

    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(release.weights)
    tokenizer = AutoTokenizer.from_pretrained(release.weights)
    probe = release.facts()["probes"][0]
    ids = tokenizer.apply_chat_template(
        probe["messages"], add_generation_prompt=True, return_dict=False
    )
    assert list(ids) == probe["prompt_ids"]
    assert model.generation_config.eos_token_id in (
        release.facts()["eos_token_ids"],
        *release.facts()["eos_token_ids"],
    )

    assert (release.path / "adapter" / "adapter_model.safetensors").is_file()
    report = only("runs/brief--*/report.html").read_text("utf-8")
    assert "How many days are in a week?" in report
    legs = Model.open(only("store/merge/*[0-9a-f]")).certificate()["legs"]
    assert [leg["status"] for leg in legs] == ["passed", "passed"]


def test_a_teacher_writes_what_the_seeds_only_show(tiny_llama: Path, tmp_path: Path) -> None:
    login = "https://user:word-8451@host/v1?key=word-8451"
    teacher = f"teacher: {{type: echo, base_url: '{login}'}}\ndistill: {{pairs: 48}}\n"
    file = write_persona(tmp_path / "p", tiny_llama, count=8, extra=teacher)
    done = factory("build", file)
    assert "48 of 48 pairs accepted" in done.stdout and "PASS" in done.stdout
    release = Release.open(home() / "releases" / "brief" / "1")
    assert "48 pairs were written by the teacher model `echo`" in (
        release.path / "README.md"
    ).read_text("utf-8")
    assert "Written by a teacher" in only("runs/brief--*/report.html").read_text("utf-8")
    papers = [p for p in home().rglob("*") if p.suffix in (".json", ".log", ".md", ".html")]
    assert papers and not [p for p in papers if "word-8451" in p.read_text("utf-8")]
    # how it is asked is no reason to ask again
    factory("build", file, "--set", "teacher.concurrency=2")
    assert all(stages(only("runs/brief--*/stages.json").parent).values())


def test_nothing_is_done_twice_and_an_edit_reruns_only_what_depends_on_it(
    tiny_llama: Path, tmp_path: Path
) -> None:
    file = write_persona(tmp_path / "p", tiny_llama)
    factory("build", file)
    factory("build", file)
    assert all(stages(only("runs/brief--*")).values())

    text = file.read_text()
    file.write_text(text.replace("What should I read next?", "What can I cook tonight?"))
    factory("build", file)
    newest = max(home().glob("runs/brief--*"), key=lambda p: p.stat().st_mtime_ns)
    again = stages(newest)
    assert again["gather"]
    assert again["tune"]
    assert again["merge"]
    assert not again["evaluate"]

    file.write_text(text.replace("Tea, if it is late.", "Tea, when it is late."))
    factory("build", file)
    newest = max(home().glob("runs/brief--*"), key=lambda p: p.stat().st_mtime_ns)
    again = stages(newest)
    assert not again["gather"]
    assert not again["tune"]


def test_killed_while_training_it_continues_and_ends_with_the_same_adapter(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_persona(tmp_path / "p", tiny_llama, tune="{learning_rate: 0.01, epochs: 5}")
    weights = "store/tune/*[0-9a-f]/adapter/adapter_model.safetensors"
    monkeypatch.setenv("FACTORY_HOME", str(tmp_path / "undisturbed"))
    factory("build", file, "--until", "tune")
    expected = hash_file(only(weights))

    monkeypatch.setenv("FACTORY_HOME", str(tmp_path / "killed"))
    child = subprocess.Popen([*FACTORY, "build", str(file), "--until", "tune"])
    deadline = time.monotonic() + 240
    while not list(home().glob("store/tune/*.partial/checkpoints/checkpoint-*/trainer_state.json")):
        assert child.poll() is None, "the build ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not list(home().glob("store/tune/*[0-9a-f]/manifest.json"))
    logged = only("store/tune/*.partial/metrics.jsonl").read_text().splitlines()
    before = [json.loads(line)["step"] for line in logged]

    factory("build", file, "--until", "tune")
    assert hash_file(only(weights)) == expected
    steps = [m["step"] for m in Adapter.open(only("store/tune/*[0-9a-f]")).metrics() if "loss" in m]
    assert steps == list(range(1, len(steps) + 1))
    assert max(before) < steps[-1]


def test_a_model_that_got_worse_is_not_released(tmp_path: Path) -> None:
    file = write_persona(
        tmp_path / "p", "starter", tune="{learning_rate: 0.09, epochs: 1, rank: 64, alpha: 512}"
    )
    done = factory("build", file, check=None)
    assert done.returncode in (1, 10, 12), done.stdout + done.stderr
    assert "not released" in done.stderr or "loss became" in done.stderr or "NaN" in done.stderr
    assert not (home() / "releases" / "brief" / "1").exists()
    assert "Traceback" not in done.stderr


def test_a_build_that_stops_before_the_release_speaks_of_none(
    tiny_llama: Path, tmp_path: Path
) -> None:
    """A margin of the suites that 81 items cannot show."""
    close = """{suites: [forgetting], max_new_tokens: 16,
  margins: {drift: 99, form: 1, forgetting: 0.001}, inconclusive: warn}"""
    file = write_persona(tmp_path / "p", tiny_llama, evaluate=close)
    done = factory("build", file, "--until", "evaluate", check=11)
    assert "not released" in done.stderr and "although" not in done.stdout
    assert not list(home().glob("releases/*/*"))


def test_two_builds_of_one_persona_at_once_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    file = write_persona(tmp_path / "p", tiny_llama)
    from factory.store import lock

    with lock(home() / "locks" / "brief.lock", "persona 'brief'"):
        done = factory("build", file, check=1)
    assert "already being built" in done.stderr
    assert str(os.getpid()) in done.stderr


def test_a_read_only_home_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORY_HOME", "/dev/null/out")
    done = factory("build", write_persona(tmp_path / "p", "starter"), check=None)
    assert done.returncode == 1
    assert "FACTORY_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_several_personas_are_built_in_one_process(tiny_llama: Path, tmp_path: Path) -> None:
    files = [
        write_persona(tmp_path / n, tiny_llama, name=n, count=32, tune="{epochs: 2}")
        for n in ("one", "two")
    ]
    done = factory("build", *files, "--until", "tune")
    assert done.stdout.count("tune: done") == 2
    assert {p.name.split("--")[0] for p in home().glob("runs/*")} == {"one", "two"}
