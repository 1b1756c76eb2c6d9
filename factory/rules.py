"""The persona's own rules: counting words and saying which rules a text breaks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NoReturn

from factory.rows.language import NAMES, mismatch
from factory.rows.words import count_words
from factory.spec import FormatRule, LanguageRule, MaxWords, MinWords, Must, MustNot, Rule

__all__ = ["check", "count_words"]

_MARKDOWN = {
    "a heading": re.compile(r"^ {0,3}#{1,6} \S", re.M),
    "bold text": re.compile(r"\*\*(?=\S)[^*\n]+(?<=\S)\*\*|(?<!\w)__(?=\S)[^_\n]+(?<=\S)__(?!\w)"),
    "italic text": re.compile(r"(?<![\w*])\*(?=[^\s*])[^*\n]*(?<=[^\s*])\*(?![\w*])"),
    "a bullet list": re.compile(r"^[ \t]*[-*+•] +\S", re.M),
    "a code block": re.compile(r"^[ \t]*(```|~~~)", re.M),
    "inline code": re.compile(r"(?<!`)`[^`\n]+`(?!`)"),
    "a link": re.compile(r"\[[^\[\]\n]+\]\([^()\s]+\)"),
    "a table": re.compile(r"^[ \t]*\|?(?:[ \t]*:?-{3,}:?[ \t]*\|)+", re.M),
    "a quote block": re.compile(r"^ {0,3}> ?\S", re.M),
}


def check(rules: Sequence[Rule], text: str) -> list[str]:
    """Which rules an answer breaks.

    Returns:
        One plain sentence per broken rule, in the order of the rules; empty if all are kept.
    """
    breaks = (_broken(rule, text) for rule in rules)
    return [sentence for sentence in breaks if sentence]


def _broken(rule: Rule, text: str) -> str | None:
    match rule:
        case MaxWords(max_words=most):
            count = count_words(text)
            return f"{_words(count)}, at most {most} allowed" if count > most else None
        case MinWords(min_words=least):
            count = count_words(text)
            return f"{_words(count)}, at least {least} required" if count < least else None
        case Must(must=wanted):
            return None if _found(rule.pattern, wanted, text) else f'"{wanted}" is missing'
        case MustNot(must_not=banned):
            found = _found(rule.pattern, banned, text)
            if not found:
                return None
            seen = f' ("{found}")' if found.casefold() != banned.casefold() else ""
            return f'"{banned}" is not allowed{seen}'
        case LanguageRule(language=wanted):
            other = mismatch(text, wanted)
            said = f"written in {NAMES.get(other, other)}" if other else ""
            return f"{said}, not in {NAMES.get(wanted, wanted)}" if other else None
        case FormatRule(format="plain"):
            kinds = [kind for kind, pattern in _MARKDOWN.items() if pattern.search(text)]
            return f"{' and '.join(kinds)} in a plain-text answer" if kinds else None
        case FormatRule():
            return _not_json(text)


def _words(count: int) -> str:
    return f"{count} word{'s' if count != 1 else ''}"


def _found(pattern: str | None, label: str, text: str) -> str | None:
    """What was found, at most 40 characters of it; None if nothing was.

    A pattern may match the empty text, which counts as found.
    """
    if pattern is not None:
        match = re.search(pattern, text, re.I | re.S)
        return (match[0][:40] or label) if match else None
    return label if label.casefold() in text.casefold() else None


def _not_json(text: str) -> str | None:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        return f"not one JSON value: {str(error)[:80]}"
    return None
