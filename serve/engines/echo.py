"""An engine without a model: it says back what it was told, word by word, over the real wire.

Ships as a product: clients, gateways and tests can be tried on a machine without torch.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from factory.contracts import Endpoint, Message
from serve.engines.brain import Ask, Piece


class EchoEngine:
    """Answers `echo: <last user text>`; a word counts as a token."""

    name = "echo"
    answers_from_weights = False
    """So a gateway marks its answers, and does not hold them to a release's probes."""

    @staticmethod
    def available() -> str | None:
        """Always."""
        return None

    def serve(
        self, model_dir: Path, *, model: str, max_model_len: int, options: dict[str, Any]
    ) -> AbstractContextManager[Endpoint]:
        """See `factory.contracts.Engine`; the folder's weights are not read."""
        from serve.engines.hosting import hosted

        return hosted(Echo(), model=model, max_model_len=max_model_len)


class Echo:
    """Says back what it was told; see `serve.engines.brain.Brain`."""

    def prompt_ids(self, messages: list[Message]) -> list[int]:
        """One for each word."""
        return list(range(sum(len(_words(m["content"])) for m in messages)))

    def text_ids(self, text: str) -> list[int]:
        """One for each word."""
        return list(range(len(_words(text))))

    async def pieces(self, prompt_ids: list[int], ask: Ask) -> AsyncGenerator[Piece]:
        """A word at a time."""
        users = (m["content"] for m in reversed(ask.messages) if m["role"] == "user")
        said = next(users, ask.prompt)
        words = _words(f"echo: {said}")
        for i, word in enumerate(words[: ask.max_tokens]):
            last = i + 1 == min(len(words), ask.max_tokens)
            entry = {
                "token": word,
                "logprob": 0.0,
                "bytes": list(word.encode()),
                "top_logprobs": [],
            }
            logprobs = [entry] if ask.logprobs else []
            yield Piece(word, [i], logprobs, _reason(words, ask) if last else None)


def _reason(words: list[str], ask: Ask) -> Literal["stop", "length"]:
    return "length" if len(words) > ask.max_tokens else "stop"


def _words(text: str) -> list[str]:
    """Words with the white space before them, so that they join to the text."""
    return re.findall(r"\s*\S+\s*$|\s*\S+", text)
