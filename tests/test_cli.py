"""The commands as a user meets them: what they print, and the exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from factory import commands
from factory.base import resolve
from factory.errors import ConfigErrors, FactoryError, Inconclusive, Regression, UsageError
from factory.intake import opened
from tests.personas import HERE, write_persona


def factory(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "factory", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120, cwd=cwd,
    )  # fmt: skip


def test_a_new_persona_file_can_be_checked_and_is_never_overwritten(tmp_path: Path) -> None:
    assert factory("init", "shopdesk", cwd=tmp_path).returncode == 0
    written = (tmp_path / "shopdesk.yaml").read_text()
    done = factory("check", "shopdesk.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no mistakes, but too little data for a verdict" in done.stdout
    again = factory("init", "shopdesk", cwd=tmp_path)
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert (tmp_path / "shopdesk.yaml").read_text() == written


def test_a_persona_file_that_cannot_be_written_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = factory("init", "x" * 300, cwd=tmp_path)  # longer than any file's name
    assert long.returncode == 2 and "factory init" in long.stderr
    assert "unexpected" not in long.stderr
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="cannot be written") as caught:
        commands.init("shopdesk", "en")
    assert caught.value.where == "shopdesk.yaml" and caught.value.got and caught.value.hint


def test_every_problem_of_a_file_is_listed_at_once(tmp_path: Path) -> None:
    file = write_persona(tmp_path, "starter")
    file.write_text(
        file.read_text().replace("voice:", "voise:").replace("max_words: 300", "max_words: many")
    )
    done = factory("check", file)
    assert done.returncode == 2
    assert "voice" in done.stderr
    assert "many" in done.stderr
    assert "2 problems found" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_shows_behind_the_schema_is_listed_at_once_too(tmp_path: Path) -> None:
    text = (
        "name: shop\ndescription: Short.\nvoice: [short]\nbase: nowhere\n"
        "data:\n  - empty.jsonl\n  - photo.jsonl\nteacher: {type: ecco}\n"
        "seeds:\n  - {instruction: Hi?, output: Hello.}\n"
        "questions:\n  - ask: Who are you?\n"
    )
    (tmp_path / "shop.yaml").write_text(text)
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "photo.jsonl").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    done = factory("check", "shop.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "3 problems found" in done.stderr
    for place in ("shop.yaml:4: base: ", "shop.yaml:6: data.1: ", "shop.yaml:7: data.2: "):
        assert place in done.stderr


def test_a_plan_needs_no_key_and_a_build_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    given = (HERE / "concise.yaml", "--set", "data=[]", "--set", "teacher={type: openai, model: m}")
    assert factory("plan", *given).returncode == 0
    done = factory("build", *given)
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr


def test_a_key_that_may_be_missing_hides_no_other_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    teacher = "{type: openai, model: m, api_key_variable: NOT_SET, base_url: 'ftp://host/v1'"
    file = write_persona(tmp_path, "starter", extra=f"teacher: {teacher}, budget: {{usd: 1}}}}")
    with pytest.raises(ConfigErrors) as caught:
        opened(file, [], weights=False)
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["teacher.budget.usd", "teacher.base_url"]
    with pytest.raises(ConfigErrors) as caught:
        opened(file, ["teacher.base_url=http://host/v1"], weights=False, asks=True)
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["teacher.budget.usd", "teacher.api_key_variable"]


def test_a_control_token_in_a_row_is_listed_and_stops_nothing(tmp_path: Path) -> None:
    file = write_persona(tmp_path, "starter", count=2)
    with (tmp_path / "rows.jsonl").open("a", encoding="utf-8") as rows:
        rows.write('{"instruction": "What is new in town?", "output": "Rain.<|im_end|>"}\n')
    done = factory("check", file)
    assert done.returncode == 0, done.stderr
    assert "1 rejected" in " ".join(done.stdout.split()) and "control token" in done.stdout


@pytest.mark.parametrize("name", ["concise", "humorous", "support", "tutor"])
def test_the_shipped_personas_lose_no_row(name: str) -> None:
    done = factory("check", HERE / f"{name}.yaml")
    assert done.returncode == 0, done.stderr
    assert "0 rejected" in done.stdout


def test_a_plan_gives_reasons_time_and_memory_and_honours_overrides() -> None:
    done = factory(
        "plan", HERE / "concise.yaml", "--set", "tune.rank=64", "--set", "tune.epochs=40"
    )
    assert done.returncode == 0, done.stderr
    assert "size law" in done.stdout
    assert "64" in done.stdout
    assert "memorises" in done.stdout
    assert "GiB" in done.stdout


def test_a_plan_with_a_teacher_says_what_it_will_cost_and_asks_nothing(factory_home: Path) -> None:
    def plan(*more: str) -> str:
        teacher = "teacher={type: openai, base_url: http://127.0.0.1:9/v1, model: m}"
        given = [teacher, "distill.pairs=80", *more]
        sets = [part for one in given for part in ("--set", one)]
        done = factory("plan", HERE / "concise.yaml", "--set", "data=[]", *sets)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    def seconds(text: str) -> int:
        found = re.search(r"(?:(\d+) min )?(\d+)(?:\.\d)? s if a call takes 2 s", text)
        assert found is not None, text
        return 60 * int(found[1] or 0) + int(found[2])

    told = plan()
    assert re.search(r"total 80 \d+ \d+ \d+", told)
    asked = int(re.search(r"about (\d+) requests", told)[1])  # type: ignore[index]
    assert asked >= 2 * 80
    assert "cost unknown" in told
    assert "[user] How can I relax" in told
    assert seconds(told) == pytest.approx(2 * asked / 8, abs=2)
    assert seconds(plan("teacher.concurrency=2")) == pytest.approx(asked, abs=2)
    priced = plan("teacher.prices={prompt: 0.15, completion: 0.6}")
    assert 0 < float(re.search(r"cost \$([\d.]+)", priced)[1]) < 1  # type: ignore[index]
    assert not (factory_home / "factory.sqlite").exists()


def test_an_override_that_is_wrong_is_refused_before_anything_is_built(factory_home: Path) -> None:
    done = factory("build", HERE / "concise.yaml", "--set", "tune.rank=abc")
    assert done.returncode == 2
    assert "--set tune.rank=abc" in done.stderr
    assert not list(factory_home.glob("store/*"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["buld"], "Did you mean"),
        (["build", "personas/none.yaml"], "personas/none.yaml"),
        (["build", str(HERE / "concise.yaml"), "--until", "tuna"], "tune"),
        (["show"], "nothing was built yet"),
        (["serve", "nobody"], "nobody"),
    ],
)
def test_wrong_commands_end_with_2_and_one_clear_message(
    arguments: list[str], expected: str
) -> None:
    done = factory(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_base_that_has_to_be_downloaded_says_so_without_a_network() -> None:
    done = factory("check", HERE / "youmo.yaml")
    assert done.returncode == 2
    assert "Qwen/Qwen2.5-0.5B-Instruct" in done.stderr
    assert "could not be downloaded" in done.stderr


def test_a_build_that_would_not_stop_where_it_was_told_to_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORY_HOME", "/dev/null/out")  # nothing can be built there
    taught = write_persona(tmp_path / "one", "starter", extra="teacher: {type: echo}")
    untaught = write_persona(tmp_path / "two", "starter")
    with pytest.raises(UsageError) as caught:
        commands.build([taught, untaught], [], "distill")
    assert str(untaught) in str(caught.value) and "teacher" in str(caught.value)
    assert caught.value.allowed and "distill" not in caught.value.allowed


def test_personas_that_only_fit_one_by_one_are_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORY_HOME", "/dev/null/out")  # nothing can be built there
    free = round(1.5 * resolve("starter").disk_needed)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    files = [write_persona(tmp_path / n, "starter", name=n) for n in ("one", "two")]
    with pytest.raises(FactoryError, match="not enough disk space"):
        commands.build(files, [], None)


def test_the_mistakes_of_all_personas_are_told_before_the_first_is_built(tmp_path: Path) -> None:
    files = [write_persona(tmp_path / n, "starter", name=n) for n in ("one", "two", "three")]
    for file in files[1:]:
        file.write_text(file.read_text().replace("base: starter", "base: nowhere"))
    with pytest.raises(UsageError) as caught:
        commands.build(files, [], None)
    assert str(files[1]) in str(caught.value) and str(files[2]) in str(caught.value)


def test_of_several_personas_the_gravest_end_decides_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write_persona(tmp_path / n, "starter", name=n) for n in ("one", "two", "three")]
    ends: dict[str, FactoryError | None] = {
        "one": Inconclusive("open"),
        "two": Regression("worse"),
        "three": None,
    }

    def end(spec: Any, *_: Any) -> None:
        if (error := ends[spec.name]) is not None:
            raise error

    monkeypatch.setattr(commands, "_build_one", end)
    assert commands.build(files, [], None) == Regression.exit_code
    ends["three"] = FactoryError("no memory")
    assert commands.build(files, [], None) == 1


def test_the_schema_is_json_and_the_plugins_are_listed() -> None:
    assert json.loads(factory("schema").stdout)["additionalProperties"] is False
    listed = factory("plugins").stdout
    assert all(name in listed for name in ("accuracy", "rules", "vllm", "transformers", "echo"))


def test_a_tracker_that_is_not_installed_is_refused_before_training() -> None:
    done = factory("plan", HERE / "concise.yaml", "--set", "tune.report_to=[mlflow]")
    assert done.returncode == 2
    assert "mlflow" in done.stderr
    assert "pip install" in done.stderr
