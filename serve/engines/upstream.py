"""An engine that runs elsewhere: any OpenAI-compatible server, or another gateway of ours.

A plain server (vLLM, Ray Serve LLM, KServe, a production stack) is held to the release's probes like an
engine of our own, for which it must return token ids as vLLM does. Another Persona Factory gateway puts the
persona's prompt in front itself, and says by its fingerprint which release it serves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from factory.chat import ChatFormat
from factory.contracts import Endpoint
from factory.errors import EngineError
from serve.probes import PATH, replay

KEY = "FACTORY_UPSTREAM_KEY"
"""Environment variable with the key that the server wants, if it wants one."""

GATEWAY = "persona-factory"


class UpstreamEngine:
    """Serves nothing itself; hands on to an address.

    Args:
        address: `http(s)://host:port[/v1][#MODEL]`; without a model, the persona's name or the only
            model there is.
    """

    def __init__(self, address: str) -> None:
        url, _, self.model = address.partition("#")
        self.url = url.rstrip("/").removesuffix("/v1")
        self.name = self.url
        self.prompts_itself = False
        """Whether the server puts the persona's prompt in front; known once it was asked."""
        self.answers_from_weights = True
        """False behind a gateway that says its answers are not a gated release's."""

    @staticmethod
    def available() -> str | None:
        """Always; whether the server is there shows when it is asked."""
        return None

    @contextmanager
    def serve(
        self, model_dir: Path, *, model: str, max_model_len: int, options: dict[str, Any]
    ) -> Iterator[Endpoint]:
        """See `factory.contracts.Engine`; the folder's weights are not read.

        Raises:
            EngineError: If the server cannot be reached or has no such model.
        """
        key = os.environ.get(KEY)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        known = self._models(headers)
        wanted = [self.model] if self.model else [model, model.partition("@")[0]]
        chosen = next((name for name in wanted if name in known), None)
        if chosen is None and not self.model and len(known) == 1:
            chosen = next(iter(known))
        if chosen is None:
            raise EngineError(
                "this server has no such model",
                where=self.url,
                got=wanted[0],
                allowed=", ".join(sorted(known)) or "it lists none",
                hint=f"name it: --engine {self.url}#MODEL",
            )
        self.prompts_itself = known[chosen] == GATEWAY
        health = "/v1/models"
        if self.prompts_itself:
            said = self._ask("GET", f"/v1/models/{chosen}", headers).headers
            self.answers_from_weights = "x-persona-factory-ungated" not in said
            # NAME@N: once the gateway behind serves another release, it refuses instead of answering.
            chosen = said.get("x-persona-factory-release", chosen)
            health = f"/v1/models/{chosen}"
        yield Endpoint(base_url=self.url, model=chosen, headers=headers, health=health)

    def prove(self, endpoint: Endpoint, facts: Mapping[str, Any], format: ChatFormat) -> None:
        """Hold the server to the release's probes, or a gateway to its word.

        Raises:
            EngineError: If it does not serve these weights, or cannot show it.
        """
        if not self.prompts_itself:
            replay(endpoint, facts, format)
            return
        body = {
            "model": endpoint.model,
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 1,
        }
        answer = self._ask("POST", PATH, endpoint.headers, body).json()
        said = str(answer.get("system_fingerprint"))
        if not said.endswith(f"-{facts['model_digest'][:12]}"):
            raise EngineError(
                "the gateway behind this one serves another release",
                where=self.url,
                got=said,
                allowed=f"...-{facts['model_digest'][:12]}",
                hint="promote the same release on both",
            )

    def _models(self, headers: dict[str, str]) -> dict[str, str]:
        listed = self._ask("GET", "/v1/models", headers).json().get("data") or []
        return {
            m["id"]: str(m.get("owned_by")) for m in listed if isinstance(m, dict) and "id" in m
        }

    def _ask(
        self, method: str, path: str, headers: dict[str, str], body: Any = None
    ) -> httpx.Response:
        try:
            response = httpx.request(
                method, self.url + path, headers=headers, json=body, timeout=60, trust_env=False
            )
            response.raise_for_status()
            if not isinstance(response.json(), dict):
                raise ValueError("the answer is no JSON object")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise EngineError(
                "the server behind --engine does not answer",
                where=self.url + path,
                got=f"{type(error).__name__}: {error}"[:300],
                hint=f"start it, check the address, or set the environment variable {KEY}",
            ) from error
        return response
