"""Ceilings on money, tokens and requests, which a call must fit in the worst case before it is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass

from factory.contracts import Reply, Request
from factory.errors import FactoryError, UsageError
from factory.pairs.ledger import Spent

_OVERHEAD = 128
"""Tokens that a chat template may add to a conversation, at most."""
_PER_MESSAGE = 16
"""Tokens that it may add to each message, at most."""
_CHARACTERS = 4.0
"""Latin letters of a usual token."""


class BudgetExhausted(FactoryError):
    """The next call could pass a ceiling; it was not sent."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What an endpoint charges, in US dollars per million tokens; None is unknown, never free."""

    prompt: float | None = None
    completion: float | None = None

    def cost(self, prompt_tokens: int | None, completion_tokens: int) -> float | None:
        """US dollars, or None if a price or a count is unknown."""
        if self.prompt is None or self.completion is None or prompt_tokens is None:
            return None
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


def most_prompt_tokens(request: Request) -> int:
    """Tokens a question has at the very most: no tokenizer makes more of them than bytes."""
    schema = json.dumps(request.schema) if request.schema else ""
    size = sum(len(message["content"].encode("utf-8", "replace")) for message in request.messages)
    return size + 2 * len(schema) + _PER_MESSAGE * len(request.messages) + _OVERHEAD


def likely_tokens(text: str) -> int:
    """Tokens a text usually has: one for four Latin letters, or for one character of other scripts."""
    other = sum(ord(character) > 0x2E7F for character in text)
    return round((len(text) - other) / _CHARACTERS + other)


@dataclass(frozen=True, slots=True, eq=False)
class Hold:
    """What was set aside for one call: its worst case."""

    prompt_tokens: int
    completion_tokens: int
    usd: float | None


class Budget:
    """What may still be spent.

    A try that ended without an answer counts as a request; what an endpoint may charge for it
    nobody tells, so it counts no tokens.

    Args:
        max_usd: Most US dollars; needs prices.
        max_tokens: Most tokens, questions and answers together.
        max_requests: Most requests, repeated tries included.
        prices: What the endpoint charges.

    Raises:
        UsageError: If there is a ceiling on money and a price is unknown.
    """

    def __init__(
        self,
        max_usd: float | None = None,
        max_tokens: int | None = None,
        max_requests: int | None = None,
        *,
        prices: Prices = Prices(),
    ) -> None:
        if max_usd is not None and prices.cost(0, 0) is None:
            raise UsageError(
                "a ceiling on money needs the endpoint's prices",
                where="teacher.budget.usd",
                got=f"{max_usd:g} US dollars, prices unknown",
                allowed="US dollars per million tokens, for questions and for answers",
                hint="set `teacher.prices`, or use `tokens` or `requests` as the ceiling",
            )
        self.max_usd = max_usd
        self.max_tokens = max_tokens
        self.max_requests = max_requests
        self.prices = prices
        self._requests = 0
        self._tokens = 0
        self._usd = 0.0
        self._holds: set[Hold] = set()

    @property
    def held(self) -> int:
        """Calls that are reserved and not settled."""
        return len(self._holds)

    def count(self, spent: Spent) -> None:
        """Count what an earlier run of the same build spent; never raises."""
        usd = spent.usd
        if usd is None:
            usd = self.prices.cost(spent.prompt_tokens, spent.completion_tokens)
        self._requests += spent.requests
        self._tokens += spent.prompt_tokens + spent.completion_tokens
        self._usd += usd or 0.0

    def reserve(self, request: Request) -> Hold:
        """Set the worst case of a call aside.

        Raises:
            BudgetExhausted: If that could pass a ceiling.
        """
        prompt = most_prompt_tokens(request)
        hold = Hold(prompt, request.max_tokens, self.prices.cost(prompt, request.max_tokens))
        tokens = prompt + request.max_tokens
        held = sum(h.prompt_tokens + h.completion_tokens for h in self._holds)
        dollars = self._usd + sum(h.usd or 0.0 for h in self._holds)
        if self.max_requests is not None and self._requests + 1 > self.max_requests:
            raise _exhausted("requests", f"{self._requests} sent", f"{self.max_requests}")
        if self.max_tokens is not None and self._tokens + held + tokens > self.max_tokens:
            used = f"{self._tokens + held:,} used, and up to {tokens:,} for the next call"
            raise _exhausted("tokens", used, f"{self.max_tokens:,}")
        if self.max_usd is not None and dollars + (hold.usd or 0.0) > self.max_usd:
            used = f"{dollars:.4f} US dollars, and up to {hold.usd:.4f} for the next call"
            raise _exhausted("usd", used, f"{self.max_usd:g} US dollars")
        self._requests += 1
        self._holds.add(hold)
        return hold

    def settle(self, hold: Hold, reply: Reply | None) -> float | None:
        """Replace a reservation by what the call really took.

        Args:
            hold: From `reserve`.
            reply: What was charged for; None if the call brought nothing.

        Returns:
            Its cost in US dollars; None if unknown.
        """
        self._holds.remove(hold)
        if reply is None:
            return 0.0
        known = reply.prompt_tokens
        prompt = hold.prompt_tokens if known is None else known
        self._tokens += prompt + reply.token_count
        self._usd += self.prices.cost(prompt, reply.token_count) or 0.0
        return self.prices.cost(known, reply.token_count)


def _exhausted(field: str, got: str, allowed: str) -> BudgetExhausted:
    return BudgetExhausted(
        "the next call could pass the ceiling, so it was not sent",
        where=f"teacher.budget.{field}",
        got=got,
        allowed=f"at most {allowed}",
        hint="raise the ceiling and run the same command again: nothing is paid for twice",
    )
