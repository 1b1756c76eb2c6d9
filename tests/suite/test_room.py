"""What fills a base's window is refused before anything is spent, and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory import commands
from factory.base import resolve
from factory.errors import ConfigErrors
from factory.load import load
from factory.suite.room import too_long
from tests.personas import write_persona
from tests.test_cli import factory

WORDS = "tea " * 1100


def written(folder: Path, question: str = "What should I read next?", extra: str = "") -> Path:
    """A persona on the starter, whose window is 1,024 tokens."""
    file = write_persona(folder, "starter", extra=extra)
    text = file.read_text("utf-8")
    file.write_text(text.replace("What should I read next?", question), "utf-8")
    return file


def test_a_question_that_leaves_no_room_for_an_answer_is_refused_by_check(tmp_path: Path) -> None:
    file = written(tmp_path, WORDS)
    done = factory("check", file.name, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert "brief.yaml:16: questions.3.ask: " in done.stderr
    assert "fewer than 1024 tokens" in done.stderr
    assert "1 problem found" in done.stderr


def test_a_build_refuses_it_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACTORY_HOME", "/dev/null/out")  # nothing can be built there
    with pytest.raises(ConfigErrors) as caught:
        commands.build([written(tmp_path, WORDS)], [], None)
    assert [problem.field for problem in caught.value.problems] == ["questions.3.ask"]


def test_a_prompt_that_leaves_no_room_is_one_mistake(tmp_path: Path) -> None:
    base, file = resolve("starter"), written(tmp_path, extra=f"prompt: {WORDS}\n")
    (found,) = too_long(load(file), base)
    assert found.where == "prompt"
    # without suites the questions are all there is to ask
    alone = too_long(load(file, ["evaluate.suites=[]"]), base)
    assert [error.where for error in alone] == [f"questions.{n}.ask" for n in (1, 2, 3)]


def test_what_fits_is_no_mistake(tmp_path: Path) -> None:
    assert too_long(load(written(tmp_path)), resolve("starter")) == []
