"""A swap loses no word, a dead engine comes back, and engines come and go with the memory they may use."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from factory.contracts import Endpoint
from factory.errors import EngineError, UsageError
from factory.hardware import GIB
from factory.releases import newest_promoted, point, promoted, release_of, roll_back
from serve.engines.brain import Ask, Piece
from serve.engines.echo import Echo, EchoEngine
from serve.engines.hosting import hosted
from serve.launch import Launcher
from tests.serve.conftest import PROMPT, MakeRelease, Serve, ask, golden
from tests.serve.test_releases import flip_a_bit


def eventually(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(0.05)


def question(**more: Any) -> dict[str, Any]:
    return {"model": "brief", "messages": ask("Tell me about tea."), **more}


def answering(url: str, name: str = "brief") -> str:
    """The release that answers under a name now."""
    response = httpx.post(f"{url}/v1/chat/completions", json=question(model=name, max_tokens=2))
    assert response.status_code == 200, response.text
    return str(response.headers["x-persona-factory-release"])


def meant(url: str) -> str:
    """The release that a name means now, whether or not its engine runs."""
    return str(httpx.get(f"{url}/v1/models/brief").headers["x-persona-factory-release"])


def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what looks after the engines see a later time, and look a few times."""
    late = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)
    monkeypatch.setattr("serve.berths.time", late)
    monkeypatch.setattr("serve.supervise.time", late)
    time.sleep(2)


def needing(monkeypatch: pytest.MonkeyPatch, ref: str, need: float) -> None:
    """Let the engine of a release need so many bytes."""
    usual = Launcher.need
    monkeypatch.setattr(
        Launcher,
        "need",
        lambda self, ones: need if ref in {one.ref for one in ones} else usual(self, ones),
    )


# --- the pointer -------------------------------------------------------------------------------


def test_a_name_means_what_was_promoted_until_that_is_changed(
    release: MakeRelease, factory_home: Path
) -> None:
    release(number=1)
    release(number=2)
    assert promoted(factory_home, "brief") == 2  # nobody promoted: the newest that passed
    assert point(factory_home, "brief", 1) == 2
    release(number=3)
    assert promoted(factory_home, "brief") == 1
    assert point(factory_home, "brief", 3) == 1
    assert roll_back(factory_home, "brief") == (3, 1)
    assert roll_back(factory_home, "brief") == (1, 2)
    with pytest.raises(UsageError, match="no earlier release"):
        roll_back(factory_home, "brief")
    for wrong, hint in (("breif", "did you mean brief?"), ("brief@1", "number out: brief")):
        with pytest.raises(UsageError) as caught:
            roll_back(factory_home, wrong)
        assert hint in str(caught.value.hint)
    with pytest.raises(UsageError, match="no such release") as unknown:
        release_of(factory_home, "breif@1")
    assert unknown.value.hint == "did you mean brief?"


def test_the_first_promotion_of_a_name_leaves_the_way_back(
    release: MakeRelease, factory_home: Path
) -> None:
    release(number=1)
    release(number=2, verdict="INCONCLUSIVE")
    release(number=3)
    release(number=4)
    assert point(factory_home, "brief", 4) == 4  # it meant that already
    assert roll_back(factory_home, "brief") == (4, 3)
    assert roll_back(factory_home, "brief") == (3, 1)
    with pytest.raises(UsageError, match="no earlier release"):
        roll_back(factory_home, "brief")


def test_an_inconclusive_release_is_not_promoted(release: MakeRelease, factory_home: Path) -> None:
    release(number=1)
    release(number=2, verdict="INCONCLUSIVE")
    assert promoted(factory_home, "brief") == 1
    with pytest.raises(UsageError, match="inconclusive"):
        point(factory_home, "brief", 2)
    assert promoted(factory_home, "brief") == 1


def test_what_is_served_now_is_what_a_new_model_is_compared_with(
    release: MakeRelease, factory_home: Path
) -> None:
    digests = [
        release(number=n, model_digest=f"{n}" * 64).facts()["model_digest"] for n in (1, 2, 3)
    ]
    point(factory_home, "brief", 1)
    found = newest_promoted(factory_home, "brief", but="other")
    assert found is not None and found.number == 1
    found = newest_promoted(factory_home, "brief", but=digests[0])
    assert found is not None and found.number == 3  # what it was before


# --- swaps -------------------------------------------------------------------------------------


