"""Everyday conversations, mixed from cards, tables and exercises, without end and always the same.

Training sees the cards' first ways to ask; the last ones, and some whole cards, are held out.
System prompts that steer length and tone take part, so that the prompted base is a fair rival.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from factory.contracts import Message
from factory.starter import steering
from factory.starter.everyday import HELD_OUT, Card, cards
from factory.starter.exercises import exercises
from factory.starter.facts import Fact
from factory.starter.followups import followed
from factory.starter.modest import unknown
from factory.starter.phrasing import plain, rephrase_except, typed
from factory.starter.rewording import reword
from factory.starter.steering import steer
from factory.starter.tables import from_table, jokes, quiz
from factory.starter.teaching import in_voice, questions
from factory.starter.unsafe import unsafe

HELD_OUT_TOPICS = frozenset({"clothes", "games"})
"""Topics no card of which is trained on."""

FUNNIER = ("Make it funny.", "Can you say that with a joke?", "Say it in a funny way.")

STYLES = ("short", "short", "long", "funny", "funny", "replies", "replies")
"""Kinds of a card's answers, as often as a system prompt asks for them."""

FACTS = frozenset({"animals", "body", "nature", "numbers", "things", "world"})
"""Topics whose questions have one right answer."""

SERIOUS = frozenset({"grave", "refusal"})
"""Topics that no prompt makes a joke of."""

ANSWERS = {"jokes": "joke", "refusal": "refusal", "grave": "", "greetings": "", "thanks": ""}
"""What `followups` calls the answers to a topic's cards, "known" where none is given here; nothing
where what people say after any answer would be out of place."""

REWORDED = frozenset({"quiz", "refusal", "harmless"})
"""Kinds of facts whose question says the same in other words."""

TOGETHER = 6
"""Openings in a row behind the same prompt."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages, and what a right last answer holds."""

    messages: tuple[Message, ...]
    marks: tuple[str, ...] = ()
    topic: str = ""


@cache
def _cards() -> tuple[tuple[Card, ...], tuple[Card, ...]]:
    """Cards that are trained on, and those whose topic is held out."""
    every = cards()
    return (
        tuple(c for c in every if c.topic not in HELD_OUT_TOPICS),
        tuple(c for c in every if c.topic in HELD_OUT_TOPICS),
    )


@cache
def _fact_cards() -> tuple[Card, ...]:
    return tuple(c for c in _cards()[0] if c.topic in FACTS)


@cache
def _serious_cards() -> tuple[Card, ...]:
    return tuple(c for c in _cards()[0] if c.topic in SERIOUS)


@cache
def _table() -> tuple[Fact, ...]:
    return tuple(from_table(random.Random(0)))


@cache
def _quiz() -> tuple[Fact, ...]:
    return tuple(quiz())


def _fact(rng: random.Random) -> Fact:
    return rng.choice(_quiz() if rng.random() < 0.55 else _table())


def _asked(fact: Fact, rng: random.Random) -> str:
    """One of its trained ways to ask; an exercise's words are its content and stay."""
    ask = rng.choice(fact.asks[:-1])
    return _reworded(ask, rng) if fact.kind in REWORDED else typed(ask, rng)


@cache
def _held_out() -> frozenset[str]:
    """Questions that must not come up by chance when another is reworded."""
    return frozenset(
        plain(c.messages[0]["content"]) for c in [*held_out_phrasings(), *held_out_topics()]
    )


def _reworded(ask: str, rng: random.Random) -> str:
    return rephrase_except(ask, rng, _held_out())


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _system(text: str) -> list[Message]:
    return [{"role": "system", "content": text}]


def _plain_system(rng: random.Random) -> list[Message]:
    text = steering.plain(rng)
    return _system(text) if text else []


def _said(card: Card, style: str, rng: random.Random) -> str:
    """An answer of a card; of a fact, it begins with the same sentences whatever the style.

    What is grave or refused is answered plainly where a joke is asked for.
    """
    if style == "funny" and card.topic in SERIOUS:
        style = "replies"
    among: list[str] = getattr(card, style)
    answer = rng.choice(among)
    if style in ("short", "funny") and card.topic in FACTS and rng.random() < 0.9:
        told = min(rng.sample(card.replies, min(2, len(card.replies))), key=len)
        return told if style == "short" else f"{told} {answer}"
    return answer


def _card(style: str, rng: random.Random) -> Card:
    """A card that is trained on; behind a prompt more often one that the prompt must not change."""
    if style and rng.random() < 0.06:
        return rng.choice(_serious_cards())
    return rng.choice(_cards()[0])


def _from_card(rng: random.Random) -> list[Message]:
    kind = rng.random()
    style = rng.choice(STYLES) if kind < 0.48 else ""
    card = _card(style, rng)
    ask = _user(_reworded(rng.choice(card.asks[:-HELD_OUT]), rng))
    if style:
        turns = [*_system(steer(style, rng)), ask, _assistant(_said(card, style, rng))]
    else:
        turns = [*_plain_system(rng), ask, _assistant(rng.choice(card.replies))]
    if 0.48 <= kind < 0.60 and card.more:
        then = rng.choice(card.more)
        turns += [
            _user(_reworded(rng.choice(then.asks), rng)),
            _assistant(rng.choice(then.replies)),
        ]
    elif 0.60 <= kind < 0.63:
        turns += [_user(typed(rng.choice(FUNNIER), rng)), _assistant(rng.choice(card.funny))]
    else:
        longer = () if style == "long" else card.long
        turns += followed(turns[-1]["content"], ANSWERS.get(card.topic, "known"), rng, longer)
    return turns


