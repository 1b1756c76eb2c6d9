"""From a name to a running persona: the engine must read and answer as the release recorded."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from factory.errors import EngineError, UsageError
from serve.launch import choose
from serve.startup import prepare
from tests.serve.conftest import PROMPT, MakeRelease, Serve, ask, golden, sdk


def test_an_engine_that_reproduces_the_probes_serves(
    release: MakeRelease, serve: Serve, tiny_llama: Path
) -> None:
    release(probes=golden(tiny_llama, PROMPT))
    with serve("brief", engine="transformers") as url, sdk(url) as client:
        response = client.chat.completions.with_raw_response.create(
            model="brief", messages=ask("Hi")
        )
        assert response.headers["x-persona-factory-release"] == "brief@1"
        assert "x-persona-factory-ungated" not in response.headers
        assert response.parse().choices[0].finish_reason in ("stop", "length")


def test_an_engine_that_goes_on_where_the_release_stopped_is_refused(
    release: MakeRelease, serve: Serve, tiny_llama: Path
) -> None:
    probes = golden(tiny_llama, PROMPT)
    for probe in probes:
        probe |= {"token_ids": probe["token_ids"][:5], "stopped": True}
    release(probes=probes)
    with pytest.raises(EngineError, match="does not stop"), serve("brief", engine="transformers"):
        pass


def test_an_engine_that_reads_prompts_differently_is_refused(
    release: MakeRelease, serve: Serve, tiny_llama: Path
) -> None:
    probes = golden(tiny_llama, PROMPT)
    probes[1]["prompt_ids"][3] += 1
    release(probes=probes)
    with (
        pytest.raises(EngineError, match="reads a conversation differently") as caught,
        serve("brief", engine="transformers"),
    ):
        pass
    assert "position 3" in str(caught.value.got)


def test_an_engine_that_answers_differently_is_refused(
    release: MakeRelease, serve: Serve, tiny_llama: Path
) -> None:
    probes = golden(tiny_llama, PROMPT)
    for probe in probes:
        probe["token_ids"][2] += 1
    release(probes=probes)
    with pytest.raises(EngineError, match="0 of 2 probes"), serve("brief", engine="transformers"):
        pass


def test_a_template_without_a_system_role_gets_the_prompt_in_the_first_turn(
    release: MakeRelease, serve: Serve, tiny_llama: Path, tmp_path: Path
) -> None:
    import shutil

    plain = tmp_path / "no-system"
    shutil.copytree(tiny_llama, plain)
    template = plain / "chat_template.jinja"
    refusal = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
    template.write_text(refusal + template.read_text())
    from tests.serve.conftest import make_release

    root = release(name="other").path.parents[2]
    make_release(root, plain, name="brief", sampling={"temperature": 0})
    with serve("brief", engine="transformers") as url:
        body = {"model": "brief", "messages": ask("Hi"), "max_tokens": 2}
        response = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert response.status_code == 200


def test_one_release_of_a_persona_at_a_time(release: MakeRelease, factory_home: Path) -> None:
    release()
    release(number=2)
    with pytest.raises(UsageError, match="one release of a persona"):
        prepare(factory_home, ["brief@1", "brief@2"], allow_ungated=False, announce=print)


def test_an_unknown_engine_is_answered_with_those_installed() -> None:
    with pytest.raises(UsageError) as caught:
        choose("vlllm")
    assert caught.value.hint == "did you mean vllm?"
    for known in ("auto", "echo", "transformers", "vllm", "http://HOST:PORT"):
        assert known in str(caught.value.allowed)


def test_the_persona_file_s_engine_is_what_auto_means(release: MakeRelease, serve: Serve) -> None:
    release(engine="echo")
    with serve("brief", engine="auto") as url, sdk(url) as client:
        answer = client.chat.completions.create(model="brief", messages=ask("Hi"))
        assert answer.choices[0].message.content == "echo: Hi"
