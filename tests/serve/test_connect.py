"""What `factory connect` prints is a file of its kind, and works as it is printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from factory.cli import app
from factory.errors import FactoryError, UsageError
from serve.connect.clients import CLIENTS, HIDDEN, settings
from tests.serve.conftest import WINDOW, MakeRelease, Serve

KEY = "sk-live'$HOME-0123456789"
"""A key that any unquoted shell would mangle."""


@dataclass(frozen=True, slots=True)
class Live:
    """A running endpoint with two personas."""

    url: str
    key: str | None

    def settings(self, client: str, persona: str | None = "brief", show_key: bool = False) -> str:
        return settings(client, url=self.url, persona=persona, key=self.key, show_key=show_key)

    @property
    def shown(self) -> str:
        """What stands for the key where it was not asked for."""
        return HIDDEN if self.key else "none"


@pytest.fixture(params=[None, KEY], ids=["open", "keyed"])
def live(request: pytest.FixtureRequest, release: MakeRelease, serve: Serve) -> Iterator[Live]:
    release()
    release(name="adviser", window=2 * WINDOW)
    with serve("adviser", "brief", key=request.param) as url:
        yield Live(url, request.param)


def variables(text: str) -> dict[str, str]:
    """An environment file; every other line must be a comment or empty."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z_]+=\S+", line) for line in lines), text
    return dict(line.split("=", 1) for line in lines)


def yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def execute(command: list[str], text: str, key: str | None) -> str:
    """Run what was printed, with the key where it says that it looks for one."""
    environment = {**os.environ, "FACTORY_API_KEY": key or ""}
    done = subprocess.run(
        command,
        input=text,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_script_prints_an_answer(live: Live) -> None:
    output = execute([sys.executable, "-"], live.settings("python"), live.key)
    assert output == "echo: Tea or coffee?\n"


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_the_node_script_prints_an_answer(live: Live) -> None:
    output = execute(["node", "--input-type=module", "-"], live.settings("node"), live.key)
    assert output == "echo: Tea or coffee?\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_shell_command_prints_an_answer(live: Live) -> None:
    answer = json.loads(execute(["bash", "-eu"], live.settings("curl"), live.key))
    assert answer["model"] == "brief"
    assert answer["choices"][0]["message"]["content"] == "echo: Tea or coffee?"


def test_the_shown_key_survives_the_shell(live: Live) -> None:
    shown = live.settings("curl", show_key=True)
    exports = [line.removeprefix("# ") for line in shown.splitlines() if "export " in line]
    assert len(exports) == (1 if live.key else 0)
    for export in exports:
        assert execute(["bash", "-c", f'{export}; printf %s "$FACTORY_API_KEY"'], "", None) == KEY


def test_open_webui(live: Live) -> None:
    found = variables(live.settings("open-webui"))
    assert found["OPENAI_API_BASE_URLS"] == f"{live.url}/v1"
    assert found["OPENAI_API_KEYS"] == live.shown
    assert found["DEFAULT_MODELS"] == "brief"


def test_librechat(live: Live) -> None:
    text = live.settings("librechat")
    (endpoint,) = yaml(text)["endpoints"]["custom"]
    assert endpoint["baseURL"] == f"{live.url}/v1"
    assert endpoint["apiKey"] == "${FACTORY_API_KEY}"
    assert f"#   FACTORY_API_KEY={live.shown}\n" in text
    assert endpoint["models"] == {"default": ["adviser", "brief"], "fetch": True}
    windows = {name: entry["context"] for name, entry in endpoint["tokenConfig"].items()}
    assert windows == {"adviser": 2 * WINDOW, "brief": WINDOW}


def test_lobechat(live: Live) -> None:
    found = variables(live.settings("lobechat"))
    assert found["OPENAI_PROXY_URL"] == f"{live.url}/v1"
    assert found["OPENAI_API_KEY"] == live.shown
    listed = f"-all,+adviser=adviser<{2 * WINDOW}>,+brief=brief<{WINDOW}>"
    assert found["OPENAI_MODEL_LIST"] == listed
    assert found["SYSTEM_AGENT"] == "default=openai/brief"


def test_continue(live: Live) -> None:
    config = yaml(live.settings("continue"))
    assert config["schema"] == "v1"
    assert [model["model"] for model in config["models"]] == ["adviser", "brief"]
    model = config["models"][1]
    assert (model["provider"], model["apiBase"]) == ("openai", f"{live.url}/v1")
    assert model["apiKey"] == live.shown
    assert model["defaultCompletionOptions"] == {
        "contextLength": WINDOW,
        "maxTokens": WINDOW // 4,
    }


def test_chat_ui(live: Live) -> None:
    found = variables(live.settings("chat-ui"))
    expected = {"OPENAI_BASE_URL": f"{live.url}/v1", "OPENAI_API_KEY": live.shown}
    assert found == {**expected, "TASK_MODEL": "brief"}


def test_anythingllm(live: Live) -> None:
    found = variables(live.settings("anythingllm"))
    assert found == {
        "LLM_PROVIDER": "generic-openai",
        "GENERIC_OPEN_AI_BASE_PATH": f"{live.url}/v1",
        "GENERIC_OPEN_AI_API_KEY": live.shown,
        "GENERIC_OPEN_AI_MODEL_PREF": "brief",
        "GENERIC_OPEN_AI_MODEL_TOKEN_LIMIT": str(WINDOW),
        "GENERIC_OPEN_AI_MAX_TOKENS": str(WINDOW // 4),
    }


@pytest.mark.parametrize("client", ["sillytavern", "chatbox"])
def test_clients_without_a_file_get_every_field(client: str, live: Live) -> None:
    words = {word.strip(",.") for word in live.settings(client).split()}
    assert {f"{live.url}/v1", live.shown, "brief", str(WINDOW), str(WINDOW // 4)} <= words


def test_the_key_is_printed_only_when_asked_for(live: Live) -> None:
    for client in CLIENTS:
        assert KEY not in live.settings(client).replace("'\"'\"'", "'")
        shown = live.settings(client, show_key=True).replace("'\"'\"'", "'")
        assert (KEY in shown) == (live.key is not None), client


def test_a_page_that_ends_in_v1_or_a_slash_is_the_same_endpoint(live: Live) -> None:
    texts = {
        settings("curl", url=f"{live.url}{end}", persona=None, key=live.key, show_key=False)
        for end in ("", "/", "/v1", "/v1/")
    }
    assert len(texts) == 1
    assert '"model": "adviser"' in texts.pop()  # the first one served, where none was named


def test_a_persona_that_is_not_served_is_answered_with_those_that_are(live: Live) -> None:
    with pytest.raises(UsageError) as caught:
        live.settings("curl", persona="grumpy")
    assert caught.value.allowed == "adviser, brief"


def test_a_missing_and_a_wrong_key_are_told_apart(release: MakeRelease, serve: Serve) -> None:
    release()
    with serve("brief", key=KEY) as url:
        with pytest.raises(UsageError, match="wants a key") as caught:
            settings("curl", url=url, persona=None, key=None, show_key=False)
        assert "FACTORY_API_KEY" in str(caught.value.hint)
        with pytest.raises(UsageError, match="refuses the key"):
            settings("curl", url=url, persona=None, key="another", show_key=False)


def test_an_open_endpoint_never_sees_the_key() -> None:
    seen: list[str | None] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"data": [{"id": "gpt"}]}')

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.handle_request).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(FactoryError, match="not a Persona Factory endpoint"):
            settings("curl", url=url, persona=None, key=KEY, show_key=True)
    assert seen == [None]


@pytest.mark.parametrize(
    ("url", "what"),
    [("http://127.0.0.1:1", "no endpoint answers"), ("127.0.0.1:8000", "no address")],
)
def test_where_no_endpoint_is_one_error_says_what_to_do(url: str, what: str) -> None:
    with pytest.raises(FactoryError, match=what):
        settings("curl", url=url, persona=None, key=None, show_key=False)


def test_the_command_lists_clients_and_prints_settings(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = CliRunner().invoke(app, ["connect"]).output
    assert [line.split()[0] for line in listed.splitlines()] == list(CLIENTS)
    monkeypatch.setenv("FACTORY_API_KEY", live.key or "")
    printed = CliRunner().invoke(
        app, ["connect", "continue", "--url", live.url, "--persona", "brief", "--show-key"]
    )
    assert yaml(printed.output)["models"][1]["apiKey"] == (live.key or "none")


def test_an_unknown_client_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        settings("openwebui", url="http://127.0.0.1:1", persona=None, key=None, show_key=False)
    assert caught.value.hint == "did you mean open-webui?"
