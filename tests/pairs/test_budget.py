"""A ceiling holds before a call is sent, whatever the call turns out to cost."""

from __future__ import annotations

from typing import Any

import pytest

from factory.contracts import Message, Reply, Request
from factory.errors import UsageError
from factory.pairs.budget import (
    Budget,
    BudgetExhausted,
    Prices,
    likely_tokens,
    most_prompt_tokens,
)
from factory.pairs.ledger import Spent

PRICES = Prices(prompt=1.0, completion=4.0)


def request(text: str = "x" * 100, max_tokens: int = 100) -> Request:
    message: Message = {"role": "user", "content": text}
    return Request((message,), max_tokens=max_tokens)


@pytest.mark.parametrize(
    ("prices", "counts", "cost"),
    [
        (PRICES, (1_000_000, 500_000), 3.0),
        (Prices(0.0, 0.0), (1_000, 1_000), 0.0),
        (Prices(), (1_000, 1_000), None),
        (Prices(prompt=1.0), (1_000, 1_000), None),
        (Prices(completion=1.0), (1_000, 1_000), None),
        (PRICES, (None, 1_000), None),
    ],
)
def test_cost_is_unknown_and_never_zero_where_a_part_is_unknown(
    prices: Prices, counts: tuple[int | None, int], cost: float | None
) -> None:
    assert prices.cost(*counts) == cost


@pytest.mark.parametrize("prices", [Prices(), Prices(prompt=1.0), Prices(completion=1.0)])
def test_money_ceiling_without_prices_is_refused_at_once(prices: Prices) -> None:
    with pytest.raises(UsageError, match="needs the endpoint's prices") as caught:
        Budget(max_usd=5.0, prices=prices)
    assert caught.value.where == "teacher.budget.usd"
    Budget(max_usd=5.0, prices=Prices(0.0, 0.0))


@pytest.mark.parametrize("text", ["word " * 50, "字" * 50, "1 2 3 4 5 6", "\U0001f600" * 9])
def test_worst_case_is_above_what_any_tokenizer_makes(text: str) -> None:
    assert most_prompt_tokens(request(text)) >= len(text.encode())
    assert likely_tokens(text) <= most_prompt_tokens(request(text))


def test_schema_counts_as_part_of_the_question() -> None:
    plain = request()
    bound = Request(plain.messages, plain.max_tokens, schema={"type": "array", "maxItems": 8})
    assert most_prompt_tokens(bound) > most_prompt_tokens(plain)


CEILINGS: list[dict[str, Any]] = [
    {"max_requests": 3},
    {"max_tokens": 3 * (most_prompt_tokens(request()) + 100) + 50},
    {"max_usd": 0.0021, "prices": PRICES},
]


@pytest.mark.parametrize("ceiling", CEILINGS)
def test_ceiling_is_never_passed_even_if_every_call_takes_its_worst_case(
    ceiling: dict[str, Any],
) -> None:
    budget = Budget(**ceiling)
    holds = [budget.reserve(request()) for _ in range(3)]
    with pytest.raises(BudgetExhausted) as caught:
        budget.reserve(request())
    assert caught.value.got and caught.value.allowed and caught.value.hint
    prompt = most_prompt_tokens(request())
    for hold in holds:
        budget.settle(hold, Reply("x", "length", 100, prompt))
    with pytest.raises(BudgetExhausted):
        budget.reserve(request())


def test_what_a_call_did_not_take_comes_back() -> None:
    budget = Budget(max_tokens=most_prompt_tokens(request()) + 100 + 60)
    for _ in range(5):
        hold = budget.reserve(request())
        assert budget.held == 1
        assert budget.settle(hold, Reply("x", "stop", 2, 10)) is None
    assert budget.held == 0
    budget.reserve(request())  # 60 used
    with pytest.raises(BudgetExhausted):
        budget.reserve(request("short", 10))


def test_failed_try_counts_as_a_request_and_not_as_tokens() -> None:
    budget = Budget(max_requests=2, max_tokens=most_prompt_tokens(request()) + 100)
    for _ in range(2):
        assert budget.settle(budget.reserve(request()), None) == 0.0
    with pytest.raises(BudgetExhausted, match="ceiling"):
        budget.reserve(request())


def test_unknown_prompt_count_is_taken_at_its_worst() -> None:
    worst = most_prompt_tokens(request())
    budget = Budget(max_tokens=2 * worst + 150)
    assert budget.settle(budget.reserve(request()), Reply("x", "stop", 100)) is None
    with pytest.raises(BudgetExhausted):
        budget.reserve(request())


def test_settled_call_tells_its_cost() -> None:
    budget = Budget(prices=PRICES)
    cost = budget.settle(budget.reserve(request()), Reply("x", "stop", 50, 100))
    assert cost == pytest.approx(0.0003)


def test_what_an_earlier_run_spent_counts() -> None:
    budget = Budget(max_usd=1.0, prices=PRICES)
    budget.count(Spent(10, 100_000, 50_000, None))  # paid before the prices were known
    budget.count(Spent(10, 0, 0, 0.7))
    with pytest.raises(BudgetExhausted):
        budget.reserve(request())
