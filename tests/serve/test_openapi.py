"""Every route is tried with what its description allows, and with what it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from serve.app import create_app
from serve.doorkeeper import Doorkeeper
from serve.fleet import Fleet
from tests.serve.conftest import CANARY, endpoint, make_release

JUDGED = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
"""That whatever fits the description is taken is not among them: a model must exist, a text must fit the
window, and a description cannot say that."""


def described() -> dict[str, Any]:
    return create_app(Fleet({}), Doorkeeper()).openapi()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[str]:
    root = tmp_path_factory.mktemp("described")
    make_release(root, tiny_llama, completions=True)
    with endpoint(root, "brief", engine="echo") as url:
        yield url


def loaded() -> Any:
    document = json.loads(json.dumps(described()))
    for name in ("ChatRequest", "CompletionRequest", "ResponsesRequest"):
        # Else no request would find a model.
        document["components"]["schemas"][name]["properties"]["model"]["enum"] = [
            "brief",
            "brief@1",
        ]
    return schemathesis.openapi.from_dict(document)


schema = loaded()


@schema.parametrize()
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_every_route_keeps_its_word(case: schemathesis.Case, url: str) -> None:
    response = case.call(base_url=url)
    case.validate_response(response, checks=JUDGED)
    assert CANARY not in response.text and "Traceback" not in response.text
    if response.status_code >= 400 and case.method != "HEAD":
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_the_description_is_of_what_is_there_and_is_not_served(url: str) -> None:
    document = described()
    assert set(document["paths"]) == {
        "/healthz", "/readyz", "/v1/models", "/v1/models/{model}", "/v1/chat/completions",
        "/v1/completions", "/v1/responses",
    }  # fmt: skip
    for path in ("/openapi.json", "/docs", "/redoc"):
        assert httpx.get(url + path).status_code == 404
