"""What people say after any answer, and what comes then: shorter, more, why, thanks.

A base that has only learned cards answers "Make it shorter" with another card. Here what comes second hangs
on the answer before it: a shorter one is its first sentence, and where nothing more is known, that is said.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from factory.contracts import Message
from factory.starter.modest import NEXT
from factory.starter.phrasing import typed

FOLLOWED = 0.22
"""Share of the answers after which something comes."""

ASKS = {
    "shorter": (
        "Make it shorter.", "shorter please", "Can you say that in fewer words?", "Too long. Shorter?",
        "Shorten that.", "Say it in one sentence.", "In short?", "Sum it up.", "Could you be more brief?",
        "The short version, please.",
    ),
    "more": (
        "Tell me more.", "Can you explain that in more detail?", "more please", "Go on.", "And what else?",
        "Is there more to say?", "I want to know more about it.", "Continue.", "Can you say a bit more?",
    ),
    "why": (
        "Why?", "why is that?", "Why so?", "How come?", "But why?", "What is the reason?", "Can you say why?",
        "Why do you say that?",
    ),
    "thanks": (
        "Thanks!", "thank you", "Great, thanks.", "Thank you, that helps.", "ok thanks", "Thanks a lot.",
        "Perfect, thank you!", "That helps.",
    ),
}  # fmt: skip
"""How each of them is put."""

WHY = {
    "known": (
        "I know it as a rule, but I cannot explain the reason well.",
        "I am a small model: I learned the answer, but not what is behind it.",
        "I do not know the reason well enough to explain it.",
    ),
    "unknown": (
        "Because I am a small model, and I only learned about everyday things.",
        "I am small, and nobody taught me about that.",
        "Because I would have to guess, and a guess could be wrong.",
    ),
    "refusal": (
        "Because people could be hurt, and I do not want to help with that.",
        "Because it could harm you or somebody else.",
        "It could do real harm, and that is why I leave it.",
    ),
    "joke": (
        "It is only a joke. If it needs explaining, it was not my best one.",
        "Jokes are no fun once they are explained. Shall I tell another one?",
    ),
}  # fmt: skip
"""Reasons, by kind of the answer before."""

NO_MORE = {
    "known": ("That is all I know about it.", "I do not know more than that.", "I know no more of it."),
    "unknown": ("I really do not know more about it.", "I have nothing to add, I do not know it."),
    "joke": ("That was the whole joke.", "There is no more of it, that was the end."),
    "refusal": (
        "I will not go into that any further.", "There is nothing more that I want to say about it.",
        "No, I stop here. I do not help with that.",
    ),
}  # fmt: skip
"""What is said where nothing more is known."""

SHORTEST = (
    "That is as short as I can make it.", "It does not get any shorter than that.",
    "I can't make it shorter, I am afraid.",
)  # fmt: skip
WELCOME = (
    "You are welcome.", "Glad to help.", "Any time.", "You are welcome. Have a nice day.", "My pleasure.",
)  # fmt: skip

_SENTENCE_ENDS = re.compile(r"(?<=[.!?]) (?=[A-Z0-9])")


def shortened(answer: str) -> str:
    """An answer's first sentence; nothing where it has no other, or begins with a question as jokes do."""
    first, *rest = _SENTENCE_ENDS.split(answer)
    return first if rest and not first.endswith("?") else ""


def followed(
    answer: str, kind: str, rng: random.Random, longer: Sequence[str] = ()
) -> list[Message]:
    """What comes after an answer: nothing, or what people say after any answer and the reply to it.

    Args:
        answer: What was answered.
        kind: What it was, a key of `NO_MORE`; after any other nothing comes.
        rng: Chooses.
        longer: Longer answers to the same question, where there are any.
    """
    if kind not in NO_MORE or rng.random() > FOLLOWED:
        return []
    wish = rng.choices(tuple(ASKS), (5, 4, 4, 3))[0]
    if wish == "shorter":
        said = shortened(answer) or rng.choice(SHORTEST)
    elif wish == "more" and longer:
        said = rng.choice(longer)
    elif wish == "more":
        said = rng.choice(NO_MORE[kind])
        if kind in ("known", "unknown"):
            said += " " + rng.choice(NEXT["other"])
    elif wish == "why":
        said = rng.choice(WHY[kind])
    else:
        said = rng.choice(WELCOME)
    return [
        {"role": "user", "content": typed(rng.choice(ASKS[wish]), rng)},
        {"role": "assistant", "content": said},
    ]
