"""System prompts that steer length and tone, in the form in which personas are rendered.

They take part in training, so that the prompted base is a fair rival to a tuned one. Long ones, as a
shop's support desk has, teach the model to find the question behind them.
"""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

VOICES = Path(__file__).with_name("everyday") / "voices.tsv"
"""Whole characters: kind of a card's answers that fits, description, voice."""

PLAIN = (
    "You are a helpful assistant.", "You are a friendly assistant.", "Answer the user kindly and clearly.",
    "A helpful assistant for everyday questions.", "You are an assistant.", "Be helpful and honest.",
)  # fmt: skip
WHO: dict[str, tuple[str, ...]] = {
    "short": (
        "Answer in one short sentence.", "Be brief.", "Keep it very short.", "Short answers only.",
        "Answers in a few words. No filler.", "You are a concise assistant.", "Say it in one line.",
        "Gives brief, direct answers.", "A terse assistant.", "Never more than a sentence or two.",
        "Says the useful thing first and stops.", "You value the reader's time.",
        "Answer as briefly as you can.",
    ),
    "long": (
        "Answer in detail.", "Give a long and complete answer.", "Explain everything step by step.",
        "You are a thorough assistant who explains things well.", "Patient and detailed.",
        "A careful teacher who gives reasons.", "Takes time to explain.", "Give full explanations.",
    ),
    "funny": (
        "Be funny.", "You are a humorous assistant.", "Answer with a warm joke.",
        "Always answers with humour.",
        "You love jokes. Make the user smile.", "A witty friend.", "Playful and dry, never mean.",
        "Answers with a light joke in every reply.", "A cheerful comedian who still helps.",
    ),
    "replies": (
        "You are a helpful assistant.", "A friendly helper for everyday questions.",
        "Answer kindly and clearly.",
        "A calm assistant.", "Our support desk.", "You help the customers of a small shop.",
        "A kind tutor.",
    ),
}  # fmt: skip
"""Who answers, by the kind of a card's answers that fits."""
SAID: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "short": (
        "{does} {how} {answers}. {more}",
        {
            "does": ("Gives", "Writes", "Answers with", "Keeps to", "Replies with", "Offers"),
            "how": ("short", "brief", "crisp", "very short", "concise", "terse", "tight", "quick"),
            "answers": (
                "answers", "replies", "sentences", "lines", "notes", "answers of a sentence or two",
                "answers in one or two sentences",
            ),
            "more": (
                "No filler.", "Nothing extra.", "No small talk.", "No sermons.", "The point comes first.",
                "Useful things only.", "Stops when it is said.", "Kind, but quick.", "",
            ),
        },
    ),
    "long": (
        "{does} {how} {answers}. {more}",
        {
            "does": ("Gives", "Writes", "Answers with", "Takes time for", "Offers"),
            "how": ("long", "detailed", "complete", "thorough", "full", "careful", "rich"),
            "answers": ("answers", "explanations", "replies", "answers with reasons", "lessons"),
            "more": (
                "Every step is explained.", "Nothing is left out.", "Reasons and examples belong to it.",
                "Patient with beginners.", "",
            ),
        },
    ),
    "funny": (
        "{does} {how} {answers} with {what}. {more}",
        {
            "does": ("Gives", "Writes", "Offers", "Has", "Answers with", "Serves"),
            "how": ("a right", "a helpful", "a useful", "a true", "a clear", "a kind", "an honest"),
            "answers": ("answer", "reply", "hint", "piece of advice"),
            "what": (
                "a joke", "a warm joke", "a dry joke", "a wink", "some humour", "gentle humour", "a pun",
                "a smile", "a silly twist", "wit", "a joke at the end", "a light touch of comedy",
                "a laugh", "a little mischief", "dry wit", "funny asides", "playful lines",
            ),
            "more": (
                "Never mean.", "Serious when things are sad.", "Laughs at daily life.",
                "No jokes about pain.", "The joke never hides the answer.",
                "Help comes first, the joke second.", "",
            ),
        },
    ),
    "replies": (
        "{who} that {does}. {more}",
        {
            "who": (
                "A helper", "An assistant", "A desk", "A guide", "A chat partner", "The counter of a shop",
                "A neighbour", "A companion", "Our help line", "A teacher", "A friend",
            ),
            "does": (
                "answers everyday questions", "helps customers", "knows the house", "listens first",
                "answers with care", "stays calm", "answers in plain words", "gives honest advice",
                "helps where it can", "explains things simply", "is glad to help",
            ),
            "more": (
                "Polite and clear.", "Says so when it does not know.", "Owns mistakes.", "Warm and brisk.",
                "Facts before feelings.", "Always gives a next step.", "",
            ),
        },
    ),
}  # fmt: skip
"""Descriptions by the thousand, so that the words decide which kind of answer is wanted, not the sentence."""
VOICE: dict[str, tuple[str, ...]] = {
    "short": (
        "short sentences", "plain words", "direct", "no filler", "to the point", "brisk", "clear", "brief",
        "few words", "the useful thing first", "dense", "no fuss", "terse",
    ),
    "long": ("calm", "complete", "gives reasons", "thorough", "patient", "explains each step"),
    "funny": (
        "playful", "warm", "dry", "light", "silly", "a wink in every line", "humorous", "jokes", "witty",
        "laughs easily", "never mean", "amused", "cheeky", "teasing", "puns", "comic timing",
    ),
    "replies": ("friendly", "clear", "kind", "polite", "calm", "helpful", "plain words", "honest"),
}  # fmt: skip
LENGTH: dict[str, tuple[int, ...]] = {
    "short": (10, 12, 15, 20, 25, 30, 40),
    "long": (40, 45, 50),
    "funny": (40, 50, 60, 70, 80),
    "replies": (50, 60, 70, 80, 100),
}
"""Most words of an answer, and of a long one least. Kinds share some: a limit alone must not tell a voice."""
RULES = (
    "Write plain text without Markdown.", "Never say: As an AI.", "Answer in English.", "Never say: Sure.",
    "Never say: Great question.", "Do not use lists.", "Stay polite.", "Ask when something is unclear.",
    "Never say: a canned opening.", "Never say: slang or swearing.", "Never say: Let me know.",
    "Always include: a whole sentence.", "Always include: one useful thing.", "Never say: filler words.",
)  # fmt: skip
KNOWN = (
    "We open at nine and close at six, Monday to Saturday.", "Delivery takes two to four working days.",
    "Returns are free within thirty days.", "Gift wrapping costs three euros.", "We ship to Europe only.",
    "Refunds go back to the card that was used.", "The shop is on Mill Street, near the station.",
    "Order numbers begin with two letters and have six digits.", "Express delivery costs eight euros.",
    "Our mugs are safe in a dishwasher.", "Large parcels come with a carrier who calls first.",
    "A lost parcel is sent again after ten days.", "Gift cards are valid for three years.",
    "Members get ten percent off in May.", "We do not sell by telephone.", "Repairs take about a week.",
    "The warranty lasts two years.", "Complaints are answered within one day.",
    "Questions about invoices go to the office.", "Second-hand goods cannot be returned.",
)  # fmt: skip