def _told(fact: Fact, style: str, rng: random.Random) -> str:
    """An answer of a fact: a sentence is short enough, and a bare word is harder to get right."""
    if style == "short" and (fact.kind in ("unknown", "refusal") or rng.random() < 0.1):
        return fact.short
    answer = rng.choice(fact.answers)
    among = fact.funny or jokes().get(fact.kind, ())
    return f"{answer} {rng.choice(among)}" if style == "funny" and among else answer


def _from_fact(fact: Fact, rng: random.Random) -> list[Message]:
    ask = _user(_asked(fact, rng))
    if rng.random() < 0.6:
        style = rng.choice(STYLES)
        before, answer = _system(steer(style, rng)), _told(fact, style, rng)
    else:
        before, answer = _plain_system(rng), rng.choice(fact.answers)
    kind = fact.kind if fact.kind in ("unknown", "refusal") else "known"
    return [*before, ask, _assistant(answer), *followed(answer, kind, rng)]


def everyday(seed: int) -> Iterator[Conversation]:
    """Training conversations without end, the same for the same seed."""
    rng = random.Random(seed)
    trained, _ = _cards()
    while True:
        kind = rng.random()
        if kind < 0.012:
            turns = questions(trained, rng)
        elif kind < 0.035:
            turns = in_voice(trained, rng)
        elif kind < 0.085:
            turns = reword(trained, rng)
        elif kind < 0.60:
            turns = _from_card(rng)
            if (
                rng.random() < 0.08 and turns[0]["role"] != "system"
            ):  # another topic in the same chat
                turns += [t for t in _from_card(rng) if t["role"] != "system"]
        elif kind < 0.83:
            turns = _from_fact(_fact(rng), rng)
        elif kind < 0.87:
            turns = _from_fact(unknown(rng), rng)
        elif kind < 0.94:
            turns = _from_fact(unsafe(rng), rng)
        else:
            turns = _from_fact(exercises(rng, 1)[0], rng)
        yield Conversation(tuple(turns))


def openings(seed: int) -> Iterator[Conversation]:
    """One question and one answer each, without end; training reads no more than the answers' beginnings.

    Which card a question is about shows in the first words of its answer: of these short
    documents an update holds several times as many as of whole conversations. Most stand behind a
    persona's prompt, `TOGETHER` in a row behind the same: it must not cost what is known without one.
    """
    rng = random.Random(seed)
    while True:
        style = rng.choice(STYLES) if rng.random() < 0.5 else ""
        before = _system(steer(style, rng)) if style else []
        for _ in range(TOGETHER if style else 1):
            yield Conversation((*before, *_opening(style, rng)))


def _opening(style: str, rng: random.Random) -> list[Message]:
    kind = rng.random()
    if kind < 0.53:
        card = _card(style, rng) if kind < 0.39 else rng.choice(_fact_cards())
        ask = _reworded(rng.choice(card.asks[:-HELD_OUT]), rng)
        answer = _said(card, style or "replies", rng)
    else:
        fact = (
            _fact(rng) if kind < 0.81
            else exercises(rng, 1)[0] if kind < 0.88
            else unsafe(rng) if kind < 0.96
            else unknown(rng)
        )  # fmt: skip
        ask = _asked(fact, rng)
        answer = _told(fact, style, rng)
    return [_user(ask), _assistant(answer)]


@cache
def _trained_asks() -> frozenset[str]:
    """Every way to ask that training may see: a card's held-out one may be another's trained one."""
    facts = [*_table(), *_quiz(), *exercises(random.Random(0), 4000)]
    return frozenset(
        plain(ask)
        for asks in (
            *(card.asks[:-HELD_OUT] for card in _cards()[0]),
            *(follow.asks for card in _cards()[0] for follow in card.more),
            *(fact.asks[:-1] for fact in facts),
        )
        for ask in asks
    )


def held_out_phrasings() -> list[Conversation]:
    """Trained cards and facts, asked in ways that were never trained on, each with a right answer."""
    found = [
        Conversation(
            (_user(ask), _assistant(card.replies[k % len(card.replies)])),
            tuple(card.marks),
            card.topic,
        )
        for card in _cards()[0]
        for k, ask in enumerate(card.asks[-HELD_OUT:])
    ]
    rng = random.Random(7)
    facts = [*_table(), *_quiz(), *exercises(rng, 60)]
    found += [
        Conversation((_user(f.asks[-1]), _assistant(f.answers[0])), (f.mark,), f.kind)
        for f in rng.sample(facts, min(150, len(facts)))
    ]
    return [c for c in found if plain(c.messages[0]["content"]) not in _trained_asks()]


def held_out_topics() -> list[Conversation]:
    """Questions of topics that were never trained on."""
    return [
        Conversation((_user(ask), _assistant(card.replies[0])), tuple(card.marks), card.topic)
        for card in _cards()[1]
        for ask in card.asks[-HELD_OUT:]
    ]
