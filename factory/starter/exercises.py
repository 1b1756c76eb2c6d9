"""Exercises made up as they are needed: arithmetic with small numbers, units, the calendar."""

from __future__ import annotations

import calendar as names
import random

from factory.starter.facts import Fact, upper

WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
DAYS = tuple(names.day_name)
MONTHS = tuple(names.month_name)[1:]
SEASONS = ("spring", "summer", "autumn", "winter")


def arithmetic(rng: random.Random) -> Fact:
    """A sum, difference, product or quotient of small numbers."""
    kind = rng.choice(["plus", "minus", "times", "divided by"])
    if kind == "plus":
        a, b = rng.randint(1, 30), rng.randint(1, 30)
        result, sign = a + b, "+"
    elif kind == "minus":
        result, b = rng.randint(0, 20), rng.randint(1, 12)
        a, sign = result + b, "-"
    elif kind == "times":
        a, b = rng.randint(1, 10), rng.randint(1, 10)
        result, sign = a * b, "*"
    else:
        result, b = rng.randint(1, 10), rng.randint(2, 10)
        a, sign = result * b, "/"
    words = a < len(WORDS) and b < len(WORDS) and rng.random() < 0.3
    x, y = (WORDS[a], WORDS[b]) if words else (str(a), str(b))
    asks = (
        f"What is {x} {kind} {y}?",
        f"{a} {sign} {b}",
        f"{a}{sign}{b}",
        f"I have {a} {kind} {b}, what do I get?",
        f"{x} {kind} {y}",
        f"{x} {kind} {y} equals?",
        f"Solve {a} {sign} {b}.",
        f"what does {x} {kind} {y} make",
        f"Do the sum: {a} {sign} {b}",
        f"Quick maths: {x} {kind} {y}?",
        f"{a} {sign} {b} = ?",
        f"How much is {x} {kind} {y}?",
        f"Can you work out {x} {kind} {y}?",
        f"what's {x} {kind} {y}",
        f"Calculate {a} {sign} {b}.",
        f"Tell me what {x} {kind} {y} is.",
    )
    told = (
        f"{upper(x)} {kind} {y} is {result}.",
        f"{a} {kind} {b} is {result}.",
        f"It is {result}.",
    )
    return Fact("arithmetic", asks, told, f"{result}.", str(result))


def half(rng: random.Random) -> Fact:
    """Half or the double of a number up to a hundred."""
    small = rng.randint(1, 50)
    large = 2 * small
    word, of, result = rng.choice([("half", large, small), ("double", small, large)])
    asks = (
        f"How much is {word} of {of}?",
        f"{word} of {of}",
        f"{word} of {of} is?",
        f"Calculate {word} of {of}.",
        f"Tell me {word} of {of}.",
        f"{of}, and {word} of it?" if word == "half" else f"{of} times two?",
        f"Divide {of} by two." if word == "half" else f"Double {of}.",
        f"What number is {word} of {of}?",
        f"Can you work out {word} of {of}?",
    )
    told = (f"{upper(word)} of {of} is {result}.", f"It is {result}.")
    return Fact("half", asks, told, f"{result}.", str(result))


UNITS = {
    "minute": ("second", 60), "hour": ("minute", 60), "day": ("hour", 24), "week": ("day", 7),
    "year": ("month", 12), "metre": ("centimetre", 100), "kilometre": ("metre", 1000),
    "kilogram": ("gram", 1000), "litre": ("millilitre", 1000), "dozen": ("piece", 12),
    "century": ("year", 100), "decade": ("year", 10), "pair": ("thing", 2),
}  # fmt: skip


def unit(rng: random.Random) -> Fact:
    """How many of a smaller unit there are in one or a few of a larger one."""
    large, (small, size) = rng.choice(list(UNITS.items()))
    count = rng.choice([1, 1, 2, 3, 4, 5])
    if count == 1:
        many = f"{'an' if large[0] == 'h' else 'a'} {large}"
    else:
        many = f"{WORDS[count]} {'centurie' if large == 'century' else large}s"
        many = many.replace("dozens", "dozen")
    result = size * count
    verb = "is" if count == 1 else "are"
    asks = (
        f"How many {small}s are in {many}?",
        f"how many {small}s in {many}",
        f"Convert {many} to {small}s.",
        f"{many} is how many {small}s?",
        f"What is {many} in {small}s?",
        f"Change {many} into {small}s, please.",
        f"number of {small}s in {many}",
        f"How many {small}s {'does' if count == 1 else 'do'} {many} have?",
        f"{many} in {small}s?",
        f"Tell me how many {small}s {many} {'has' if count == 1 else 'have'}.",
        f"How many {small}s make {many}?",
    )
    told = (
        f"There are {result} {small}s in {many}.",
        f"{upper(many)} {verb} {result} {small}s.",
    )
    return Fact("unit", asks, told, f"{result}.", str(result))


def calendar(rng: random.Random) -> Fact:
    """What comes before or after a day, a month or a season."""
    name, ring = rng.choice([("day", DAYS), ("month", MONTHS), ("season", SEASONS)])
    at = rng.randrange(len(ring))
    step, word = rng.choice([(1, "after"), (-1, "before")])
    here, there = ring[at], ring[(at + step) % len(ring)]
    asks = (
        f"Which {name} comes {word} {here}?",
        f"What {name} is {word} {here}?",
        f"which {name} is {word} {here}",
        f"{here} is here. Which {name} is {word} it?",
        f"the {name} {word} {here}",
        f"Name the {name} that comes {word} {here}.",
        f"What {name} do we have {word} {here}?",
        f"{word} {here} comes which {name}?",
        f"Tell me the {name} {word} {here}.",
        f"What comes {word} {here}?",
    )
    return Fact(
        "calendar",
        asks,
        (upper(f"{there} comes {word} {here}."), f"It is {there}."),
        upper(f"{there}."),
        there.lower(),
    )


def exercises(rng: random.Random, count: int) -> list[Fact]:
    """Made-up exercises: two fifths arithmetic, then halves, units and the calendar."""
    makers = (arithmetic, arithmetic, half, unit, calendar)
    return [rng.choice(makers)(rng) for _ in range(count)]
