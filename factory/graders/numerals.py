"""Reads the last number of an answer: digits, English words or Chinese numerals."""

from __future__ import annotations

import re
import unicodedata

from factory.rows.words import denied

_DECIMAL_COMMA_CODES = "de fr es it pt nl pl cs sk ru uk bg sv da no fi tr id ro hu el hr sl sr vi"
_DECIMAL_COMMA = frozenset(_DECIMAL_COMMA_CODES.split())
"""Languages that write 1.000,5 (or 1 000,5) for one thousand and a half."""

_UNITS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20,
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
    "dozen": 12,
}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_CHINESE = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_CHINESE_TENS = {"十": 10, "百": 100, "千": 1000}
_CHINESE_SCALES = {"万": 10_000, "亿": 100_000_000}
_ALL_SCALES = _SCALES | _CHINESE_TENS | _CHINESE_SCALES

_WORD = "|".join([*_UNITS, *_SCALES])
_ENGLISH = re.compile(
    rf"(?:\b(minus|negative)\s+)?\b((?:{_WORD})(?:(?:\s+and\s+|[\s-]+)(?:{_WORD}))*)"
    rf"(?:\s+point((?:\s+(?:{_WORD}))+))?\b",
    re.I,
)
_CHINESE_NUMBER = re.compile(
    r"负?[零〇一二两三四五六七八九十百千万亿]+(?:点[零〇一二三四五六七八九]+)?"
)
_LIST_MARK = re.compile(r"^[ \t]*(\d+)[.)][ \t]+(?=\S)", re.M)
_FOOTNOTE = re.compile(r"(?<=[\w.,])\s?\[\d+\]")
_FRACTIONS = {"½": 5, "¼": 25, "¾": 75}
_FRACTION = re.compile(r"(?:(\d)\s*)?([½¼¾])")
_DIGITS = re.compile(
    r"(?P<sign>(?<![\w.)\]])[-\u2212]\s?|(?<!\w)(?:minus|负)\s?)?"
    r"(?<![A-Za-z\d_])(?<!\d[.,])"
    r"(?P<number>\d{1,3}(?:[,.' _]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)*|\.\d+)"
    r"(?P<exponent>[eE][-+]?\d+)?"
    r"(?:\s*(?P<scale>hundred|thousand|million|billion|[百千万亿]+)(?![A-Za-z]))?",
)


def last_number(text: str, language: str) -> float | None:
    """The last number of a text, or None if there is none.

    Digits win over words, since "one" and its like are also pronouns; list marks and footnote marks
    are no numbers, and a number right after "not" is not the answer. A lone "one" counts only if
    nothing else does.

    Args:
        text: An answer.
        language: Two-letter code; decides whether 1,000 is a thousand or one.
    """
    text = _FRACTION.sub(lambda m: f"{m[1] or ''}.{_FRACTIONS[m[2]]}", _FOOTNOTE.sub("", text))
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"\*+|`|\{,\}", lambda m: "," if m[0] == "{,}" else " ", text)
    marks = [int(mark[1]) for mark in _LIST_MARK.finditer(text)]
    if marks[:2] == [1, 2]:
        text = _LIST_MARK.sub("", text)
    matches = [match for match in _DIGITS.finditer(text) if not denied(text, match.start())]
    found = [_from_digits(match, language) for match in matches]
    if found:
        return found[-1]
    if language in ("zh", "ja") or re.search("[\u4e00-\u9fff]", text):
        spelled = [(m[0], _from_chinese(m[0])) for m in _CHINESE_NUMBER.finditer(text)]
    else:
        spelled = [(m[0], _from_english(m)) for m in _ENGLISH.finditer(text)]
    sure = [value for said, value in spelled if said.lower() not in ("one", "一")]
    return sure[-1] if sure else (spelled[-1][1] if spelled else None)


def _from_digits(match: re.Match[str], language: str) -> float:
    digits = re.sub(r"[' _]", "", match["number"])
    decimal, thousands = (",", ".") if language in _DECIMAL_COMMA else (".", ",")
    # 1.234.567 and 1,234.5 say by themselves which mark is which
    if digits.count(decimal) > 1 or (
        0 <= digits.find(decimal) < digits.find(thousands) and digits.count(thousands) == 1
    ):
        decimal, thousands = thousands, decimal
    grouped = re.fullmatch(rf"\d{{1,3}}(?:\{thousands}\d{{3}})+(?:\{decimal}\d+)?", digits)
    digits = digits.replace(thousands, "" if grouped else ".").replace(decimal, ".")
    if digits.count(".") > 1:  # 1,2,3 is a list
        digits = digits.rsplit(".", 1)[1]
    value = float(digits + (match["exponent"] or ""))
    scale = (match["scale"] or "").lower()
    for part in [scale] if scale in _SCALES else scale:
        value *= _ALL_SCALES[part]
    return -value if match["sign"] else value


def _from_english(match: re.Match[str]) -> float:
    total = current = 0.0
    for word in re.findall(r"[a-z]+", match[2].lower()):
        if word in _UNITS and word != "dozen":
            current += _UNITS[word]
        elif word == "dozen":
            current = max(current, 1) * 12
        elif word == "hundred":
            current = max(current, 1) * 100
        elif word in _SCALES:
            total += max(current, 1) * _SCALES[word]
            current = 0
    fraction = "".join(str(_UNITS.get(word, 0)) for word in (match[3] or "").lower().split())
    value = total + current + (float(f"0.{fraction}") if fraction else 0)
    return -value if match[1] else value


def _from_chinese(said: str) -> float:
    whole, _, fraction = said.removeprefix("负").partition("点")
    if len(whole) > 1 and all(character in _CHINESE for character in whole):
        value = float("".join(str(_CHINESE[character]) for character in whole))  # 二〇二四
    else:
        value = _chinese_whole(whole)
    if fraction:
        value += float("0." + "".join(str(_CHINESE[character]) for character in fraction))
    return -value if said.startswith("负") else value


def _chinese_whole(said: str) -> float:
    total = section = digit = 0
    unit = 1
    for character in said:
        if character in _CHINESE:
            digit = _CHINESE[character]
            unit = 1 if character in "零〇" else max(1, unit)
        elif character in _CHINESE_TENS:
            unit = _CHINESE_TENS[character]
            section += (digit or 1) * unit
            digit = 0
        else:
            unit = _CHINESE_SCALES[character]
            larger = total if unit > _CHINESE_SCALES["万"] else 0
            total += (larger + section + digit or 1) * unit - larger
            section = digit = 0
    # 二百七 is 270 and 一万二 is 12 000: the last unit's tenth is left out in speech
    return total + section + digit * (unit // 10 if digit and unit >= 100 else 1)
