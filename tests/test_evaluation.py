"""`factory eval`, on a real tiny release: its verdicts, its records, what it writes, what it refuses."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from factory import evaluating
from factory.artifacts import Release
from factory.errors import UsageError
from factory.evaluation import read_record
from factory.report.comparing import compare, newest
from tests.personas import NOTHING_TO_LOSE, write_persona

Run = Callable[..., subprocess.CompletedProcess[str]]


def command(home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, wide enough that no sentence is wrapped."""
    return subprocess.run(
        [sys.executable, "-m", "factory", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "FACTORY_HOME": str(home), "COLUMNS": "400"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def persona(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """The file of `brief`, judged by an echo as well."""
    judged = NOTHING_TO_LOSE.rstrip("}") + "}, judge: {type: echo}}"
    return write_persona(tmp_path_factory.mktemp("persona"), tiny_llama, evaluate=judged)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, persona: Path) -> Path:
    """A `$FACTORY_HOME` with one release of `brief`."""
    home = tmp_path_factory.mktemp("built")
    done = command(home, "build", persona)
    assert done.returncode == 0, done.stdout + done.stderr
    return home


@pytest.fixture
def factory(built: Path) -> Run:
    """Runs a command beside that release and expects an exit code."""

    def run(*arguments: str | Path, code: int) -> subprocess.CompletedProcess[str]:
        done = command(built, *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return run


def test_a_release_passes_again_and_every_form_is_written(
    factory: Run, built: Path, tmp_path: Path
) -> None:
    card, junit, markdown = (tmp_path / n for n in ("card.json", "junit.xml", "pr.md"))
    done = factory(
        "eval", "brief", "--json", card, "--junit", junit, "--markdown", markdown, code=0
    )
    assert re.search(r"evaluate: done in \S+ s - PASS: ", done.stdout)
    assert done.stdout.splitlines()[-1] == "brief@1 against its base: PASS"
    scorecard = json.loads(card.read_text("utf-8"))
    assert scorecard["verdict"] == "PASS"
    released = Release.open(built / "releases" / "brief" / "1").card()
    assert scorecard["comparable"] == released["comparable"]
    assert {m["name"]: m["values"] for m in scorecard["metrics"]} == {
        m["name"]: m["values"] for m in released["metrics"]
    }
    suites = ET.parse(junit).getroot()
    cases = list(suites.iter("testcase"))
    assert len(cases) >= len(scorecard["gates"]) > 10
    assert not list(suites.iter("failure"))
    assert "PASS" in markdown.read_text("utf-8")
    (page,) = built.glob("evaluations/brief--*/report.html")
    assert ":" not in page.parent.name
    assert "brief@1 against its base" in page.with_name("report.md").read_text("utf-8")


def test_evaluations_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    made = [evaluating._folder(tmp_path, "brief") for _ in range(5)]
    assert len(set(made)) == 5


def test_a_reader_who_leaves_changes_neither_the_files_nor_the_verdict(
    built: Path, tmp_path: Path
) -> None:
    record = tmp_path / "record.json"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "factory", "eval", "brief", "--bless", str(record)],
        stdout=write, stderr=write, check=False, timeout=300,
        env={**os.environ, "FACTORY_HOME": str(built)},
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 0
    assert json.loads(record.read_text("utf-8"))["label"] == "brief@1"


def test_the_base_in_the_place_of_the_tuned_model_does_not_pass(
    factory: Run, tiny_llama: Path, tmp_path: Path
) -> None:
    card = tmp_path / "card.json"
    done = factory("eval", "brief", "--model", tiny_llama, "--json", card, code=10)
    scorecard = json.loads(card.read_text("utf-8"))
    assert scorecard["verdict"] == "REGRESSION"
    failed = {g["name"] for g in scorecard["gates"] if g["verdict"] == "REGRESSION"}
    assert "perplexity" in failed
    assert "Held-out perplexity" in done.stdout


def test_a_record_is_written_once_and_compared_only_with_what_is_comparable(
    factory: Run, tmp_path: Path
) -> None:
    record = tmp_path / "record.json"
    factory("eval", "brief", "--bless", record, code=0)
    written = record.read_bytes()
    done = factory("eval", "brief", "--bless", record, code=2)
    assert "records do not drift" in done.stderr
    assert "evaluate: started" not in done.stdout
    assert record.read_bytes() == written

    done = factory("eval", "brief", "--against", record, code=0)
    assert f"brief@1 against brief@1 as in {record}: PASS" in done.stdout

    changed = json.loads(written)
    key = next(iter(changed["keys"]))
    changed["keys"][key] = "something else"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(changed))
    done = factory("eval", "brief", "--against", other, code=2)
    assert key in done.stderr
    assert "measured otherwise" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["brieff"], "did you mean brief?"),
        (["brief@7"], "brief@1"),
        (["brief", "--against", "brief@9"], "brief@1"),
        (["brief", "--model", "nowhere"], "no model folder"),
        (["brief", "--model", "http://127.0.0.1:9#brief"], "an endpoint cannot be judged"),
        (["brief", "--against", "brief"], "did you mean brief@1?"),
        (["brief", "--against", "http://"], "no address"),
        (["brief", "--against", "nothing.json"], "nothing.json: there is no record"),
        (["brief", "--bless", "record.txt"], "takes only a .json file"),
        (["brief", "--json", "{folder}"], "it is a folder"),
        (["brief", "--junit", "{folder}/file/x.xml"], "--junit: this file cannot be written"),
        (["brief", "--json", "{folder}/x", "--markdown", "{folder}/x"], "--json is the same file"),
    ],
)
def test_what_is_not_there_or_cannot_be_is_one_clear_error_before_anything_is_measured(
    factory: Run, arguments: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    done = factory("eval", *(a.format(folder=tmp_path) for a in arguments), code=2)
    assert said in done.stderr
    assert "loading" not in done.stdout
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    ("text", "said"),
    [("{}", "measured: Field required"), ("[1]", "should be a dictionary"), ("{", "no JSON: ")],
)
def test_a_file_that_is_no_record_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(UsageError, match="no record") as caught:
        read_record(file, {})
    assert said in str(caught.value)