def test_a_stream_ends_on_the_release_it_began_with(
    release: MakeRelease, serve: Serve, factory_home: Path, tiny_llama: Path
) -> None:
    probes = golden(tiny_llama, PROMPT)
    release(number=1, probes=probes)
    point(factory_home, "brief", 1)
    with serve("brief", engine="transformers") as url:
        body = question(stream=True, max_tokens=400, stop=None)
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=120) as stream:
            lines = stream.iter_lines()
            begun = [next(lines) for _ in range(6)]
            release(number=2, probes=probes)
            point(factory_home, "brief", 2)
            eventually(lambda: answering(url) == "brief@2")
            chunks = [json.loads(x[6:]) for x in [*begun, *lines] if x.startswith("data: {")]
        assert stream.headers["x-persona-factory-release"] == "brief@1"
        assert {c["system_fingerprint"].partition("-")[0] for c in chunks} == {"brief@1"}
        assert [c["choices"][0]["finish_reason"] for c in chunks][-1] in ("stop", "length")
        assert roll_back(factory_home, "brief") == (2, 1)
        eventually(lambda: answering(url) == "brief@1")


def test_a_release_is_called_back_before_it_has_left(
    release: MakeRelease, serve: Serve, factory_home: Path, tiny_llama: Path
) -> None:
    probes = golden(tiny_llama, PROMPT)
    release(number=1, probes=probes)
    point(factory_home, "brief", 1)
    told: list[str] = []
    with serve("brief", engine="transformers", announce=told.append) as url:
        body = question(stream=True, max_tokens=400)

        def stream(_: int) -> tuple[str, str]:  # they queue: the engine gives one answer at a time
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120)
            return answer.headers["x-persona-factory-release"], answer.text[-14:]

        release(number=2, probes=probes)
        with ThreadPoolExecutor(24) as pool:
            streams = [pool.submit(stream, k) for k in range(24)]
            time.sleep(0.5)
            point(factory_home, "brief", 2)
            eventually(lambda: any("brief@2 answers now" in line for line in told))
            roll_back(factory_home, "brief")
            eventually(lambda: any("brief@1 answers now" in line for line in told))
            assert not all(one.done() for one in streams)
            assert {one.result() for one in streams} == {("brief@1", "data: [DONE]\n\n")}
        assert answering(url) == "brief@1"
    assert sum("starting" in line for line in told) == 2  # not a third engine


