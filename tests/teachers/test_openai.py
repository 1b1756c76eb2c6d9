"""Endpoints differ, fail and lie; what comes back is an answer, or an error that says what happened."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from factory.contracts import Message, Reply, Request, TeacherError
from factory.errors import UsageError
from factory.load import load
from factory.pairs.failures import EmptyAnswer
from factory.teachers.address import stored
from factory.teachers.keeping import kept
from factory.teachers.openai import OpenAITeacher
from factory.teaching import Teacher
from tests.teachers.fault_server import Plan, Seen, serving

PERSONAS = Path(__file__).resolve().parents[2] / "personas"
KEY = "sk-secret-1234"
TALK: tuple[Message, ...] = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Name a bird."},
)
PLAIN = Request(TALK, max_tokens=40, temperature=0.7, seed=5)
LIST = Request(TALK, max_tokens=400, seed=5, schema={"type": "array", "items": {"type": "string"}})


def ask(
    url: str, *requests: Request, teacher: OpenAITeacher | None = None, **options: Any
) -> list[Reply | BaseException]:
    """The replies, or what was raised instead of them, one after the other."""

    async def story() -> list[Reply | BaseException]:
        made = teacher or OpenAITeacher(url, "m", KEY, **{"timeout": 5.0, **options})
        found: list[Reply | BaseException] = []
        async with made:
            for request in requests or (PLAIN,):
                try:
                    found.append(await made.reply(request))
                except (TeacherError, UsageError) as error:
                    found.append(error)
        return found

    return asyncio.run(story())


def reply(url: str, request: Request = PLAIN, **options: Any) -> Reply:
    (found,) = ask(url, request, **options)
    assert isinstance(found, Reply), found
    return found


def error(url: str, request: Request = PLAIN, **options: Any) -> TeacherError:
    (found,) = ask(url, request, **options)
    assert isinstance(found, TeacherError), found
    return found


def chat(message: dict[str, Any], reason: str | None = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return json.dumps({"choices": [choice], **more}).encode()


def scripted(*responses: Any) -> Plan:
    """A server that gives these responses in turn and answers from then on."""
    return Plan(script={"": list(responses)})


def refused(words: str, status: int = 400, **more: Any) -> list[Any]:
    return [status, {}, json.dumps({"error": {"message": words, **more}})]


# --- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("served", "written"),
    [
        ("/v1", ""),
        ("/v1", "/"),
        ("/v1", "/v1"),
        ("/v1", "/v1/"),
        ("/v1", "/v1/chat/completions"),
        ("", "/v1"),
        ("", ""),
        ("/api/v1", "/api"),
        ("/v1beta/openai", "/v1beta/openai/"),
        ("/api/paas/v4", "/api/paas/v4"),
    ],
)
def test_address_may_be_written_with_and_without_v1(served: str, written: str) -> None:
    with serving() as (server, url):
        server.special = only_at(f"{served}/chat/completions")
        made = OpenAITeacher(url + written, "m", timeout=5.0)
        first, second = ask(url, PLAIN, PLAIN, teacher=made)
        assert isinstance(first, Reply) and first == second
        assert server.seen[-1].path == f"{served}/chat/completions"
        assert len(server.seen) <= 3  # the right form is looked for once
        again = OpenAITeacher(url + written, "m", timeout=5.0, remembered=made.facts)
        ask(url, PLAIN, teacher=again)
        assert len(server.seen) <= 4


def only_at(path: str) -> Any:
    async def special(seen: Seen) -> tuple[int, dict[str, str], bytes] | None:
        return None if seen.path == path else (404, {}, b'{"detail":"Not Found"}')

    return special


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ([404, {}, '{"detail":"Not Found"}'], "Not Found"),
        ([405, {}, '{"detail":"Method Not Allowed"}'], "Method Not Allowed"),
        ([404, {"content-type": "text/html"}, "<html><h1>nothing here</h1></html>"], "nothing"),
        ([200, {"content-type": "text/html"}, "<html>a web page</html>"], "a web page"),
        ([308, {"location": "https://elsewhere/v1"}, ""], "https://elsewhere/v1"),
    ],
)
def test_wrong_address_is_fatal_and_names_both_forms(response: list[Any], words: str) -> None:
    with serving(scripted(response, response)) as (_, url):
        found = error(f"{url}/v1")
        assert found.kind == "fatal"
        assert f"{url}/v1/chat/completions" in found.message
        assert f"{url}/chat/completions" in found.message
        assert words in found.message


def test_unreachable_host_is_fatal_and_named_with_the_cause() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        found = error(url)
    assert found.kind == "fatal"
    assert f"cannot reach {url}/chat/completions" in found.message
    assert "refused" in found.message.lower() or "failed" in found.message.lower()


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks://x", "socks://x"),
        ("socks5://127.0.0.1:9", "socksio"),
        ("http://127.0.0.1:port", "Invalid port"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_fatal_and_named(
    proxy: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setitem(sys.modules, "socksio", None)  # as where it is not installed
    found = error("https://api.example.com/v1")
    assert found.kind == "fatal"
    assert "the proxy of the environment" in found.message and words in found.message
    assert 'pip install "httpx[socks]"' in found.message


def test_server_that_goes_away_later_is_worth_another_try() -> None:
    made: list[OpenAITeacher] = []

    async def story() -> tuple[Reply, BaseException]:
        with serving() as (_, url):
            teacher = OpenAITeacher(url, "m", timeout=5.0)
            made.append(teacher)
            await teacher.__aenter__()
            first = await teacher.reply(PLAIN)
        try:
            await teacher.reply(PLAIN)
        except TeacherError as raised:
            return first, raised
        finally:
            await teacher.__aexit__()
        raise AssertionError

    first, gone = asyncio.run(story())
    assert first.text
    assert isinstance(gone, TeacherError) and gone.kind == "overloaded"


@pytest.mark.parametrize("text", ["ftp://host/v1", "http://", "http://[::1", "https:///v1"])
def test_what_is_no_address_is_refused_at_once(text: str) -> None:
    with pytest.raises(UsageError, match="not the address") as caught:
        OpenAITeacher(text, "m")
    assert caught.value.where == "teacher.base_url"


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1"),
        ("api.example.com/v1", "https://api.example.com/v1"),
        (" https://user:word@host/v1?key=abc ", "https://host/v1"),
        ("https://host/openai/v1/chat/completions#top", "https://host/openai/v1"),
    ],
)
def test_endpoint_is_named_without_secrets(text: str, endpoint: str) -> None:
    assert OpenAITeacher(text, "m", KEY).endpoint == endpoint


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (None, None),
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
        ("https://host/v1?api-version=7", "https://host/v1?api-version=7"),
        ("https://user:word@host/v1", "https://not-stored@host/v1"),
        ("user:word@host/v1/?abc", "https://not-stored@host/v1?not-stored="),
        ("https://host?key=abc&api-version=7", "https://host/?api-version=7&not-stored="),
        ("vault://user:word@", "not-stored"),
    ],
)
def test_a_persona_is_kept_without_the_logins_to_its_endpoints(
    text: str | None, written: str | None
) -> None:
    asked = json.dumps({"type": "openai", "model": "m", "base_url": text})
    spec = load(PERSONAS / "concise.yaml", [f"teacher={asked}", f"evaluate.judge={asked}"])
    found, whole = kept(spec), spec.model_dump(mode="json")
    for section in (found["teacher"], found["evaluate"]["judge"]):
        assert section["base_url"] == written
        section["base_url"] = text
    assert found == whole


def test_a_login_that_was_not_stored_is_missed_in_clear_words() -> None:
    for login in ("https://user:word@host/v1", "https://host/v1?key=abc"):
        with pytest.raises(UsageError, match="not kept with a release") as caught:
            OpenAITeacher.of(section(model="m", base_url=stored(login)), None)
        assert "api_key_variable" in str(caught.value)


def test_user_and_query_of_the_address_are_sent() -> None:
    with serving() as (server, url):
        host = url.removeprefix("http://")
        made = OpenAITeacher(f"http://me:word@{host}/v1?api-version=7", "m", timeout=5.0)
        ask(url, teacher=made)
        assert server.seen[0].path == "/v1/chat/completions?api-version=7"
        assert server.seen[0].headers["authorization"].startswith("Basic ")
        assert "word" not in json.dumps([made.endpoint, made.facts])


def test_unix_socket(tmp_path: Path) -> None:
    with serving(path=tmp_path / "s") as (server, url):
        made = OpenAITeacher(url, "m", None, uds=tmp_path / "s", headers={"x-key": "inner"})
        assert isinstance(ask(url, teacher=made)[0], Reply)
        assert server.seen[0].headers["x-key"] == "inner"
        assert "authorization" not in server.seen[0].headers


# --- keys and models ---------------------------------------------------------------------------


def test_bad_key_is_fatal_in_the_server_s_words_without_the_key() -> None:
    words = f"Incorrect API key provided: {KEY}."
    with serving(scripted(refused(words, 401))) as (server, url):
        found = error(url)
        assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert found.kind == "fatal"
    assert "Incorrect API key provided: [key]." in found.message and KEY not in str(found)


def test_missing_key_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(scripted(refused("no credentials", 401))) as (_, url):
        made = OpenAITeacher(url, "m", None)
        (found,) = ask(url, teacher=made)
    assert "a key is needed" in str(found) and "teacher.api_key_variable" in str(found)


@pytest.mark.parametrize("key", ["sk-\u00e4", "sk-a\nb", "\u201csk-abc\u201d"])
def test_key_that_no_header_can_carry_is_refused_at_once(key: str) -> None:
    with pytest.raises(UsageError, match="characters") as caught:
        OpenAITeacher("http://127.0.0.1/v1", "m", key)
    assert key not in str(caught.value)


UNKNOWN_MODELS = [
    refused("The model `m` does not exist or you do not have access to it.", 404),
    refused("The model 'm' does not exist.", 404, code="model_not_found"),
    [404, {}, '{"object":"error","message":"The model `m` does not exist.","code":404}'],
    [404, {}, '{"error":{"message":"model \\"m\\" not found, try pulling it first"}}'],
    refused("m is not a valid model ID"),
    refused("Model Not Exist"),
    refused("Invalid model: m"),
    refused("The model `m` has been decommissioned and is no longer supported."),
]


@pytest.mark.parametrize("response", UNKNOWN_MODELS)
def test_unknown_model_is_fatal_and_lists_those_on_offer(response: list[Any]) -> None:
    models = {"data": [{"id": "zebra"}, {"id": "mm-chat"}, {"id": "apple"}]}
    with serving(scripted(response)) as (server, url):
        server.special = listing(models)
        made = OpenAITeacher(f"{url}/v1", "mm", KEY, timeout=5.0)
        (found,) = ask(url, teacher=made)
    assert isinstance(found, TeacherError) and found.kind == "fatal"
    assert "has no model 'mm'" in found.message
    assert "it offers mm-chat, apple, zebra" in found.message


def listing(models: Any) -> Any:
    async def special(seen: Seen) -> tuple[int, dict[str, str], bytes] | None:
        if seen.path == "/v1/models" and seen.method == "GET":
            return 200, {}, json.dumps(models).encode()
        return None

    return special


@pytest.mark.parametrize("models", [{"error": "no"}, [], {"data": [1]}, {"data": []}])
def test_unknown_model_without_a_list(models: Any) -> None:
    with serving(scripted(refused("The model `m` does not exist.", 404))) as (server, url):
        server.special = listing(models)
        assert error(f"{url}/v1").message.endswith("does not exist. (404)")


# --- failures ----------------------------------------------------------------------------------

FAILURES: list[tuple[list[Any], str, float | None, str]] = [
    ([429, {"retry-after": "7"}, '{"error":{"message":"slow"}}'], "rate_limit", 7.0, "slow (429)"),
    ([429, {"retry-after-ms": "250"}, "{}"], "rate_limit", 0.25, "429"),
    ([429, {}, '{"error":"busy"}'], "rate_limit", None, "busy (429)"),
    ([429, {"retry-after": "soon"}, "x"], "rate_limit", None, "x (429)"),
    (refused("You exceeded your current quota", 429), "fatal", None, "quota"),
    (refused("x", 429, code="insufficient_quota"), "fatal", None, "x"),
    (refused("Insufficient Balance", 402), "fatal", None, "Balance"),
    (refused("country not supported", 403), "fatal", None, "country not supported (403)"),
    ([500, {}, "oops"], "overloaded", None, "oops (500)"),
    ([502, {"content-type": "text/html"}, "<html><b>Bad</b> gateway"], "overloaded", None, "Bad"),
    ([503, {"retry-after": "3"}, ""], "overloaded", 3.0, "503"),
    ([529, {}, '{"error":{"message":"Overloaded"}}'], "overloaded", None, "Overloaded (529)"),
    ([408, {}, "{}"], "overloaded", None, "408"),
    ([413, {}, '{"message":"too big"}'], "refused", None, "too big (413)"),
    (
        [422, {}, '{"detail":[{"loc":["body","messages"],"msg":"bad"}]}'],
        "refused",
        None,
        "body.messages: bad",
    ),
    (refused("flagged", 400, code="content_filter"), "refused", None, "flagged (400)"),
    (
        refused("This model's maximum context length is 64 tokens, but max_tokens is 99"),
        "refused",
        None,
        "maximum context length",
    ),
    ([200, {}, ""], "overloaded", None, "empty"),
    ([200, {}, "  "], "overloaded", None, "empty"),
    ([200, {}, '{"choices": [{"mess'], "overloaded", None, "not valid JSON"),
    ([200, {}, "data: hello"], "overloaded", None, "not valid JSON"),
    ([200, {}, b'{"choices": "\xff\xfe"}'], "overloaded", None, "not valid JSON"),
    ([200, {}, "[]"], "overloaded", None, "no answer"),
    ([200, {}, '{"choices": []}'], "overloaded", None, "no answer"),
    ([200, {}, '{"choices": [{"text": "x"}]}'], "overloaded", None, "no message"),
    ([200, {}, '{"error":{"message":"no capacity","code":429}}'], "rate_limit", None, "capacity"),
    ([200, {}, '{"error":{"message":"no capacity","code":"x"}}'], "overloaded", None, "capacity"),
    ([200, {}, chat({"content": "x"}, "error")], "overloaded", None, "broke the answer off"),
    ([200, {}, chat({"content": "x"}, "content_filter")], "refused", None, "content filter"),
]


@pytest.mark.parametrize(("response", "kind", "after", "words"), FAILURES)
def test_failures_are_told_apart(
    response: list[Any], kind: str, after: float | None, words: str
) -> None:
    with serving(scripted(*[response] * 9)) as (_, url):
        found = error(f"{url}/v1")
    assert (found.kind, found.retry_after) == (kind, after)
    assert words in found.message


def test_retry_after_may_be_a_date() -> None:
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 20))
    with serving(scripted([429, {"retry-after": later}, "{}"])) as (_, url):
        assert 15 < (error(url).retry_after or 0) <= 20


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("timeout", "no answer within 0.3 s"),
        ("slow_drip", "no answer within 0.3 s"),
        ("dropped", "broke off"),
        ("truncated", "broke off"),
    ],
)
def test_broken_connections_are_worth_another_try(fault: str, words: str) -> None:
    with serving(Plan(rate=1.0, faults=(fault,), hang=5.0)) as (_, url):
        found = error(f"{url}/v1", timeout=0.3)
    assert found.kind == "overloaded" and words in found.message


def test_every_fault_of_the_server_is_an_answer_or_a_known_error() -> None:
    with serving(Plan(rate=0.7, hang=0.5)) as (server, url):
        found = ask(
            f"{url}/v1",
            *[Request(TALK, 200, seed=number) for number in range(120)],
            timeout=0.2,
        )
        assert all(isinstance(one, Reply | TeacherError) for one in found)
        assert len(server.injected) > 15


# --- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "text", "thoughts"),
    [
        ({"content": " A wren. \n"}, "A wren.", ""),
        ({"content": "A wren.", "reasoning_content": "birds"}, "A wren.", "birds"),
        ({"content": "A wren.", "reasoning": "birds"}, "A wren.", "birds"),
        ({"content": "<think>birds\n</think>\n\nA wren."}, "A wren.", "birds"),
        ({"content": "birds, hm</think>A wren."}, "A wren.", "birds, hm"),
        (
            {"content": [{"type": "text", "text": "A "}, {"type": "text", "text": "wren."}]},
            "A wren.",
            "",
        ),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "birds"}]},
                    {"type": "text", "text": "A wren."},
                ]
            },
            "A wren.",
            "birds",
        ),
        ({"content": None, "refusal": "I won't."}, "I won't.", ""),
        ({"content": "Ein Spatz \u00e4\u6587."}, "Ein Spatz \u00e4\u6587.", ""),
    ],
)
def test_answer_and_thoughts_are_kept_apart(
    message: dict[str, Any], text: str, thoughts: str
) -> None:
    with serving(scripted([200, {}, chat(message)])) as (_, url):
        found = reply(url)
    assert (found.text, found.reasoning) == (text, thoughts)


@pytest.mark.parametrize(
    "message",
    [
        {"content": ""},
        {"content": None},
        {"content": "  \n"},
        {"content": None, "reasoning_content": "Let me think."},
        {"content": "<think>Let me think, and think"},
        {"content": "<think>done</think>"},
    ],
)
def test_thoughts_alone_are_no_answer_but_are_paid_for(message: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 30}
    with serving(scripted([200, {}, chat(message, "stop", usage=usage)])) as (_, url):
        found = error(url)
    assert isinstance(found, EmptyAnswer) and found.kind == "overloaded"
    assert (found.reply.prompt_tokens, found.reply.token_count) == (9, 30)
    assert ("thoughts" in found.message) == ("think" in json.dumps(message))
    with serving(scripted([200, {}, chat(message, "length", usage=usage)])) as (_, url):
        cut = reply(url)
    assert (cut.text, cut.finish_reason, cut.token_count) == ("", "length", 30)


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("stop", "stop"),
        ("length", "length"),
        (None, "stop"),
        ("eos", "stop"),
        ("max_tokens", "length"),
    ],
)
def test_finish_reasons_by_their_different_names(reason: str | None, wanted: str) -> None:
    with serving(scripted([200, {}, chat({"content": "x"}, reason)])) as (_, url):
        assert reply(url).finish_reason == wanted


@pytest.mark.parametrize(
    ("usage", "prompt", "least"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 3}, 12, 3),
        (None, None, 1),
        ({}, None, 1),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None, 1),
        ("odd", None, 1),
    ],
)
def test_counts_that_are_not_told_stay_unknown(usage: Any, prompt: int | None, least: int) -> None:
    with serving(scripted([200, {}, chat({"content": "A wren."}, usage=usage)])) as (_, url):
        found = reply(url)
    assert found.prompt_tokens == prompt and found.token_count >= least


# --- what an endpoint understands --------------------------------------------------------------


def test_everything_is_sent_at_first() -> None:
    with serving() as (server, url):
        reply(url, LIST)
        body = server.seen[-1].body
    assert body["model"] == "m" and body["max_tokens"] == 400 and body["seed"] == 5
    assert body["messages"][0]["role"] == "system" and body["temperature"] == 1.0
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["schema"]["type"] == "object"


def test_another_sample_has_another_seed() -> None:
    with serving() as (server, url):
        ask(url, PLAIN, Request(TALK, 40, seed=5, sample=1), Request(TALK, 40, sample=2))
        assert [seen.body.get("seed") for seen in server.seen] == [5, 6, None]


NAMED: list[tuple[str, dict[str, Any], Any]] = [
    (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
        " 'max_completion_tokens' instead.",
        {"param": "max_tokens"},
        lambda b: b.get("max_completion_tokens") == 400 and "max_tokens" not in b,
    ),
    ("Unknown parameter: 'seed'", {"param": "seed"}, lambda b: "seed" not in b),
    ("property 'seed' is unsupported", {}, lambda b: "seed" not in b),
    (
        "Unsupported value: 'temperature' does not support 1.0 with this model.",
        {"param": "temperature"},
        lambda b: "temperature" not in b,
    ),
    (
        "System role not supported",
        {},
        lambda b: b["messages"] == [{"role": "user", "content": "Be brief.\n\nName a bird."}],
    ),
    (
        "Conversation roles must alternate user/assistant/user/assistant/...",
        {},
        lambda b: b["messages"][0]["role"] == "user",
    ),
    (
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
        {"param": "response_format"},
        lambda b: (
            b["response_format"] == {"type": "json_object"}
            and "JSON" in b["messages"][-1]["content"]
        ),
    ),
]


@pytest.mark.parametrize(("words", "more", "mended"), NAMED)
def test_what_a_refusal_names_is_written_otherwise_and_remembered(
    words: str, more: dict[str, Any], mended: Any
) -> None:
    with serving(scripted()) as (server, url):
        server.special = unless(mended, refused(words, **more))
        made = OpenAITeacher(f"{url}/v1", "m", timeout=5.0)
        found = ask(url, LIST, LIST, teacher=made)
        assert all(isinstance(one, Reply) for one in found)
        assert len(server.seen) == 3
        first, last = server.seen[0].body, server.seen[-1].body
        others = {"seed", "temperature", "response_format"} & first.keys()
        assert sum(name not in last for name in others) <= 1  # nothing else was given up
        later = OpenAITeacher(f"{url}/v1", "m", timeout=5.0, remembered=made.facts)
        ask(url, LIST, teacher=later)
        assert len(server.seen) == 4
        assert json.loads(json.dumps(made.facts)) == made.facts


def unless(fine: Any, response: list[Any]) -> Any:
    async def special(seen: Seen) -> tuple[int, dict[str, str], bytes] | None:
        status, headers, body = response
        return None if fine(seen.body) else (status, headers, body.encode())

    return special


def test_a_server_that_only_says_bad_request_is_asked_more_and_more_humbly() -> None:
    def bare(body: dict[str, Any]) -> bool:
        return not {"response_format", "seed"} & body.keys()

    with serving() as (server, url):
        server.special = unless(bare, [400, {}, "Bad Request"])
        made = OpenAITeacher(f"{url}/v1", "m", timeout=5.0)
        ask(url, LIST, PLAIN, teacher=made)
        tried = [seen.body for seen in server.seen]
        assert [b.get("response_format", {}).get("type") for b in tried[:3]] == [
            "json_schema",
            "json_object",
            None,
        ]
        assert len(tried) == 5 and "max_tokens" in tried[-1]
        assert "<json>" in tried[3]["messages"][-1]["content"]


def test_a_refusal_by_a_server_that_understands_is_not_argued_with() -> None:
    refusal = refused("I do not like the seed of this question")
    with serving(Plan(script={"like": [refusal] * 9})) as (server, url):
        liked = Request(({"role": "user", "content": "What do you like?"},), 40, 0.7, 5)
        made = OpenAITeacher(f"{url}/v1", "m", timeout=5.0)
        first, second = ask(url, PLAIN, liked, teacher=made)
        assert isinstance(first, Reply)
        assert isinstance(second, TeacherError) and second.kind == "refused"
        assert len(server.seen) == 2


def test_a_refusal_that_nothing_mends_leaves_no_trace() -> None:
    with serving(scripted(*[refused(f"bad {number}") for number in range(20)])) as (server, url):
        made = OpenAITeacher(f"{url}/v1", "m", timeout=5.0)
        (found,) = ask(url, PLAIN, teacher=made)
        assert isinstance(found, TeacherError) and found.message == "bad 0 (400)"
        assert len(server.seen) <= 8
        assert set(made.facts or {}) <= {"path"}


@pytest.mark.parametrize(
    ("level", "answer"),
    [
        ("json_schema", '{"items": ["a", "b"]}'),
        ("json_object", '{"items": ["a", "b"]}'),
        ("text", 'Here it is:\n<json>\n["a", "b"]\n</json>'),
        ("text", '["a", "b"]'),
    ],
)
def test_a_list_comes_back_as_a_list_however_it_was_asked_for(level: str, answer: str) -> None:
    facts = {"dialect": {"schema": level}, "path": "/v1"}
    with serving(scripted([200, {}, chat({"content": answer})])) as (_, url):
        made = OpenAITeacher(url, "m", timeout=5.0, remembered=facts)
        (found,) = ask(url, LIST, teacher=made)
    assert isinstance(found, Reply) and json.loads(found.text) == ["a", "b"]


def test_a_question_that_is_too_long_is_not_sent_again() -> None:
    words = "'max_tokens' is too large: this model's context length is 64"
    with serving(scripted(*[refused(words)] * 9)) as (server, url):
        assert error(f"{url}/v1").kind == "refused"
        assert len(server.seen) == 1


def test_calls_in_flight_learn_from_each_other() -> None:
    late = Request(({"role": "user", "content": "late"},), 40, seed=1, schema=LIST.schema)

    async def special(seen: Seen) -> tuple[int, dict[str, str], bytes] | None:
        if not {"response_format", "seed"} & seen.body.keys():
            return None
        if seen.body["messages"][0]["content"].startswith("late"):
            await asyncio.sleep(0.3)
        return 400, {}, b"Bad Request"

    async def story(url: str) -> Sequence[Reply]:
        async with OpenAITeacher(f"{url}/v1", "m", timeout=5.0) as teacher:
            return await asyncio.gather(teacher.reply(late), teacher.reply(LIST))

    with serving() as (server, url):
        server.special = special
        assert all(found.text for found in asyncio.run(story(url)))
        asked = ["late" in json.dumps(seen.body) for seen in server.seen]
        assert (asked.count(False), asked.count(True)) == (4, 2)


# --- from the persona file ---------------------------------------------------------------------


def section(**fields: Any) -> Teacher:
    return Teacher(type="openai", **fields)


def test_key_comes_from_the_environment_and_goes_where_it_belongs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("OTHER_KEY", " sk-other\n")
    with serving() as (server, url):
        for fields in ({}, {"api_key_variable": "OTHER_KEY"}):
            made = OpenAITeacher.of(section(base_url=url, model="m", **fields), None)
            ask(url, teacher=made)
        sent = [seen.headers.get("authorization") for seen in server.seen]
        # a release keeps its persona with every default written out
        for fields in ({}, {"api_key_variable": "OPENAI_API_KEY"}):
            written = section(base_url=url, model="m", **fields).model_dump(mode="json")
            ask(url, teacher=OpenAITeacher.of(Teacher.model_validate(written), None))
        sent += [seen.headers.get("authorization") for seen in server.seen[2:]]
    assert sent == [None, "Bearer sk-other", None, "Bearer sk-openai"]
    made = OpenAITeacher.of(section(model="m"), None)
    assert made.endpoint == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({}, "teacher.model"),
        ({"model": "m"}, "teacher.api_key_variable"),
        ({"model": "m", "base_url": "https://api.openai.com"}, "teacher.api_key_variable"),
        (
            {"model": "m", "base_url": "http://h", "api_key_variable": "NOT_SET"},
            "teacher.api_key_variable",
        ),
        ({"model": "m", "base_url": "nonsense://"}, "teacher.base_url"),
        (
            {"model": "m", "base_url": "nonsense://", "api_key_variable": "NOT_SET"},
            "teacher.base_url",
        ),
    ],
)
def test_what_is_missing_is_said_before_anything_is_sent(
    fields: dict[str, Any], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError) as caught:
        OpenAITeacher.of(section(**fields), None)
    assert caught.value.where == where and caught.value.hint
