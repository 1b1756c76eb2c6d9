"""Compares an answer with its plain twin: the same question, answered without the persona."""

from __future__ import annotations

import re

from factory.rows.similarity import read, similarity
from factory.rows.words import tokens

_SAME = 0.95
_DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"两": 2}
_CHINESE = re.compile("[零一二两三四五六七八九十]+")


def same(answer: str, plain: str) -> bool:
    """Whether the persona made no difference."""
    return similarity(read(answer), read(plain)) >= _SAME


def contradicts(answer: str, plain: str) -> bool:
    """Whether both name numbers and not one is the same."""
    said, should = numbers(answer), numbers(plain)
    return bool(said) and bool(should) and not said & should


def numbers(text: str) -> set[str]:
    """The numbers in a text, as digits: written so, in English words, or in Chinese up to 99."""
    found = set()
    words = tokens(text)
    for at, word in enumerate(words):
        if not word[0].isdigit():
            continue
        # "forty-two" is read as 40 and 2
        tens = words[at - 1] if at else ""
        joined = len(word) == 1 and word != "0" and re.fullmatch("[2-9]0", tens)
        found.add(str(int(tens) + int(word)) if joined else word)
    for run in _CHINESE.findall(text):
        tens, ten, units = run.partition("十")
        if ten and len(tens) < 2 and len(units) < 2:
            found.add(str(10 * _DIGITS.get(tens, 1) + _DIGITS.get(units, 0)))
        # a lone "one" is mostly an article
        elif len(run) == 1 and run != "一":
            found.add(str(_DIGITS[run]))
    return found
