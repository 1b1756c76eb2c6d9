"""Keys: shown once, stored as hashes, scoped, limited, and revoked while the endpoint runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from factory.errors import FactoryError, UsageError
from serve.app import serve as run_server
from serve.doorkeeper import INTERVAL, Client, Doorkeeper
from serve.keys import FILE, Keyring, lifetime
from serve.limits import Limits
from serve.logs import log_file
from serve.protocol import ApiError
from tests.serve.conftest import MakeRelease, Serve, ask, sdk

CHAT = "/v1/chat/completions"
HI = {"model": "brief", "messages": ask("Hi")}
OPERATOR = "operator-sesame-4410"


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def admitted(door: Doorkeeper, **headers: str) -> Client:
    return asyncio.run(door.admit({name.replace("_", "-"): v for name, v in headers.items()}))


def refused(door: Doorkeeper, **headers: str) -> str:
    with pytest.raises(ApiError) as caught:
        admitted(door, **headers)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert caught.value.headers["www-authenticate"] == "Bearer"
    return caught.value.message


# --- the keyring -------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_its_text_is_nowhere_at_home(factory_home: Path) -> None:
    ring = Keyring(factory_home)
    text, key = ring.create("ann", personas=["brief", "brief"], limits=Limits(60, None, 2))
    assert text.startswith(f"pf-{key.id}-")
    secret = text.removeprefix(f"pf-{key.id}-")
    assert len(secret) == 48 and len({ring.create()[0] for _ in range(5)}) == 5
    files = [file for file in factory_home.rglob("*") if file.is_file()]
    assert files
    for file in files:
        assert secret.encode() not in file.read_bytes()
        assert bytes.fromhex(secret) not in file.read_bytes()
    found = next(k for k in ring.stored() if k.id == key.id)
    assert found == key
    assert (found.label, found.personas, found.limits) == ("ann", ("brief",), Limits(60, None, 2))


def test_a_revoked_key_stays_revoked_and_is_found_by_its_id_or_its_text(factory_home: Path) -> None:
    ring = Keyring(factory_home, now=lambda: 50.0)
    text, key = ring.create()
    _, other = ring.create()
    ring.revoke(text)  # as found in somebody's notes
    Keyring(factory_home, now=lambda: 99.0).revoke(key.id)
    assert {k.id: k.revoked for k in ring.stored()} == {key.id: 50.0, other.id: None}
    with pytest.raises(UsageError) as caught:
        ring.revoke("pf-12345678-and-the-secret-of-a-key")
    assert "secret" not in str(caught.value)
    assert caught.value.allowed == other.id


@pytest.mark.parametrize("text, seconds", [("30m", 1800), ("12h", 43200), ("30d", 2592000), ("36500d", 3153600000)])  # fmt: skip
def test_lifetimes(text: str, seconds: float) -> None:
    assert lifetime(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "30", "0d", "-1d", "1.5h", "soon", "30y", "\u00b2d",
                                  "36501d", "9999999d", "9" * 5000 + "d"])  # fmt: skip
def test_what_is_no_lifetime(text: str) -> None:
    with pytest.raises(UsageError, match="no length of time"):
        lifetime(text)


# --- the doorkeeper ----------------------------------------------------------------------------


def test_without_any_key_everybody_is_local(factory_home: Path) -> None:
    door = Doorkeeper(Keyring(factory_home), operator="  ", defaults=Limits(5))
    assert not door.locked
    assert admitted(door) == Client("local", limits=Limits(5))
    assert admitted(door, authorization="Bearer sk-whatever-a-ui-sends").id == "local"
    assert not (factory_home / FILE).exists()  # looking writes nothing


def test_a_key_opens_in_both_headers_and_nothing_else_does(factory_home: Path) -> None:
    ring = Keyring(factory_home)
    text, key = ring.create(limits=Limits(tokens=7))
    door = Doorkeeper(ring, operator=f" {OPERATOR}\n", defaults=Limits(60, 9, 3))
    expected = Client(key.id, limits=Limits(60, 7, 3))
    assert admitted(door, authorization=f"Bearer {text}") == expected
    assert admitted(door, authorization=f"  bearer   {text}  ") == expected
    assert admitted(door, x_api_key=f" {text} ") == expected
    assert admitted(door, authorization="Bearer ", x_api_key=text) == expected
    assert admitted(door, authorization=f"Bearer {OPERATOR}") == Client("operator")  # no limits
    wrong = [
        "", text[:-1], text + "0", text.upper(), f"pf-{key.id}-", f"pf-{key.id}", key.id,
        text.replace(key.id, "00000000"), OPERATOR[:-1], "pf-", "s\u00e9same", key.digest.hex(),
    ]  # fmt: skip
    for given in wrong:
        message = refused(door, authorization=f"Bearer {given}")
        assert not given or given not in message
        refused(door, x_api_key=given)
    refused(door)
    refused(door, authorization=f"Basic {text}")
    refused(door, authorization=text)


def test_a_key_that_is_not_ascii_is_compared_as_the_bytes_that_came() -> None:
    door = Doorkeeper(operator="s\u00e9same-\u2713")
    sent = "s\u00e9same-\u2713".encode().decode("latin-1")  # what an ASGI server makes of it
    assert admitted(door, x_api_key=sent).id == "operator"
    refused(door, x_api_key="s\u00e9same-\u00bf")


def test_a_key_expires_without_being_looked_at_again(factory_home: Path) -> None:
    today = Clock()
    text, key = Keyring(factory_home, today).create(lifetime=lifetime("1d"))
    door = Doorkeeper(Keyring(factory_home, today))
    today.now += 86399
    assert admitted(door, x_api_key=text).id == key.id
    today.now += 1
    assert "expired" in refused(door, x_api_key=text)
    assert door.locked


def test_a_change_takes_effect_within_the_interval_and_costs_a_look_at_most(
    factory_home: Path,
) -> None:
    clock, looks = Clock(), []

    class Watched(Keyring):
        def mark(self) -> tuple[Any, ...]:
            looks.append(clock.now)
            return super().mark()

    ring = Keyring(factory_home)
    first, _ = ring.create()
    door = Doorkeeper(Watched(factory_home), clock=clock)
    looks.clear()
    for _ in range(500):
        admitted(door, x_api_key=first)
    assert looks == []
    for _ in range(20):  # whatever lies between them, no change is missed
        text, key = ring.create()
        clock.now += INTERVAL
        assert admitted(door, x_api_key=text).id == key.id
        ring.revoke(key.id)
        clock.now += INTERVAL
        assert "revoked" in refused(door, x_api_key=text)
    assert len(looks) == 40


def test_a_second_change_that_leaves_the_file_s_facts_as_they_were_is_not_missed(
    factory_home: Path,
) -> None:
    class Coarse(Keyring):
        """Its file's clock ticks so slowly that two changes fall into one tick."""

        tick = 0

        def mark(self) -> tuple[Any, ...]:
            return (self.tick,)

    clock, ring = Clock(), Coarse(factory_home)
    door = Doorkeeper(ring, clock=clock)
    for _ in range(3):
        ring.tick += 1
        text, key = ring.create()
        clock.now += INTERVAL
        assert admitted(door, x_api_key=text).id == key.id
        ring.revoke(key.id)  # in the same tick
        clock.now += INTERVAL
        refused(door, x_api_key=text)


