"""The forms that a format-bound answer can have: which fit a persona's rules, and who keeps to one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from factory.rules import check
from factory.spec import FormatRule, Must, MustNot, Rule

_SAMPLES = {
    "sentence": "Tea wakes you more gently than coffee does.",
    "numbered": "1. Fill the pot.\n2. Heat the water.\n3. Add the tea.",
    "commas": "bread, butter, honey, tea",
    "lines": "Fresh bread\nSalted butter\nHoney",
    "labels": "Name: green tea\nPrice: three dollars",
    "json": '{"name": "green tea", "price": 3}',
    "bullets": "- bread\n- butter\n- honey",
    "table": "| what | price |\n| --- | --- |\n| tea | 3 |",
}
"""One answer of each form."""

_COUNTED = {
    "numbered": (re.compile(r"(?:^|\s)\d{1,2}[.)、:：]\s*\S"), 2),
    "commas": (re.compile(r"[,，、]"), 2),
    "lines": (re.compile(r"^\s*\S", re.M), 2),
    "labels": (re.compile(r"^[^:：\n]{1,40}[:：][ \t]*\S", re.M), 2),
    "bullets": (re.compile(r"^[ \t]*[-*•+] *\S", re.M), 2),
    "table": (re.compile(r"^[ \t]*\|.*\|[ \t]*$", re.M), 3),
}
"""What must be found in an answer of a form, and how often."""

_SENTENCE_END = re.compile(r"[.!?…]+(?=\s+\S)|[。！？…]+(?=\s*[^\s。！？…”’」』])|\n+(?=\s*\S)")
_TABLE = "tab(?:le|la|lo|el|ul)|taulu|táblá|bảng|табли|جدول|表|표"
"""What the word for a table has in it, from English and Spanish to Hungarian and Korean."""
_ASKED = {"json": re.compile("json", re.I), "table": re.compile(_TABLE, re.I)}


def fitting(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The forms in which an answer can keep the persona's rules; at least one.

    A required text can stand in any form, but a pattern, a ban or a format can rule a form out.
    """
    bound = [
        rule
        for rule in rules
        if isinstance(rule, MustNot | FormatRule) or (isinstance(rule, Must) and rule.pattern)
    ]
    found = tuple(form for form, sample in _SAMPLES.items() if not check(bound, sample))
    return found or ("sentence",)


def asked(form: str, question: str) -> bool:
    """Whether a question asks for a form that nobody would guess."""
    wanted = _ASKED.get(form)
    return wanted is None or wanted.search(question) is not None


def follows(form: str, answer: str) -> bool:
    """Whether an answer has a form."""
    if form == "json":
        try:
            return isinstance(json.loads(answer), dict | list)
        except (ValueError, RecursionError):
            return False
    if form == "sentence":
        return _SENTENCE_END.search(answer) is None
    pattern, least = _COUNTED[form]
    return len(pattern.findall(answer)) >= least
