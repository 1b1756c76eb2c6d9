"""OpenTelemetry: spans as a collector gets them, over real OTLP, and nothing of it unless it is asked for."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from factory.chat import ChatFormat
from factory.contracts import Endpoint
from serve.app import create_app
from serve.doorkeeper import Doorkeeper
from serve.fleet import Fleet
from serve.listening import claim_port, running
from serve.served import Served
from serve.spans import WHERE, traced
from tests.serve.conftest import CANARY, make_release, sdk
from tests.serve.test_metrics import CHAT, SECRET, read_until, request, watched

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A collector on this machine; yields the bodies it was sent."""
    bodies: list[bytes] = []

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv(WHERE, f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    try:
        yield bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def spans(bodies: list[bytes]) -> list[Span]:
    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    return [
        span
        for one in requests
        for resource in one.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def attributes(span: Span) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def test_a_collector_gets_one_span_for_every_request(
    factory_home: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector(monkeypatch) as bodies:
        with (
            traced(lambda line: pytest.fail(line)) as observers,
            watched(factory_home, tiny_llama, observers=observers) as (url, _),
        ):
            httpx.post(f"{url}{CHAT}", json=request(), headers={"traceparent": PARENT})
            with sdk(url) as client:
                list(client.chat.completions.create(**request(stream=True)))
            ids = [httpx.get(f"{url}/v1/models/nobody").headers["x-request-id"]]
            httpx.get(f"{url}/healthz")
            read_until(url, SECRET, messages=[{"role": "user", "content": "slowly"}])
        found = spans(bodies)
    assert [span.name for span in found] == [
        "chat brief", "chat brief", "GET /v1/models/{model:path}", "chat brief",
    ]  # fmt: skip
    assert all(span.kind == Span.SPAN_KIND_SERVER for span in found)
    assert found[0].trace_id.hex() == PARENT.split("-")[1]
    assert found[0].parent_span_id.hex() == PARENT.split("-")[2]
    assert not found[1].parent_span_id
    whole, stream, missing, left = map(attributes, found)
    assert whole["gen_ai.operation.name"] == "chat"
    assert whole["gen_ai.request.model"] == "brief"
    assert whole["gen_ai.response.model"] == "brief@1"
    assert whole["gen_ai.usage.input_tokens"] == 5
    assert whole["gen_ai.usage.output_tokens"] == 3
    assert whole["http.response.status_code"] == 200
    assert whole["http.route"] == CHAT
    assert stream["gen_ai.request.stream"] and stream["gen_ai.response.time_to_first_chunk"] > 0
    assert missing["error.type"] == "model_not_found"
    assert missing["persona_factory.request_id"] == ids[0]
    assert left["persona_factory.outcome"] == "client_left"
    for private in (CANARY, SECRET):
        assert not any(private.encode() in body for body in bodies)
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for span in found)
    assert all(span.status.code == Status.STATUS_CODE_UNSET for span in found)


def test_the_engine_is_told_the_span(
    factory_home: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second gateway stands where an engine would: its span hangs below the first one's."""
    with collector(monkeypatch) as bodies:
        with (
            traced(lambda line: pytest.fail(line)) as observers,
            watched(factory_home, tiny_llama, observers=observers) as (behind, _),
        ):
            facts = make_release(factory_home, tiny_llama, name="front").facts()
            served = Served.of(facts, gated=True, format=ChatFormat.load(tiny_llama))
            front = Fleet({"front": (served, Endpoint(base_url=behind, model="brief"))})
            app = create_app(front, Doorkeeper(), observers=observers)
            with claim_port("127.0.0.1", 0, keyed=False) as door, running(app, door):
                url = f"http://127.0.0.1:{door.getsockname()[1]}"
                answer = httpx.post(f"{url}{CHAT}", json={**request(), "model": "front"})
                assert answer.status_code == 200
        inner, outer = spans(bodies)
    assert (inner.name, outer.name) == ("chat brief", "chat front")
    assert inner.trace_id == outer.trace_id
    assert inner.parent_span_id == outer.span_id


OFF = """
import sys
import serve.app, serve.metrics, serve.spans
with serve.spans.traced(print) as observers:
    assert observers == []
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""


def test_nothing_is_imported_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WHERE, raising=False)
    subprocess.run([sys.executable, "-c", OFF], check=True)


@pytest.mark.parametrize(
    "given",
    [
        "00-zz-zz-01",
        "x" * 5000,
        f"{PARENT},{PARENT}",
        "00-" + "0" * 32 + "-" + "0" * 16 + "-01",
        "\u00e9",
    ],
)
def test_a_parent_that_is_none_begins_a_trace_of_its_own(
    given: str, factory_home: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector(monkeypatch) as bodies:
        with (
            traced(lambda line: pytest.fail(line)) as observers,
            watched(factory_home, tiny_llama, observers=observers) as (url, _),
        ):
            head = {"traceparent": given.encode("latin-1"), "tracestate": b"=,=;\xff"}
            assert httpx.get(f"{url}/v1/models", headers=head).status_code == 200
        (span,) = spans(bodies)
    assert not span.parent_span_id and any(span.trace_id)


def test_missing_packages_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WHERE, "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # as if it were not installed
    said: list[str] = []
    with traced(said.append) as observers:
        assert observers == []
    assert len(said) == 1
    assert WHERE in said[0] and "persona-factory[otel]" in said[0]


def test_a_collector_that_is_not_there_harms_no_answer(
    factory_home: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WHERE, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with (
        traced(lambda line: pytest.fail(line)) as observers,
        watched(factory_home, tiny_llama, observers=observers) as (url, _),
    ):
        assert httpx.post(f"{url}{CHAT}", json=request()).status_code == 200