def test_keys_that_did_not_change_are_not_read_again(
    factory_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, ring = Clock(), Keyring(factory_home)
    text, _ = ring.create()
    door = Doorkeeper(ring, clock=clock)
    for _ in range(4):
        clock.now += INTERVAL
        admitted(door, x_api_key=text)
    before = ring.mark()
    reads: list[int] = []
    monkeypatch.setattr(ring, "stored", lambda: reads.append(1))
    for _ in range(10):
        clock.now += INTERVAL
        admitted(door, x_api_key=text)
    assert reads == [] and ring.mark() == before


def test_revoking_the_last_key_does_not_open_the_door(factory_home: Path) -> None:
    clock, ring = Clock(), Keyring(factory_home)
    door = Doorkeeper(ring, clock=clock)
    assert admitted(door).id == "local"
    text, key = ring.create()
    clock.now += INTERVAL
    refused(door)
    ring.revoke(key.id)
    clock.now += INTERVAL
    refused(door)
    refused(door, x_api_key=text)
    (factory_home / FILE).unlink()
    clock.now += INTERVAL
    refused(door)


def test_keys_that_cannot_be_read_stop_the_start_and_leave_a_running_endpoint_as_it_was(
    factory_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, ring = Clock(), Keyring(factory_home)
    text, key = ring.create()
    door = Doorkeeper(ring, clock=clock)
    (factory_home / FILE).write_bytes(b"this is no database, whatever its name says" * 99)
    clock.now += INTERVAL
    assert admitted(door, x_api_key=text).id == key.id
    assert "keys cannot be read" in caplog.text and text not in caplog.text
    with pytest.raises(FactoryError, match="the file of keys cannot be read"):
        Doorkeeper(ring)


# --- a running endpoint ------------------------------------------------------------------------


def test_a_scoped_key_sees_and_reaches_its_personas_only(
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    release()
    release(name="other")
    text, _ = Keyring(factory_home).create(personas=["brief"])
    with serve("brief", "other", key=OPERATOR) as url, sdk(url, text) as client:
        assert [m.id for m in client.models.list()] == ["brief"]
        assert client.models.retrieve("brief").id == "brief"
        for model in ("brief", "brief@1"):
            assert client.chat.completions.create(model=model, messages=ask("Hi")).choices
        for model in ("other", "other@1", "nobody", ""):
            for path, body in (
                (CHAT, {**HI, "model": model}),
                ("/v1/completions", {"prompt": "x", "model": model}),
                ("/v1/responses", {"input": "x", "model": model}),
            ):
                found = httpx.post(url + path, json=body, headers=bearer(text))
                assert found.status_code == 403
                assert found.json()["error"]["code"] == "persona_not_allowed"
                assert found.json()["error"]["param"] == "model"
        with pytest.raises(openai.PermissionDeniedError):
            client.models.retrieve("other")
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model="brief@9", messages=ask("Hi"))
        assert "brief" in caught.value.message and "other" not in caught.value.message
        with sdk(url, OPERATOR) as operator:
            assert [m.id for m in operator.models.list()] == ["brief", "other"]


def factory(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "factory", *arguments],
        capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def test_the_commands_make_show_and_revoke_keys_of_a_running_endpoint(
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    release()
    assert "no keys yet" in factory("keys", "list").stdout
    with serve("brief") as url:
        assert httpx.post(url + CHAT, json=HI).status_code == 200
        made = factory(
            "keys", "create", "--name", "ann's laptop", "--persona", "brief", "--expires", "30d",
            "--rpm", "60", "--tpm", "5000", "--streams", "2",
        )  # fmt: skip
        text = made.stdout.strip()  # nothing else is on stdout
        assert made.returncode == 0 and text.startswith("pf-") and "\n" not in text
        with httpx.Client(headers=bearer(text)) as client:
            assert _becomes(url, {}, 401)  # needed now, on this machine, too
            answer = client.post(url + CHAT, json=HI)
            assert answer.status_code == 200
            assert answer.headers["x-ratelimit-limit-requests"] == "60"
            listed = factory("keys", "list").stdout
            id = text.split("-")[1]
            for shown in (id, "ann's laptop", "active", "rpm 60, tpm 5000, streams 2"):
                assert shown in listed
            assert text not in listed and text.split("-")[2] not in listed
            _, second = Keyring(factory_home).create()
            assert factory("keys", "revoke", id).stdout == f"revoked {id} ann's laptop\n"
            assert "until it is started again" in factory("keys", "revoke", second.id).stdout
            assert _becomes(url, bearer(text), 401)
            assert "revoked" in factory("keys", "list").stdout
    before = Keyring(factory_home).stored()
    for wrong, hint in (
        ("breif", "did you mean brief?"),
        ("brief@1", "leave the number out: brief"),
    ):
        done = factory("keys", "create", "--persona", "brief", "--persona", wrong)
        assert done.returncode == 2 and hint in done.stderr and not done.stdout
    assert Keyring(factory_home).stored() == before
    done = factory("keys", "revoke", "12345678")
    assert done.returncode == 2 and "no such key" in done.stderr
    assert factory("keys", "create", "--rpm", "0").returncode == 2


def _becomes(url: str, headers: dict[str, str], status: int) -> bool:
    """Whether the answer has this status within a few of the doorkeeper's looks."""
    until = time.monotonic() + 10 * INTERVAL
    while time.monotonic() < until:
        if httpx.post(url + CHAT, json=HI, headers=headers).status_code == status:
            return True
        time.sleep(0.1)
    return False


def test_the_key_is_checked_on_the_routed_path(
    release: MakeRelease, serve: Serve, factory_home: Path
) -> None:
    release()
    Keyring(factory_home).create()
    with serve("brief") as url:
        for host in ("x/?", "x/healthz?", "x/healthz#", "localhost", "a b"):
            for path in (
                "/v1/models",
                "//v1//models/",
                "/models",
                "/v1/models/brief",
                "/healthz/../v1/models",
            ):
                found = httpx.get(url + path, headers={"host": host})
                assert found.status_code in (400, 401, 404)
                assert "brief" not in found.text
            assert httpx.post(url + CHAT, json=HI, headers={"host": host}).status_code == 401
        for path in (CHAT, "/chat/completions", "/v1/completions", "/v1/responses", "/responses"):
            assert httpx.post(url + path, json=HI).status_code == 401
            asked = {"origin": "https://ui.example", "access-control-request-method": "POST"}
            assert httpx.options(url + path, headers=asked).status_code == 200
        for path in ("/healthz", "/readyz"):
            assert httpx.get(url + path).status_code == 200


def test_no_key_is_in_the_logs(
    release: MakeRelease, serve: Serve, factory_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    release()
    text, key = Keyring(factory_home).create()
    with log_file(factory_home), serve("brief", key=OPERATOR) as url:
        for given in (text, OPERATOR, "pf-wrong-secret"):
            httpx.post(url + CHAT, json=HI, headers=bearer(given))
            httpx.post(url + CHAT, content="{", headers={"x-api-key": given})
    log = (factory_home / "logs" / "serve.log").read_text() + caplog.text
    assert f'"client":"{key.id}"' in log and '"client":"operator"' in log
    for secret in (text, text.split("-")[2], OPERATOR, "wrong-secret"):
        assert secret not in log


@pytest.mark.parametrize("key", [None, "", "  \n"])
def test_other_machines_are_let_in_only_with_a_usable_key(
    factory_home: Path, key: str | None
) -> None:
    def start() -> str:
        """Nothing is released here, so a start that is not refused at the door fails after it."""
        with pytest.raises(UsageError) as caught:
            run_server(
                factory_home, ["brief"], host="0.0.0.0", port=0, key=key, engine="echo",
                allow_ungated=False, announce=lambda _: None,
            )  # fmt: skip
        return str(caught.value)

    ring = Keyring(factory_home)
    assert "factory keys create" in start()
    _, revoked = ring.create()
    ring.revoke(revoked.id)
    Keyring(factory_home, now=lambda: 1000.0).create(lifetime=60)
    assert "factory keys create" in start()
    ring.create()
    assert "brief" in start() and "needs a key" not in start()