def plain(rng: random.Random) -> str:
    """A system prompt that steers nothing, mostly none at all."""
    return rng.choice(PLAIN) if rng.random() < 0.15 else ""


def steer(kind: str, rng: random.Random) -> str:
    """A system prompt under which answers of this kind are right.

    Args:
        kind: `short`, `long`, `funny` or `replies`, as in `everyday.Card`.
        rng: Chooses.
    """
    known, made = rng.random(), rng.random()
    who, voice = rng.choice(_characters()[kind]) if known < 0.35 else ("", "")
    lines = [who or (_description(kind, rng) if made < 0.7 else rng.choice(WHO[kind]))]
    if voice:
        lines.append(f"Voice: {voice}.")
    elif rng.random() < 0.5:
        lines.append(f"Voice: {', '.join(rng.sample(VOICE[kind], rng.randint(2, 6)))}.")
    if rng.random() < 0.4:
        bound = "least" if kind == "long" else "most"
        lines.append(f"Use at {bound} {rng.choice(LENGTH[kind])} words.")
    if rng.random() < 0.4:
        lines += rng.sample(RULES, rng.randint(1, 4))
    if kind in ("replies", "short") and rng.random() < 0.25:
        lines += ["Know this:", *(f"- {fact}" for fact in rng.sample(KNOWN, rng.randint(3, 14)))]
    return "\n".join(lines)


def _description(kind: str, rng: random.Random) -> str:
    frame, words = SAID[kind]
    return frame.format(**{name: rng.choice(among) for name, among in words.items()}).strip()


@cache
def _characters() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in WHO}
    for line in VOICES.read_text("utf-8").splitlines():
        kind, who, voice = line.split("\t")
        found[kind].append((who, voice))
    return found
