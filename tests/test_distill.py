"""distill: exactly the pairs that were asked for, paid for once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from factory.artifacts import Pairs, read_json, read_jsonl
from factory.base import resolve
from factory.contracts import Reply, Request, TeacherError
from factory.errors import EngineError, FactoryError, UsageError
from factory.load import load
from factory.pairs import calls, review
from factory.pairs.failures import Patience
from factory.pairs.ledger import Ledger
from factory.persona import system_prompt
from factory.pipeline import dataset, stages_of
from factory.report import html, markdown
from factory.report.teaching import summary
from factory.rows.similarity import read, similarity
from factory.run import summarise
from factory.spec import Spec
from factory.stages import distill, gather
from factory.store import Store
from factory.teachers.echo import EchoTeacher
from tests.test_report import dataset as dataset_report
from tests.test_report import report

PERSONA = """\
name: brief
description: Answers in one or two short sentences.
voice: [short sentences, plain words]
rules:
  - {max_words: 60}
seeds:
  - instruction: How can I relax after a long day at work?
    output: Take a short walk, then put the phone away for an hour.
  - instruction: Should I learn to cook?
    output: Yes. Begin with eggs; they forgive a lot and you can eat your mistakes.
  - instruction: I failed my driving test again.
    output: That stings. Ask what went wrong, practise that one thing, and book the next date.
  - instruction: What should I pack for a weekend trip?
    output: One bag, two shirts, and a book you will not finish.
questions:
  - ask: How do I make new friends in a new town?
teacher:
  type: echo
distill:
  pairs: 40
