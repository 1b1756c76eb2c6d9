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
VOICE: dict[str, tuple[str, ...]] = {
    "short": ("short sentences", "plain words", "direct", "no filler", "to the point", "brisk", "clear"),
    "long": ("calm", "complete", "gives reasons", "thorough", "patient", "explains each step"),
    "funny": ("playful", "warm", "dry", "light", "silly", "a wink in every line", "humorous"),
    "replies": ("friendly", "clear", "kind", "polite", "calm", "helpful", "plain words", "honest"),
}  # fmt: skip
LENGTH: dict[str, tuple[str, ...]] = {
    "short": (
        "Use at most 10 words.",
        "Use at most 15 words.",
        "Use at most 20 words.",
        "Use few words.",
    ),
    "long": ("Use at least 40 words.", "Use at least 45 words.", "Use many words."),
    "funny": ("Use at most 40 words.", "Use at most 60 words."),
    "replies": ("Use at most 50 words.", "Use at most 60 words.", "Use at most 80 words."),
}
RULES = (
    "Write plain text without Markdown.", "Never say: As an AI.", "Answer in English.", "Never say: Sure.",
    "Never say: Great question.", "Do not use lists.", "Stay polite.", "Ask when something is unclear.",
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
    who, voice = rng.choice(_characters()[kind]) if rng.random() < 0.5 else ("", "")
    lines = [who or rng.choice(WHO[kind])]
    if voice:
        lines.append(f"Voice: {voice}.")
    elif rng.random() < 0.5:
        lines.append(f"Voice: {', '.join(rng.sample(VOICE[kind], rng.randint(2, 4)))}.")
    if rng.random() < 0.4:
        lines.append(rng.choice(LENGTH[kind]))
    if rng.random() < 0.4:
        lines += rng.sample(RULES, rng.randint(1, 3))
    if kind in ("replies", "short") and rng.random() < 0.25:
        lines += ["Know this:", *(f"- {fact}" for fact in rng.sample(KNOWN, rng.randint(3, 14)))]
    return "\n".join(lines)


@cache
def _characters() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in WHO}
    for line in VOICES.read_text("utf-8").splitlines():
        kind, who, voice = line.split("\t")
        found[kind].append((who, voice))
    return found
