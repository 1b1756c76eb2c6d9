"""What an in-process engine is asked, what it answers, and what it has to be able to do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from factory.contracts import Message


class Ask(BaseModel):
    """One request, as the gateway builds it; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    messages: list[Message] = []
    prompt: str = ""
    """A text to go on with, where there are no messages."""
    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: list[str] = []
    logprobs: bool = False
    top_logprobs: int = 0
    stream: bool = False
    stream_options: dict[str, bool | None] | None = None
    return_token_ids: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A step of an answer: new text, the tokens it took, and on the last piece why it ended."""

    text: str
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finish_reason: Literal["stop", "length"] | None = None


class Brain(Protocol):
    """What differs between in-process engines."""

    def prompt_ids(self, messages: list[Message]) -> list[int]:
        """Ids of the generation prompt. Raises ValueError if the template refuses the messages."""
        ...

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text to go on with."""
        ...

    def pieces(self, prompt_ids: list[int], ask: Ask) -> Iterator[Piece] | AsyncGenerator[Piece]:
        """The answer step by step; the last piece has a finish reason.

        An iterator computes: it is read in a thread, one answer at a time. An asynchronous generator
        must not, and any number of its answers run at once.
        """
        ...


async def until_stop(pieces: AsyncGenerator[Piece], stops: list[str]) -> AsyncGenerator[Piece]:
    """End at the first stop string, which is not part of the answer.

    Text that might be the beginning of a stop string is held back until that is decided.
    """
    held = ""
    keep = max(map(len, stops), default=1) - 1
    async with aclosing(pieces):
        async for piece in pieces:
            held += piece.text
            ends = [at for stop in stops if (at := held.find(stop)) >= 0]
            if ends:
                yield Piece(held[: min(ends)], piece.token_ids, piece.logprobs, "stop")
                return
            cut = len(held) if piece.finish_reason else max(len(held) - keep, 0)
            yield Piece(held[:cut], piece.token_ids, piece.logprobs, piece.finish_reason)
            held = held[cut:]
