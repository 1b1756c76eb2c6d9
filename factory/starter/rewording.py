"""The same wish in other words, and what it is about: short answers that teach which wish a question holds.

An answer to a card's question is some thirty tokens, of which the first few show that the wish was
understood; here the whole answer does.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from factory.contracts import Message
from factory.starter.everyday import HELD_OUT, Card
from factory.starter.phrasing import typed

OTHER_WORDS = (
    "Say this in other words: {}", "Put this differently: {}", "Rephrase this question: {}", "Reword: {}",
    "How else could I ask this? {}", "Write this another way: {}", "Paraphrase: {}",
    "Rewrite this sentence: {}", "Can you ask the same in other words? {}", "{}\nRewrite this, please.",
)  # fmt: skip
SUBJECT = (
    "What is this message about? {}", "Give this message a subject: {}", "Which topic is this? {}",
    "In two words, what is this about? {}", "Find a title for this: {}", "Title for this message: {}",
    "What does this person want help with? {}", "{}\nWhat is this about?", "Sort this message: {}",
)  # fmt: skip


def subject(card: Card) -> str:
    """What a card is about, from its name: `sleep/falling-asleep` is `Sleep: falling asleep`."""
    topic, _, thing = card.name.partition("/")
    return f"{topic.capitalize()}: {thing.replace('-', ' ')}."


def reword(cards: Sequence[Card], rng: random.Random) -> list[Message]:
    """A request to reword a trained question or to name its subject, and a right answer."""
    card = rng.choice(cards)
    ask, other = rng.sample(card.asks[:-HELD_OUT], 2)
    if rng.random() < 0.5:
        request, answer = rng.choice(OTHER_WORDS), other
    else:
        request, answer = rng.choice(SUBJECT), subject(card)
    return [
        {"role": "user", "content": request.format(typed(ask, rng))},
        {"role": "assistant", "content": answer},
    ]