"""


def quiet(**_: Any) -> None:
    pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACTORY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def persona(folder: Path, *, sets: tuple[str, ...] = (), text: str = PERSONA) -> Spec:
    file = folder / "brief.yaml"
    file.write_text(text)
    return load(file, list(sets))


def distilled(home: Path, spec: Spec) -> Pairs:
    """Gather and distill, as a build does."""
    store = Store(home)
    given: dict[str, Any] = {"name": spec.name, "seeds": spec.seeds, "files": []}
    key = store.key(gather.STAGE, None, given)
    rows = store.find(gather.STAGE, key) or store.make(gather.STAGE, key, None, given, quiet)
    inputs = distill.inputs(spec, resolve("starter"))
    inputs |= {"rows": rows, "prompt": system_prompt(spec)}
    key = store.key(distill.STAGE, spec.distill, inputs)
    found = store.find(distill.STAGE, key)
    return found or store.make(distill.STAGE, key, spec.distill, inputs, quiet)


def requests(home: Path) -> int:
    with Ledger(home / "factory.sqlite") as ledger:
        return ledger.spent().requests


def written(pairs: Pairs) -> list[Any]:
    return [row for row in pairs.rows() if "side" in row]


def test_exactly_the_pairs_that_were_asked_for_follow_the_gathered_rows(
    home: Path, tmp_path: Path
) -> None:
    spec = persona(tmp_path)
    pairs = distilled(home, spec)
    rows = list(pairs.rows())
    assert [row["id"] for row in rows[:4]] == [f"brief:seed {n}" for n in range(1, 5)]
    assert len(written(pairs)) == 40 == len(rows) - 4
    report = pairs.report()
    assert report["accepted"] == report["wanted"] == 40 and report["shortfall"] == []
    assert sum(cell["wanted"] for cell in report["quotas"]) == 40
    sides = Counter(row["side"] for row in written(pairs))
    assert sides["train"] > sides["test"] >= 4 and sides["validation"] >= 4
    sources = list(read_jsonl(pairs.path / "sources.jsonl"))
    assert {s["teacher"] for s in sources} == {"echo"} and len(sources) == 40


def test_no_test_question_descends_from_a_training_one(home: Path, tmp_path: Path) -> None:
    pairs = written(distilled(home, persona(tmp_path)))
    asks = {side: [read(r["messages"][0]["content"]) for r in pairs if r["side"] == side]
            for side in ("train", "test")}  # fmt: skip
    worst = max(similarity(a, b) for a in asks["train"] for b in asks["test"])
    assert worst < 0.55


def test_curate_keeps_every_row_on_the_side_it_was_written_for(home: Path, tmp_path: Path) -> None:
    spec = persona(tmp_path)
    store = Store(home)

    def do(stage: Any, config: Any, **inputs: Any) -> Any:
        key = store.key(stage, config, inputs)
        return store.find(stage, key) or store.make(stage, key, config, inputs, quiet)

    data = dataset(do, spec, resolve("starter"), [], {})
    for side in ("train", "validation", "test"):
        found = [row for row in data.split(side) if "side" in row]
        assert found and {row["side"] for row in found} == {side}
    assert data.report()["teaching"]["accepted"] == 40


class Killed(Exception):
    pass


def test_a_run_that_ends_midway_goes_on_and_pays_nothing_twice(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    monkeypatch.setenv("FACTORY_HOME", str(whole))
    undisturbed = distilled(whole, persona(tmp_path))
    monkeypatch.setenv("FACTORY_HOME", str(home))
    asked = 0
    answer = EchoTeacher.reply

    async def failing(self: EchoTeacher, request: Request) -> Reply:
        nonlocal asked
        asked += 1
        if asked == 20:
            raise Killed
        return await answer(self, request)

    monkeypatch.setattr(EchoTeacher, "reply", failing)
    for _ in range(3):
        asked = 0
        with pytest.raises(Killed):
            distilled(home, persona(tmp_path))
    asked = 100  # never again
    pairs = distilled(home, persona(tmp_path))
    assert pairs.digest == undisturbed.digest
    # every call that was answered was sent once; those in flight at the end may be sent again
    assert requests(home) <= requests(whole) + 3 * 8
    before = requests(home)
    assert distilled(home, persona(tmp_path)).digest == pairs.digest
    assert requests(home) == before


@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_a_teacher_that_dies_ends_the_build_and_nothing_is_missing_in_the_next(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    whole = tmp_path / "whole"
    monkeypatch.setenv("FACTORY_HOME", str(whole))
    undisturbed = distilled(whole, persona(tmp_path))
    monkeypatch.setenv("FACTORY_HOME", str(home))
    monkeypatch.setattr(calls, "Patience", partial(Patience, backoff=0.001))
    left, answer = int(share * requests(whole)), EchoTeacher.reply

    async def dying(self: EchoTeacher, request: Request) -> Reply:
        nonlocal left
        left -= 1
        if left < 0:
            raise TeacherError("overloaded", "connection refused")
        return await answer(self, request)

    with monkeypatch.context() as while_it_dies:
        while_it_dies.setattr(EchoTeacher, "reply", dying)
        with pytest.raises(EngineError) as caught:
            distilled(home, persona(tmp_path))
    assert caught.value.exit_code == 1 and "connection refused" in str(caught.value)
    assert not list(home.glob("store/distill/*/manifest.json"))
    pairs = distilled(home, persona(tmp_path))
    assert pairs.digest == undisturbed.digest
    assert pairs.report()["accepted"] == 40 and pairs.report()["twins_lost"] == 0
    assert all(row["twin"] for row in written(pairs))


def test_twins_that_do_not_come_are_counted_and_listed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = EchoTeacher.reply

    async def voiced(self: EchoTeacher, request: Request) -> Reply:
        if request.schema is None and request.messages[0]["role"] == "user":
            raise TeacherError("refused", "content filter")
        return await answer(self, request)

    monkeypatch.setattr(EchoTeacher, "reply", voiced)
    pairs = distilled(home, persona(tmp_path))
    report = pairs.report()
    assert report["accepted"] == report["twins_lost"] == 40
    assert not any("twin" in row for row in written(pairs))
    listed = list(read_jsonl(pairs.path / "candidates.jsonl"))
    assert [line["detail"] for line in listed if line["reason"] == "no_twin_refused"] == (
        ["content filter"] * 40
    )
    assert "40 pairs had to be kept without a plain twin" in " ".join(summary(report))


def test_killed_with_sigkill_it_ends_with_the_same_pairs(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.test_distill import *\n"
        "distilled(Path(sys.argv[1]), persona(Path(sys.argv[2]), sets=('distill.pairs=300',)))"
    )
    command = [sys.executable, "-c", code, str(home), str(tmp_path)]
    for _ in range(2):
        child = subprocess.Popen(command, cwd=Path(__file__).parents[1], env=dict(os.environ))
        ledger, deadline = home / "factory.sqlite", time.monotonic() + 60
        while not ledger.is_file() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.4)
        child.send_signal(signal.SIGKILL)
        child.wait()
    pairs = distilled(home, persona(tmp_path, sets=("distill.pairs=300",)))
    monkeypatch.setenv("FACTORY_HOME", str(tmp_path / "whole"))
    whole = distilled(tmp_path / "whole", persona(tmp_path, sets=("distill.pairs=300",)))
    assert pairs.digest == whole.digest
    assert len(written(pairs)) == 300


def test_a_ceiling_stops_cleanly_and_a_higher_one_goes_on(home: Path, tmp_path: Path) -> None:
    with pytest.raises(FactoryError) as caught:
        distilled(home, persona(tmp_path, sets=("teacher.budget.requests=20",)))
    assert caught.value.where == "teacher.budget.requests"
    assert requests(home) == 20
    pairs = distilled(home, persona(tmp_path, sets=("teacher.budget.requests=400",)))
    assert len(written(pairs)) == 40
    first = requests(home)
    assert pairs.report()["calls"]["requests"] == first


def test_a_teacher_that_never_fits_the_rules_is_one_clear_error(home: Path, tmp_path: Path) -> None:
    text = PERSONA.replace("- {max_words: 60}", "- {must: shouting, pattern: '!!!'}")
    with pytest.raises(UsageError) as caught:
        distilled(home, persona(tmp_path, text=text))
    assert "not one pair" in str(caught.value) and "rule_break" in str(caught.value)


def test_a_teacher_that_lists_no_questions_is_told_apart_from_one_that_answers_badly(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = EchoTeacher.reply
    lists = 3

    async def prose(self: EchoTeacher, request: Request) -> Reply:
        nonlocal lists
        reply = await answer(self, request)
        if request.schema is None:
            return reply
        lists -= 1
        return reply if lists >= 0 else replace(reply, text="{}")

    monkeypatch.setattr(EchoTeacher, "reply", prose)
    pairs = distilled(home, persona(tmp_path))
    report = pairs.report()
    assert report["accepted"] < 40
    assert report["rejected"]["no_questions"] >= 3
    assert f"no questions {report['rejected']['no_questions']}" in summarise(pairs)


def test_half_a_character_in_a_list_costs_one_question_and_not_the_build(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = EchoTeacher.reply

    async def torn(self: EchoTeacher, request: Request) -> Reply:
        reply = await answer(self, request)
        if request.schema is None:
            return reply
        listed = json.loads(reply.text)["questions"]
        return replace(reply, text=json.dumps({"questions": ["Why do cats purr \ud83d?", *listed]}))

    monkeypatch.setattr(EchoTeacher, "reply", torn)
    report = distilled(home, persona(tmp_path)).report()
    assert report["accepted"] == 40
    assert report["rejected"]["question_mojibake"] > 0


def test_a_control_token_of_the_base_costs_a_candidate_and_not_the_build(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = EchoTeacher.reply
    spoiled = 0

    async def leaking(self: EchoTeacher, request: Request) -> Reply:
        nonlocal spoiled
        reply = await answer(self, request)
        if request.schema is not None:
            listed = ["Why do cats purr <|im_start|>?", *json.loads(reply.text)["questions"]]
            return replace(reply, text=json.dumps({"questions": listed}))
        if request.messages[0]["role"] == "system" and spoiled < 5:
            spoiled += 1
            return replace(reply, text=f"{reply.text}<|im_end|>")
        return reply

    monkeypatch.setattr(EchoTeacher, "reply", leaking)
    pairs = distilled(home, persona(tmp_path))
    report = pairs.report()
    assert report["accepted"] == 40
    assert report["rejected"]["control_token"] == 5
    assert report["rejected"]["question_control_token"] > 0
    assert "<|im_" not in json.dumps(written(pairs))


def thinking(monkeypatch: pytest.MonkeyPatch, tokens: int) -> list[Request]:
    """Let the toy teacher think so much before it says anything; what it is asked comes back."""
    answer = EchoTeacher.reply
    asked: list[Request] = []

    async def think(self: EchoTeacher, request: Request) -> Reply:
        asked.append(request)
        if request.max_tokens <= tokens:
            return Reply("", "length", request.max_tokens, 20, "hm " * request.max_tokens)
        return await answer(self, request)

    monkeypatch.setattr(EchoTeacher, "reply", think)
    return asked


def test_a_teacher_that_needs_all_room_for_thoughts_is_soon_one_clear_error(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = thinking(monkeypatch, 3000)
    with pytest.raises(UsageError) as caught:
        distilled(home, persona(tmp_path, sets=("distill.pairs=2000",)))
    assert "distill.max_tokens" in str(caught.value)
    assert len(asked) == len({repr(request) for request in asked}) < 100


def test_room_for_thoughts_is_room_in_every_kind_of_request(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thinking(monkeypatch, 3000)
    pairs = distilled(home, persona(tmp_path, sets=("distill.max_tokens=4000",)))
    rows = written(pairs)
    assert len(rows) == 40 and all(row["twin"] for row in rows)


def test_an_answer_lost_in_thought_is_asked_for_once_more_with_more_room(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = EchoTeacher.reply
    first: dict[str, int] = {}

    async def think(self: EchoTeacher, request: Request) -> Reply:
        if request.messages[0]["role"] != "system":
            return await answer(self, request)
        limit = first.setdefault(request.messages[-1]["content"], request.max_tokens)
        if request.max_tokens == limit:
            return Reply("", "length", limit, 20, "hm")
        return await answer(self, request)

    monkeypatch.setattr(EchoTeacher, "reply", think)
    assert distilled(home, persona(tmp_path)).report()["accepted"] == 40


def test_a_question_the_endpoint_refuses_is_a_rejection_and_not_the_end(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = EchoTeacher.reply
    refused = 0

    async def picky(self: EchoTeacher, request: Request) -> Reply:
        nonlocal refused
        if request.schema is None and hash(request.messages[-1]["content"][-3:]) % 5 == 0:
            refused += 1
            raise TeacherError("refused", "content filter")
        return await answer(self, request)

    monkeypatch.setattr(EchoTeacher, "reply", picky)
    report = distilled(home, persona(tmp_path)).report()
    assert refused and report["rejected"]["no_answer_refused"] > 0
    short = sum(cell["wanted"] - cell["accepted"] for cell in report["shortfall"])
    assert report["accepted"] + short == 40


@pytest.mark.parametrize(
    ("sets", "where"),
    [
        (("teacher.type=ecco",), "teacher.type"),
        (("teacher.type=openai",), "teacher.model"),
        (("teacher.budget.usd=1",), "teacher.budget.usd"),
        (("seeds=[]", "data=[x.jsonl]"), "seeds"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    home: Path, tmp_path: Path, sets: tuple[str, ...], where: str
) -> None:
    (tmp_path / "x.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    wrong = []
    for look in distill.checks(persona(tmp_path, sets=sets), resolve("starter")):
        try:
            look()
        except UsageError as error:
            wrong.append(error.where)
    assert wrong == [where]


def test_without_a_teacher_nothing_is_distilled(tmp_path: Path) -> None:
    text = PERSONA.replace("teacher:\n  type: echo\n", "")
    assert "distill" not in stages_of(persona(tmp_path, text=text))
    assert "distill" in stages_of(persona(tmp_path))


def test_transport_is_no_part_of_the_key(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = {
        store.key(distill.STAGE, spec.distill, {"teacher": spec.teacher})
        for spec in (
            persona(tmp_path),
            persona(tmp_path, sets=("teacher.concurrency=3", "teacher.base_url=http://x/v1")),
        )
    }
    assert len(keys) == 1


def test_what_a_person_decided_holds_for_every_later_build(home: Path, tmp_path: Path) -> None:
    spec = persona(tmp_path)
    pairs = written(distilled(home, spec))
    dropped, edited = pairs[0], pairs[1]
    review.decide(home, spec.name, dropped, {"action": "drop"})
    review.decide(home, spec.name, edited, {"action": "edit", "answer": "Mine, in fine words."})
    store = Store(home)

    def do(stage: Any, config: Any, **inputs: Any) -> Any:
        key = store.key(stage, config, inputs)
        return store.find(stage, key) or store.make(stage, key, config, inputs, quiet)

    data = dataset(do, spec, resolve("starter"), [], review.load(home, spec.name))
    rows = [row for side in ("train", "validation", "test") for row in data.split(side)]
    said = {row["id"]: row["messages"][-1]["content"] for row in rows}
    assert dropped["id"] not in said
    assert said[edited["id"]] == "Mine, in fine words."
    assert data.report()["by_reason"]["dropped_by_hand"] == 1
    assert json.dumps(read_json(review.file(home, spec.name)))


def test_the_report_and_the_card_tell_what_the_teacher_did(home: Path, tmp_path: Path) -> None:
    taught = distilled(home, persona(tmp_path)).report()
    taught["teacher"]["model"] = "<script>alert(1)</script>"
    taught["shortfall"] = [
        {"cell": "grave-advise-short-test", "wanted": 3, "accepted": 1, "tried": 12}
    ]
    taught["twins_lost"] = 1
    told = " ".join(summary(taught))
    assert "40 of 40 pairs" in told and "at an unknown price" in told
    assert "1 pair had to be kept without a plain twin" in told
    assert "2 pairs could not be had" in told and "grave-advise-short-test" in told
    page = html(report(dataset={**dataset_report(), "teaching": taught}))
    text = markdown(report(dataset={**dataset_report(), "teaching": taught}))
    assert "Written by a teacher" in page and "40 of 40 filled" in page
    assert "<script>" not in page + text
    assert "40 of 40 pairs" in text
