"""What a fact is, and how feelings, lists and animals are asked for; the last way is never trained on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One exercise with its right answers."""

    kind: str
    asks: tuple[str, ...]
    answers: tuple[str, ...]
    short: str
    mark: str
    """Text that a right answer holds, lower case."""
    funny: tuple[str, ...] = ()
    """Jokes that may follow an answer."""


def upper(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


FEELINGS = ("positive", "negative", "neutral")
FEELING_ASKS = (
    "Is the mood of this good or bad? {0}",
    "What feeling does this show: {0}",
    "sentiment of: {0}",
    "Does this sound happy or unhappy? {0}",
    "Classify as positive, negative or neutral: {0}",
    "Is this a good or a bad review? {0}",
    'Is this sentence positive or negative? "{0}"',
    "What is the feeling of this text: {0}",
    "Positive, negative or neutral? {0}",
    "Tell me the sentiment: {0}",
    "How does this person feel? {0}",
)
FEELING_ANSWERS = ("It is {1}.", "That is {1}.", "The feeling is {1}.")
LIST_ASKS = (
    "I need {n} {0}.",
    "{n} {0}",
    "What are {n} {0}?",
    "Write down {n} {0}.",
    "Think of {n} {0}.",
    "Make a list of {n} {0}.",
    "Name {n} {0}.",
    "Give me {n} {0}.",
    "List {n} {0}.",
    "Can you name {n} {0}?",
    "Tell me {n} {0}, please.",
)
ANIMAL = (
    (
        (
            "Which food does {a} like?",
            "{0} food",
            "What should I feed {a}?",
            "What does {a} eat?",
            "what do {0}s eat",
            "What is the food of {a}?",
        ),
        "It eats {1}.",
    ),
    (
        (
            "In what place does {a} live?",
            "home of {a}",
            "Where can I find {a}?",
            "Where does {a} live?",
            "where do {0}s live",
            "What is the home of {a}?",
        ),
        "It lives {2}.",
    ),
    (
        (
            "Something interesting about {a}, please.",
            "{0} fact",
            "What is special about {a}?",
            "Tell me something about {a}.",
            "What do you know about {a}?",
            "Tell me a fact about {a}.",
        ),
        "{3}",
    ),
)
