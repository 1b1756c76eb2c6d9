"""What `teacher: self` asks of a base, in the very words it is asked: so the starter can be its own teacher.

Questions come from cards that training may see, as do answers; the prompts are those of `factory.pairs`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from factory.contracts import Message
from factory.pairs.cells import INTENTS, Cell
from factory.pairs.prompts import answer_request, questions_request
from factory.spec import Seed
from factory.starter.everyday import HELD_OUT, Card
from factory.starter.steering import steer
from factory.teaching import Distill

WORDS = {"short": (1, 15), "funny": (1, 60), "replies": (16, 60), "long": (61, 150)}
"""Words an answer of each of a card's kinds is asked to have."""
MOST_EXAMPLES = 4
FEWEST = 3
"""Words that a question a teacher writes has at least."""


def _ask(card: Card, rng: random.Random) -> str:
    return rng.choice(card.asks[:-HELD_OUT])


def _message(card: Card, rng: random.Random) -> str:
    """A way to ask that is long enough for what the request says."""
    long = [ask for ask in card.asks[:-HELD_OUT] if len(ask.split()) > FEWEST]
    return rng.choice(long or card.asks[:-HELD_OUT])


def _cell(kind: str, topics: Sequence[str], rng: random.Random) -> Cell:
    return Cell(
        id=f"starter/{rng.random()}",
        intent=rng.choice(INTENTS),
        length="short" if kind == "short" else "medium",
        register="normal",
        side="train",
        quota=1,
        topics=tuple(topics),
        words=WORDS[kind],
    )


def questions(cards: Sequence[Card], rng: random.Random) -> list[Message]:
    """A request for a list of questions, and one good list."""
    chosen = rng.sample(cards, rng.randint(2, 6) + 2)
    wanted, others = chosen[:-2], chosen[-2:]
    topics = [card.name.partition("/")[2].replace("-", " ") for card in wanted]
    avoid = [_ask(card, rng) for card in others] if rng.random() < 0.5 else []
    request = questions_request(
        _cell("replies", topics, rng), len(wanted), language="en", domain=Distill().domain,
        avoid=avoid, sample=0,
    )  # fmt: skip
    told = json.dumps({"questions": [_message(card, rng) for card in wanted]}, ensure_ascii=False)
    return [*request.messages, {"role": "assistant", "content": told}]


def in_voice(cards: Sequence[Card], rng: random.Random) -> list[Message]:
    """A request for an answer in a voice, with examples of it as earlier turns, and one good answer."""
    kind = rng.choice(["short", "short", "funny", "funny", "replies", "long"])
    *shown, card = rng.sample(cards, rng.randint(1, MOST_EXAMPLES) + 1)
    examples = [Seed(instruction=_ask(c, rng), output=rng.choice(getattr(c, kind))) for c in shown]
    request = answer_request(
        _ask(card, rng), _cell(kind, [card.topic], rng), persona_prompt=steer(kind, rng),
        examples=examples, sample=0,
    )  # fmt: skip
    return [*request.messages, {"role": "assistant", "content": rng.choice(getattr(card, kind))}]