def test_an_endpoint_that_is_not_there_is_one_clear_error(factory: Run) -> None:
    done = factory("eval", "brief", "--against", "http://127.0.0.1:9", code=1)
    assert "cannot be reached" in done.stderr


def test_a_judge_that_answers_prose_is_heard_and_does_not_decide(built: Path) -> None:
    card = Release.open(built / "releases" / "brief" / "1").card()
    assert card["verdict"] == "PASS"
    (judge,) = (i for i in card["instruments"] if i["name"] == "judge")
    assert not judge["passed"]
    assert "unreadable" in judge["seen"]
    assert not [gate for gate in card["gates"] if "judge" in gate["name"]]


def test_what_people_picked_stands_in_the_next_reports(
    factory: Run, built: Path, persona: Path, tmp_path: Path
) -> None:
    answers = newest(built, "brief", "base")
    found = compare(built, answers, Console(file=io.StringIO()), lambda _: "t", count=3)
    card, said = tmp_path / "card.json", f"Blind against base, {len(found)} questions"
    assert len(found) > 1
    factory("eval", "brief", "--json", card, code=0)
    assert json.loads(card.read_text("utf-8"))["people"]["base"]["questions"] == len(found)
    factory("build", persona, code=0)
    (report,) = built.glob("runs/brief--*/report.md")
    assert said in report.read_text("utf-8")


def test_evidence_that_does_not_decide_makes_a_release_that_is_not_served(
    tiny_llama: Path, tmp_path: Path
) -> None:
    """A margin of the suites that 81 items cannot show."""
    close = "{suites: [forgetting], max_new_tokens: 16, margins: {drift: 99, form: 1, forgetting: 0.001}}"
    file = write_persona(tmp_path / "p", tiny_llama, evaluate=close)
    home = tmp_path / "home"
    done = command(home, "build", file)
    assert done.returncode == 11, done.stdout + done.stderr
    assert not Release.open(home / "releases" / "brief" / "1").facts()["promotable"]
    refused = command(home, "serve", "brief", "--engine", "echo")
    assert refused.returncode == 2
    assert "inconclusive" in refused.stderr

    done = command(home, "build", file, "--set", "evaluate.inconclusive=warn")
    assert done.returncode == 0, done.stdout + done.stderr
    newest = Release.open(max((home / "releases" / "brief").glob("[0-9]*")))
    assert newest.facts()["promotable"]
    assert newest.facts()["verdict"] == "INCONCLUSIVE"
