"""Every question is paid for once, at a pace the endpoint bears, and every end is a clear one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest

from factory.contracts import Reply, Request, TeacherError
from factory.errors import EngineError, FactoryError, UsageError
from factory.pairs.budget import Budget, BudgetExhausted, Prices
from factory.pairs.calls import Caller
from factory.pairs.failures import EmptyAnswer, Patience
from factory.pairs.ledger import Ledger, Spent

QUICK = Patience(tries=5, backoff=0.002, pause=0.01, stop=20.0)

Act = Callable[["Scripted", Request, int], Awaitable[Reply]]


@dataclass
class Scripted:
    """A teacher that does what a test says; it counts what it is asked."""

    act: Act
    name: str = "scripted"
    endpoint: str = "http://scripted/v1"
    model: str = "m"
    facts: dict[str, Any] | None = None
    asked: Counter[str] = field(default_factory=Counter)
    active: int = 0
    most: int = 0

    async def reply(self, request: Request) -> Reply:
        text = request.messages[-1]["content"]
        self.asked[text] += 1
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            return await self.act(self, request, self.asked[text])
        finally:
            self.active -= 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass


async def answer(teacher: Scripted, request: Request, number: int) -> Reply:
    await asyncio.sleep(0.005)
    return Reply(f"about {request.messages[-1]['content']}", "stop", 5, 20)


def failing(*errors: TeacherError | Reply) -> Act:
    """Fails with these in turn, for each question anew, and then answers."""

    async def act(teacher: Scripted, request: Request, number: int) -> Reply:
        if number <= len(errors):
            error = errors[number - 1]
            if isinstance(error, Reply):
                return error
            raise error
        return await answer(teacher, request, number)

    return act


def overloaded(words: str = "busy", after: float | None = None) -> TeacherError:
    return TeacherError("overloaded", words, after)


def limited(after: float | None = None) -> TeacherError:
    return TeacherError("rate_limit", "slow down", after)


def question(text: str, **more: Any) -> Request:
    return replace(Request(({"role": "user", "content": text},), max_tokens=50), **more)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


@dataclass
class Told:
    notes: list[str] = field(default_factory=list)

    def __call__(self, **facts: Any) -> None:
        self.notes.append(facts["note"])


def caller(teacher: Any, ledger: Ledger, **more: Any) -> Caller:
    options = {
        "budget": Budget(),
        "concurrency": 4,
        "template_version": 1,
        "progress": Told(),
        "patience": QUICK,
        **more,
    }
    return Caller(teacher, ledger, options.pop("budget"), **options)


def ask(made: Caller, *requests: Request) -> list[Reply | BaseException]:
    async def all_of_them() -> list[Reply | BaseException]:
        return await asyncio.gather(*map(made.ask, requests), return_exceptions=True)

    return asyncio.run(all_of_them())


def texts(replies: list[Reply | BaseException]) -> list[str]:
    return [r.text if isinstance(r, Reply) else f"{type(r).__name__}: {r}" for r in replies]


# --- paid once ---------------------------------------------------------------------------------


def test_an_answer_is_paid_once_and_found_by_the_next_run(ledger: Ledger) -> None:
    teacher = Scripted(answer)
    requests = [question(name) for name in "abcdef"]
    prices = Budget(prices=Prices(1.0, 1.0))
    first = caller(teacher, ledger, budget=prices)
    replies = ask(first, *requests)
    again = caller(teacher, ledger)
    assert ask(again, *requests) == replies
    assert texts(replies) == [f"about {name}" for name in "abcdef"]
    assert set(teacher.asked.values()) == {1}
    assert first.spent() == again.spent() == Spent(6, 120, 30, pytest.approx(0.00015))


def test_another_template_or_sample_is_another_question(ledger: Ledger) -> None:
    teacher = Scripted(answer)
    ask(caller(teacher, ledger), question("a"), question("a", sample=1))
    ask(caller(teacher, ledger, template_version=2), question("a"))
    assert teacher.asked["a"] == 3


def test_equal_questions_in_flight_are_sent_once(ledger: Ledger) -> None:
    teacher = Scripted(answer)
    replies = ask(caller(teacher, ledger), *[question("a")] * 20)
    assert texts(replies) == ["about a"] * 20
    assert teacher.asked["a"] == 1


def test_a_build_counts_its_own_calls_only(ledger: Ledger) -> None:
    teacher = Scripted(answer)
    ask(caller(teacher, ledger), question("a"), question("b"))
    mine = caller(teacher, ledger)
    ask(mine, question("b"), question("c"))
    assert mine.spent().requests == 2
    assert ledger.spent().requests == 3


def test_halves_of_characters_are_marked_as_lost(ledger: Ledger) -> None:
    async def odd(teacher: Scripted, request: Request, number: int) -> Reply:
        return Reply("cut \ud83d off", "stop", 3)

    (reply,) = ask(caller(Scripted(odd), ledger), question("a"))
    assert isinstance(reply, Reply) and reply.text == "cut \ufffd off"


# --- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "errors",
    [
        [overloaded()] * 4,
        [overloaded(after=0.01)],
        [limited(0.01)],
        [limited(), overloaded()],
        [limited(0.01), overloaded(), limited(), overloaded()],
        [Reply("  \n", "stop", 3)],
        [*[limited(0.001)] * 12, overloaded()],
    ],
)
def test_what_passes_is_tried_again_and_paid_once(
    ledger: Ledger, errors: list[TeacherError | Reply]
) -> None:
    teacher = Scripted(failing(*errors))
    made = caller(teacher, ledger)
    replies = ask(made, *[question(name) for name in "abcd"])
    assert texts(replies) == [f"about {name}" for name in "abcd"]
    assert made.spent().requests == 4 * (len(errors) + 1)


def test_overload_ends_after_five_tries_and_others_go_on(ledger: Ledger) -> None:
    async def act(teacher: Scripted, request: Request, number: int) -> Reply:
        if request.messages[-1]["content"] == "bad":
            raise overloaded("the server's words")
        return await answer(teacher, request, number)

    teacher = Scripted(act)
    bad, good = ask(caller(teacher, ledger), question("bad"), question("good"))
    assert isinstance(bad, TeacherError) and bad.message == "the server's words"
    assert teacher.asked["bad"] == 5
    assert isinstance(good, Reply)


def test_a_refused_question_is_not_repeated_and_others_go_on(ledger: Ledger) -> None:
    teacher = Scripted(failing(TeacherError("refused", "not this")))
    replies = ask(caller(teacher, ledger), question("a"), question("b"))
    assert [r.kind for r in replies if isinstance(r, TeacherError)] == ["refused"] * 2
    assert set(teacher.asked.values()) == {1}


async def by_name(teacher: Scripted, request: Request, number: int) -> Reply:
    """Fares with each question as its first word says."""
    match request.messages[-1]["content"].split()[0]:
        case "dead":
            raise overloaded("connection refused")
        case "refused":
            raise TeacherError("refused", "not this")
        case "empty":
            return Reply("", "stop", 1, 20)
    return await answer(teacher, request, number)


def one_by_one(made: Caller, *names: str) -> list[Reply | BaseException]:
    async def story() -> list[Reply | BaseException]:
        found: list[Reply | BaseException] = []
        for name in names:
            found += await asyncio.gather(made.ask(question(name)), return_exceptions=True)
        return found

    return asyncio.run(story())


def test_an_endpoint_that_is_gone_stops_everything_long_before_the_breaker(ledger: Ledger) -> None:
    teacher = Scripted(by_name)
    found = one_by_one(caller(teacher, ledger), "dead 1", "dead 2", "dead 3", "good")
    assert [type(error) for error in found] == [
        TeacherError,
        TeacherError,
        EngineError,
        EngineError,
    ]
    told = str(found[2])
    assert "none of the last 3 calls" in told and "connection refused" in told and "kept" in told
    assert teacher.asked == Counter({"dead 1": 5, "dead 2": 5, "dead 3": 5})


@pytest.mark.parametrize(
    "names",
    [
        ("dead 1", "a", "dead 2", "b", "dead 3", "c"),
        ("dead 1", "dead 2", "refused", "dead 3", "a"),
        ("empty 1", "empty 2", "empty 3", "a"),
    ],
)
def test_questions_that_are_at_fault_themselves_stop_nothing(
    ledger: Ledger, names: tuple[str, ...]
) -> None:
    found = one_by_one(caller(Scripted(by_name), ledger), *names)
    assert all(isinstance(one, Reply | TeacherError) for one in found)
    assert isinstance(found[-1], Reply)


def test_charged_but_empty_answers_count_as_spent(ledger: Ledger) -> None:
    thought = EmptyAnswer("only thoughts", Reply("", "stop", 50, 20, "thoughts"))
    teacher = Scripted(failing(thought, Reply("", "stop", 1, 20)))
    made = caller(teacher, ledger, budget=Budget(prices=Prices(1.0, 1.0)))
    ask(made, question("a"))
    assert made.spent() == Spent(3, 60, 56, pytest.approx(0.000116))


def test_an_answer_cut_off_before_it_began_is_paid_once(ledger: Ledger) -> None:
    lost = Reply("", "length", 50, 20, "thoughts")
    teacher = Scripted(failing(lost))
    for _ in range(2):  # the next run finds it, too
        assert ask(caller(teacher, ledger), question("a")) == [lost]
    assert teacher.asked["a"] == 1
    assert ledger.spent() == Spent(1, 20, 50, None)


def test_fatal_stops_everything_at_once_with_the_server_s_words(ledger: Ledger) -> None:
    async def act(teacher: Scripted, request: Request, number: int) -> Reply:
        if request.messages[-1]["content"] != "0":
            return await answer(teacher, request, number)
        raise TeacherError("fatal", "Incorrect API key provided")

    teacher = Scripted(act)
    made = caller(teacher, ledger, concurrency=2)
    replies = ask(made, *[question(str(number)) for number in range(30)])
    stopped = [r for r in replies if isinstance(r, UsageError)]
    assert len(stopped) >= 28
    assert "Incorrect API key provided" in str(stopped[0]) and "scripted" in str(stopped[0])
    assert stopped[0].hint
    assert teacher.asked.total() <= 2
    (late,) = ask(made, question("late"))
    assert isinstance(late, UsageError)
    # what was in flight is kept
    paid = [r for r in replies if isinstance(r, Reply)]
    assert ledger.spent().requests == len(paid) + 1


def test_answers_in_flight_are_kept_when_everything_stops(ledger: Ledger) -> None:
    async def act(teacher: Scripted, request: Request, number: int) -> Reply:
        text = request.messages[-1]["content"]
        await asyncio.sleep(0.02 if text == "revoked" else 0.2)
        if text == "revoked":
            raise TeacherError("fatal", "this key was revoked")
        return Reply(f"about {text}", "stop", 5, 20)

    requests = [question(text) for text in ("revoked", "a", "b", "c", "never sent")]
    teacher = Scripted(act)
    made = caller(teacher, ledger, concurrency=4)

    async def together() -> None:
        async with asyncio.TaskGroup() as calls:  # as a build does: the first error ends all of it
            for request in requests:
                calls.create_task(made.ask(request))

    with pytest.raises(BaseExceptionGroup) as caught:
        asyncio.run(together())
    assert "this key was revoked" in str(caught.value.exceptions[0])
    assert teacher.asked == Counter(["revoked", "a", "b", "c"])
    again = Scripted(answer)
    assert texts(ask(caller(again, ledger), *requests[1:4])) == ["about a", "about b", "about c"]
    assert not again.asked


def test_an_engine_that_cannot_start_stops_everything(ledger: Ledger) -> None:
    async def act(teacher: Scripted, request: Request, number: int) -> Reply:
        raise EngineError("no engine")

    teacher = Scripted(act)
    replies = ask(caller(teacher, ledger, concurrency=1), question("a"), question("b"))
    assert all(isinstance(r, EngineError) for r in replies)
    assert teacher.asked.total() == 1


@pytest.mark.parametrize("error", [overloaded("gone"), limited(), limited(0.02)])
def test_circuit_breaker_stops_when_nothing_comes_any_more(
    ledger: Ledger, error: TeacherError
) -> None:
    async def act(teacher: Scripted, request: Request, number: int) -> Reply:
        if request.messages[-1]["content"] == "good":
            return await answer(teacher, request, number)
        raise error

    patience = Patience(tries=1000, backoff=0.01, pause=0.01, stop=0.15)
    made = caller(Scripted(act), ledger, patience=patience)
    ask(made, question("good"))
    started = time.monotonic()
    replies = ask(made, question("a"), question("b"))
    assert 0.1 < time.monotonic() - started < 5
    assert all(isinstance(r, EngineError) for r in replies)
    assert error.message in str(replies[0]) and "kept" in str(replies[0])
    assert texts(ask(caller(Scripted(answer), ledger), question("good"))) == ["about good"]


def test_failures_among_successes_do_not_trip_the_breaker(ledger: Ledger) -> None:
    async def act(teacher: Scripted, request: Request, number: int) -> Reply:
        if number == 1 and int(request.messages[-1]["content"]) % 2:
            raise overloaded()
        return await answer(teacher, request, number)

    # failures go on for longer than the breaker's time, and so do answers
    made = caller(Scripted(act), ledger, patience=replace(QUICK, stop=0.25), concurrency=2)
    replies = ask(made, *[question(str(number)) for number in range(250)])
    assert all(isinstance(r, Reply) for r in replies)


def test_a_wait_of_an_hour_is_an_end_not_a_silence(ledger: Ledger) -> None:
    replies = ask(caller(Scripted(failing(limited(3600.0))), ledger), question("a"))
    assert isinstance(replies[0], EngineError) and "3600 s" in str(replies[0])


# --- pace --------------------------------------------------------------------------------------


def test_never_more_in_flight_than_allowed(ledger: Ledger) -> None:
    teacher = Scripted(answer)
    ask(caller(teacher, ledger, concurrency=3), *[question(str(n)) for n in range(40)])
    assert teacher.most == 3


def test_rate_limits_lower_the_pace_and_success_raises_it_again(ledger: Ledger) -> None:
    async def act(teacher: Scripted, request: Request, number: int) -> Reply:
        if teacher.active > 4:
            raise limited(0.01)
        return await answer(teacher, request, number)

    teacher, told = Scripted(act), Told()
    made = caller(teacher, ledger, concurrency=16, progress=told)
    replies = ask(made, *[question(str(n)) for n in range(200)])
    assert all(isinstance(r, Reply) for r in replies)
    # a burst of refusals counts once, and what is tried too often stays small
    assert teacher.asked.total() < 200 + 80
    assert any("too many requests" in note for note in told.notes)
    assert told.notes.count("") > 0


def test_nothing_is_sent_while_the_endpoint_asked_to_wait(ledger: Ledger) -> None:
    sent: list[float] = []

    async def act(teacher: Scripted, request: Request, number: int) -> Reply:
        sent.append(time.monotonic())
        if teacher.asked.total() == 1:
            raise limited(0.3)
        return await answer(teacher, request, number)

    replies = ask(caller(Scripted(act), ledger, concurrency=1), *[question(name) for name in "abc"])
    assert all(isinstance(r, Reply) for r in replies)
    assert sent[1] - sent[0] >= 0.3


# --- budget ------------------------------------------------------------------------------------


def test_ceiling_stops_before_sending_and_keeps_what_was_paid(ledger: Ledger) -> None:
    teacher = Scripted(answer)
    made = caller(teacher, ledger, budget=Budget(max_requests=5), concurrency=2)
    replies = ask(made, *[question(str(n)) for n in range(9)])
    assert sum(isinstance(r, Reply) for r in replies) == 5
    assert sum(isinstance(r, BudgetExhausted) for r in replies) == 4
    assert teacher.asked.total() == 5


def test_calls_in_flight_hold_their_worst_case_only_until_they_end(ledger: Ledger) -> None:
    # room for one worst case at a time, and for the real cost of all
    budget = Budget(max_tokens=500)
    replies = ask(
        caller(Scripted(answer), ledger, budget=budget), *[question(str(n)) for n in range(8)]
    )
    assert all(isinstance(r, Reply) for r in replies)


def test_a_ceiling_is_for_the_build_however_many_runs_it_takes(ledger: Ledger) -> None:
    teacher = Scripted(answer)
    requests = [question(str(n)) for n in range(6)]
    for _ in range(3):
        made = caller(teacher, ledger, budget=Budget(max_requests=4), concurrency=1)
        replies = ask(made, *requests)
        assert texts(replies)[:4] == [f"about {n}" for n in range(4)]
        assert all(isinstance(r, BudgetExhausted) for r in replies[4:])
    assert teacher.asked.total() == 4


# --- cancellation ------------------------------------------------------------------------------


def test_cancelled_calls_leave_nothing_behind(ledger: Ledger) -> None:
    async def slow(teacher: Scripted, request: Request, number: int) -> Reply:
        if number == 1:
            await asyncio.sleep(30)
        return await answer(teacher, request, number)

    teacher, budget = Scripted(slow), Budget()
    made = caller(teacher, ledger, budget=budget, concurrency=2)

    async def story() -> list[Reply]:
        tasks = [asyncio.create_task(made.ask(question(str(n)))) for n in range(6)]
        follower = asyncio.create_task(made.ask(question("0")))
        await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        followed = await follower  # it asks itself, now that the first is gone
        assert budget.held == 0 and teacher.active == 0
        return [followed, *await asyncio.gather(*[made.ask(question(str(n))) for n in range(6)])]

    async def bounded() -> list[Reply]:
        return await asyncio.wait_for(story(), 10)

    # questions 0 and 1 were sent and cancelled; the others never got a place, so they are slow once
    for number in range(2, 6):
        teacher.asked[str(number)] = 1
    assert [reply.text for reply in asyncio.run(bounded())] == [
        f"about {n}" for n in (0, *range(6))
    ]


# --- what is learned ---------------------------------------------------------------------------


def test_what_a_teacher_learned_is_there_in_the_next_run(ledger: Ledger) -> None:
    async def act(teacher: Scripted, request: Request, number: int) -> Reply:
        teacher.facts = {**(teacher.facts or {}), "seed": False}
        return await answer(teacher, request, number)

    ask(caller(Scripted(act), ledger), question("a"))
    later, other = Scripted(answer), Scripted(answer, model="other")
    caller(later, ledger)
    caller(other, ledger)
    assert (later.facts, other.facts) == ({"seed": False}, None)


def test_no_traceback_only_errors_with_a_next_step(ledger: Ledger) -> None:
    for kind in ("fatal", "overloaded"):
        error = TeacherError(kind, "words", 999.0)  # type: ignore[arg-type]
        (found,) = ask(caller(Scripted(failing(error)), ledger), question(kind))
        assert isinstance(found, FactoryError)
        assert found.where and found.got == "words" and found.hint