def test_a_damaged_pointer_of_one_name_does_not_stop_the_others(
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    release(name="brief")
    release(name="other")
    with serve("brief", "other") as url:
        (factory_home / "releases" / "brief" / "promoted.json").write_text("{")
        release(name="other", number=2)
        point(factory_home, "other", 2)
        eventually(lambda: answering(url, "other") == "other@2")
        assert answering(url, "brief") == "brief@1"


def test_no_request_fails_while_releases_take_turns(
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    release(number=1)
    release(number=2)
    point(factory_home, "brief", 1)
    seen: list[tuple[int, str, str]] = []
    over = threading.Event()

    def keep_asking(url: str) -> None:
        while not over.is_set():
            r = httpx.post(f"{url}/v1/chat/completions", json=question())
            said = r.json()["choices"][0]["message"]["content"] if r.status_code == 200 else r.text
            seen.append((r.status_code, r.headers.get("x-persona-factory-release", ""), said))

    with serve("brief") as url:
        askers = [threading.Thread(target=keep_asking, args=(url,)) for _ in range(3)]
        for asker in askers:
            asker.start()
        try:
            for number in (2, 1, 2):
                point(factory_home, "brief", number)
                eventually(lambda n=number: bool(seen) and seen[-1][1] == f"brief@{n}")
        finally:
            over.set()
            for asker in askers:
                asker.join()
    assert {status for status, _, _ in seen} == {200}
    assert {ref for _, ref, _ in seen} == {"brief@1", "brief@2"}
    assert {said for _, _, said in seen} == {"echo: Tell me about tea."}


def test_a_promoted_release_that_is_not_what_passed_does_not_take_over(
    release: MakeRelease, serve: Serve, factory_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    release(number=1)
    point(factory_home, "brief", 1)
    with serve("brief", announce=told.append) as url:
        bad = release(number=2)
        (bad.path / "persona.json").write_text('{"altered": true}')
        point(factory_home, "brief", 2)
        eventually(lambda: any("brief@2 was promoted and cannot be served" in x for x in told))
        assert answering(url) == "brief@1"
        an_hour_later(monkeypatch)
        assert sum("brief@2 was promoted" in line for line in told) == 1
        release(number=3)
        point(factory_home, "brief", 3)
        eventually(lambda: answering(url) == "brief@3")


def test_a_pinned_release_does_not_follow(
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    release(number=1)
    with serve("brief@1") as url:
        release(number=2)
        point(factory_home, "brief", 2)
        time.sleep(1.5)
        assert answering(url) == "brief@1"


# --- memory ------------------------------------------------------------------------------------


def test_engines_take_turns_in_the_memory_they_have(release: MakeRelease, serve: Serve) -> None:
    told: list[str] = []
    release(name="brief")
    release(name="other")
    with serve("brief", "other", announce=told.append, budget=4 * GIB) as url:
        assert httpx.get(f"{url}/readyz").status_code == 200
        listed = {m["id"] for m in httpx.get(f"{url}/v1/models").json()["data"]}
        assert listed == {"brief", "other"}
        for name in ("other", "brief", "other"):
            assert answering(url, name) == f"{name}@1"
        assert [x for x in told if x.startswith("unloaded")] == [
            "unloaded brief@1",
            "unloaded other@1",
            "unloaded brief@1",
        ]


def test_a_swap_within_one_engines_memory_makes_requests_wait_and_not_fail(
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    release(number=1)
    point(factory_home, "brief", 1)
    with serve("brief", budget=4 * GIB) as url:
        release(number=2)
        point(factory_home, "brief", 2)
        eventually(lambda: answering(url) == "brief@2")


def test_the_old_release_comes_back_where_the_new_one_does_not_start_in_its_place(
    release: MakeRelease,
    serve: Serve,
    factory_home: Path,
    tiny_llama: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probes = golden(tiny_llama, PROMPT)
    told: list[str] = []
    release(number=1, probes=probes)
    point(factory_home, "brief", 1)
    with serve("brief", engine="transformers", announce=told.append, budget=4 * GIB) as url:
        wrong = [probe | {"token_ids": [5, 6, 7, 8]} for probe in probes]
        release(number=2, probes=wrong)
        point(factory_home, "brief", 2)
        eventually(lambda: any("brief@1 is back" in line for line in told))
        assert answering(url) == "brief@1"
        an_hour_later(monkeypatch)  # it goes on answering: the other one is not tried again
        assert sum("brief@2: starting" in line for line in told) == 1
        assert answering(url) == "brief@1"
        release(number=3, probes=probes)
        point(factory_home, "brief", 3)
        eventually(lambda: answering(url) == "brief@3")


def test_what_does_not_fit_at_all_is_refused_before_anything_starts(
    release: MakeRelease, serve: Serve
) -> None:
    release()
    with pytest.raises(EngineError, match="does not fit") as caught, serve("brief", budget=GIB):
        pass
    assert caught.value.where == "--memory"


def test_a_promoted_release_that_does_not_fit_at_all_leaves_everybody_where_they_are(
    release: MakeRelease, serve: Serve, factory_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    release(name="brief")
    release(name="other")
    point(factory_home, "brief", 1)
    needing(monkeypatch, "brief@2", 7 * GIB)
    with serve("brief", "other", announce=told.append, budget=6 * GIB) as url:
        release(number=2)
        point(factory_home, "brief", 2)
        why = "brief@2 was promoted and cannot be served; brief@1 stays: --memory: brief@2 does not fit"
        eventually(lambda: any(line.startswith(why) for line in told))
        assert meant(url) == answering(url) == "brief@1"
        assert answering(url, "other") == "other@1"
        assert not any(line.startswith("unloaded") for line in told)


def test_a_release_that_does_not_fit_when_it_is_asked_for_gives_way_to_the_old_one(
    release: MakeRelease, serve: Serve, factory_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    release(number=1)
    point(factory_home, "brief", 1)
    with serve("brief", announce=told.append, budget=4 * GIB, idle=0.5) as url:
        eventually(lambda: "unloaded brief@1" in told)
        release(number=2)
        point(factory_home, "brief", 2)
        eventually(lambda: meant(url) == "brief@2")
        needing(monkeypatch, "brief@2", 5 * GIB)
        assert answering(url) == "brief@1"
        assert any("brief@2 cannot be served; brief@1 is back" in line for line in told)


def test_an_engine_that_nobody_asks_for_is_unloaded_and_comes_back(
    release: MakeRelease, serve: Serve
) -> None:
    told: list[str] = []
    release()
    with serve("brief", announce=told.append, idle=0.5) as url:
        eventually(lambda: "unloaded brief@1" in told)
        assert answering(url) == "brief@1"


def test_what_was_altered_while_it_slept_is_not_served(
    release: MakeRelease, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.berths.NOT_AT_ONCE", 0.0)
    told: list[str] = []
    path = release().path
    with serve("brief", announce=told.append, idle=0.5) as url:
        eventually(lambda: "unloaded brief@1" in told)
        flip_a_bit(path)
        response = httpx.post(f"{url}/v1/chat/completions", json=question())
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "engine_unavailable"
        assert any("model.safetensors was altered" in line for line in told)
        flip_a_bit(path)
        assert answering(url) == "brief@1"


def test_a_name_falls_back_to_what_answered_and_not_to_what_was_promoted_while_it_slept(
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    told: list[str] = []
    paths = [release(number=number).path for number in (1, 2, 3)]
    point(factory_home, "brief", 1)
    with serve("brief", announce=told.append, idle=0.5) as url:
        eventually(lambda: "unloaded brief@1" in told)
        for number in (2, 3):
            point(factory_home, "brief", number)
            eventually(lambda n=number: meant(url) == f"brief@{n}")
        for path in paths[1:]:
            flip_a_bit(path)
        assert answering(url) == "brief@1"
        assert any("brief@3 cannot be served; brief@1 is back" in line for line in told)


def test_a_number_is_answered_by_that_release_or_not_at_all(
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    told: list[str] = []
    release(number=1)
    path = release(number=2).path
    point(factory_home, "brief", 1)
    with serve("brief", announce=told.append, idle=0.5) as url:
        eventually(lambda: "unloaded brief@1" in told)
        point(factory_home, "brief", 2)
        eventually(lambda: meant(url) == "brief@2")
        flip_a_bit(path)
        body = question(model="brief@2")
        response = httpx.post(f"{url}/v1/chat/completions", json=body)  # brief@1 wakes up instead
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "model_not_found"
        assert answering(url) == answering(url, "brief@1") == "brief@1"


def test_what_was_rolled_back_while_it_slept_never_answers(
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    told: list[str] = []
    path = release(number=1).path
    release(number=2)
    point(factory_home, "brief", 1)
    with serve("brief", announce=told.append, idle=0.5) as url:
        eventually(lambda: "unloaded brief@1" in told)
        point(factory_home, "brief", 2)
        eventually(lambda: meant(url) == "brief@2")
        roll_back(factory_home, "brief")
        eventually(lambda: meant(url) == "brief@1")
        flip_a_bit(path)
        assert httpx.post(f"{url}/v1/chat/completions", json=question()).status_code == 503
        assert meant(url) == "brief@1"


def test_whatever_fails_while_a_name_wakes_up_clients_are_asked_to_come_back(
    release: MakeRelease, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> float:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr("serve.berths.NOT_AT_ONCE", 0.0)
    told: list[str] = []
    release()
    with serve("brief", announce=told.append, idle=0.5) as url:
        eventually(lambda: "unloaded brief@1" in told)
        with monkeypatch.context() as broken:
            broken.setattr(Launcher, "need", fails)
            response = httpx.post(f"{url}/v1/chat/completions", json=question())
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "engine_unavailable"
        assert "brief cannot be loaded: nobody foresaw this" in told
        assert answering(url) == "brief@1"


# --- engines that fall over, and engines elsewhere ----------------------------------------------


class Stalling(Echo):
    """Once it is stuck, no token comes, while its server goes on to say that it is well."""

    stuck = False

    async def pieces(self, prompt_ids: list[int], ask: Ask) -> AsyncGenerator[Piece]:
        if self.stuck:
            await asyncio.Event().wait()
        async for piece in super().pieces(prompt_ids, ask):
            yield piece


class StallingEngine(EchoEngine):
    """Runs such brains, and remembers them."""

    def __init__(self, batches: bool) -> None:
        self.batches = batches
        self.made: list[Stalling] = []

    def serve(
        self, model_dir: Path, *, model: str, max_model_len: int, options: dict[str, Any]
    ) -> AbstractContextManager[Endpoint]:
        self.made.append(Stalling())
        return hosted(self.made[-1], model=model, max_model_len=max_model_len)


@pytest.mark.parametrize("batches", [True, False])
def test_an_engine_that_is_well_and_gives_no_token_is_started_again(
    batches: bool, release: MakeRelease, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = StallingEngine(batches)
    monkeypatch.setattr("serve.launch.choose", lambda name: engine)
    monkeypatch.setattr("serve.fleet.RECENT", 0.2)
    monkeypatch.setattr("serve.fleet.PATIENCE", 0.5)
    monkeypatch.setattr("serve.supervise.LOOK", 0.05)
    monkeypatch.setattr("serve.supervise.MISSES", 3)
    told: list[str] = []
    release()
    with serve("brief", announce=told.append) as url:
        time.sleep(1)  # nobody asks, and it is well
        assert not any("is gone" in line for line in told)
        engine.made[0].stuck = True
        if batches:
            eventually(lambda: "brief@1 answers again" in told)
        else:  # it may be at a long answer
            time.sleep(4)
            engine.made[0].stuck = False
        assert answering(url) == "brief@1"
    assert len(engine.made) == (2 if batches else 1)


def test_another_gateway_may_stand_behind_this_one(
    release: MakeRelease, serve: Serve, tiny_llama: Path
) -> None:
    release(probes=golden(tiny_llama, PROMPT))
    said = {}
    for engine in ("echo", "transformers"):
        with serve("brief", engine=engine) as behind, serve("brief", engine=behind) as url:
            direct, through = (
                httpx.post(f"{at}/v1/chat/completions", json=question(temperature=0))
                for at in (behind, url)
            )
            assert direct.json()["choices"] == through.json()["choices"]
            assert direct.json()["usage"] == through.json()["usage"]  # the prompt is there once
            said[engine] = "x-persona-factory-ungated" in through.headers
    assert said == {"echo": True, "transformers": False}


def test_a_gateway_behind_is_well_for_long_and_refused_once_it_serves_another_release(
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    told: list[str] = []
    release(number=1)
    point(factory_home, "brief", 1)
    with serve("brief") as behind, serve("brief@1", engine=behind, announce=told.append) as url:
        time.sleep(5)  # longer than it takes until an engine counts as hung
        assert answering(url) == "brief@1" and httpx.get(f"{url}/readyz").status_code == 200
        assert not any("is gone" in line for line in told)
        release(number=2, model_digest="2" * 64)
        with pytest.raises(AssertionError):
            point(factory_home, "brief", 2)
            eventually(lambda: answering(behind) == "brief@2")
            answering(url)  # never the words of brief@2 under the name of brief@1


def test_a_server_without_the_model_or_without_an_answer_is_one_clear_error(
    release: MakeRelease, serve: Serve
) -> None:
    release()
    with (
        serve("brief") as behind,
        pytest.raises(EngineError, match="no such model"),
        serve("brief", engine=behind + "#x"),
    ):
        pass
    with pytest.raises(EngineError, match="does not answer"), serve("brief", engine=behind):
        pass


@pytest.mark.vllm
def test_a_killed_engine_comes_back_and_clients_get_clean_errors_meanwhile(
    release: MakeRelease, serve: Serve, tiny_llama: Path
) -> None:
    release(probes=golden(tiny_llama, PROMPT))
    told: list[str] = []
    with serve("brief", engine="vllm", announce=told.append) as url:
        assert answering(url) == "brief@1"
        for pid in engines():
            os.kill(pid, signal.SIGKILL)
        codes = set()

        def back() -> bool:
            response = httpx.post(
                f"{url}/v1/chat/completions", json=question(max_tokens=2), timeout=120
            )
            codes.add(response.status_code)
            if response.status_code != 200:
                error = response.json()["error"]
                assert set(error) == {"message", "type", "param", "code"}
                assert response.status_code in (502, 503)
            time.sleep(0.2)
            return response.status_code == 200

        eventually(back, seconds=180)
        assert 503 in codes
        assert any("answers again" in line for line in told)


def engines() -> list[int]:
    """Process ids of the vLLM servers that this process started."""
    own = f"{os.getpid()}"
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
            command = stat.with_name("cmdline").read_text()
        except OSError:
            continue
        if parent == own and "vllm_launch" in command:
            found.append(int(stat.parent.name))
    return found
