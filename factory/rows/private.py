"""Finds secrets and personal data in a text: keys, e-mail addresses, phone and card numbers."""

from __future__ import annotations

import re
from collections.abc import Callable

Check = Callable[[str], bool]


def _luhn(text: str) -> bool:
    digits = [int(c) for c in text if c.isdigit()]
    if not 13 <= len(digits) <= 19 or digits[0] not in (2, 3, 4, 5, 6) or len(set(digits)) == 1:
        return False
    doubled = [d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits[::-1])]
    return sum(doubled) % 10 == 0


def _chinese_id(text: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(d) * w for d, w in zip(text[:17], weights, strict=True))
    return "10X98765432"[total % 11] == text[17].upper()


def _iban(text: str) -> bool:
    compact = text.replace(" ", "")
    turned = compact[4:] + compact[:4]
    return 15 <= len(compact) <= 34 and int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def _real_email(text: str) -> bool:
    host = text.rsplit("@", 1)[1].lower()
    return not re.search(r"(^|\.)example(\.|$)|\.(test|invalid|localhost)$", host)


def _real_phone(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    # 555-01xx is set aside for fiction; 800 and the like are no person's numbers
    national = digits.removeprefix("1") if len(digits) == 11 else digits
    fictional = len(national) == 10 and national[3:6] == "555" and national[6:8] == "01"
    free = len(national) == 10 and national[:3] in ("800", "888", "877", "866", "855", "844", "833")
    return 8 <= len(digits) <= 15 and len(set(digits)) > 2 and not fictional and not free


def _yes(_: str) -> bool:
    return True


_KINDS: tuple[tuple[str, re.Pattern[str], Check], ...] = (
    (
        "secret key",
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bsk-[\w-]{20,}|\bAKIA[0-9A-Z]{16}\b"
            r"|\bgh[pousr]_\w{30,}|\bgithub_pat_\w{20,}|\bxox[abprs]-[\w-]{10,}|\bAIza[\w-]{35}"
            r"|\bhf_[A-Za-z0-9]{30,}|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"
        ),
        _yes,
    ),
    (
        "password",
        re.compile(
            r"(?:password|passwd|passcode|密码)\s*(?:is|=|:|：|是|为)\s*"
            r"(?=[^\s,，。]*\d)(?=[^\s,，。]*[A-Za-z])[^\s,，。]{8,}",
            re.I,
        ),
        _yes,
    ),
    (
        "e-mail address",
        re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,4}\.[A-Za-z]{2,}"),
        _real_email,
    ),
    ("identity number", re.compile(r"(?<!\d)[1-9]\d{5}(?:19|20)\d{9}[\dXx](?!\w)"), _chinese_id),
    (
        "identity number",
        re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\d-])"),
        _yes,
    ),
    (
        "bank account",
        re.compile(r"\b[A-Z]{2}\d\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"),
        _iban,
    ),
    ("card number", re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.]?\d)"), _luhn),
    (
        "phone number",
        re.compile(
            r"(?<![\w+])\+\d[\d ().-]{6,17}\d(?!\w)"
            r"|(?<![\w-])(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?![\w-])"
            r"|(?<!\d)1[3-9]\d(?:[ -]?\d{4}){2}(?!\d)"
        ),
        _real_phone,
    ),
)


_HINT = re.compile(r"\d|@|PRIVATE KEY|\b(?:sk-|gh[pousr]_|github_pat_|xox|AIza|hf_|eyJ)")
"""What a text must have to be looked at closely; most have none of it."""


def find(text: str) -> list[str]:
    """Kinds of secrets and personal data in a text, without repeats, in the order looked for.

    Addresses and numbers that are set aside for examples do not count.
    """
    if not _HINT.search(text):
        return []
    kinds = [k for k, pattern, real in _KINDS if any(real(m[0]) for m in pattern.finditer(text))]
    return list(dict.fromkeys(kinds))


def mask(text: str) -> str:
    """The text with what `find` finds replaced by its kind in brackets, for reports."""
    for kind, pattern, real in _KINDS:
        found = [match[0] for match in pattern.finditer(text) if real(match[0])]
        for private in sorted(found, key=len, reverse=True):
            text = text.replace(private, f"[{kind}]")
    return text
