"""Numbers, durations and untrusted text in the form every rendering of a report shows them."""

from __future__ import annotations

import math
import re
from typing import Any

NOTHING = "\N{EN DASH}"
"""What stands where a value is missing: never a zero (law 8)."""

_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Escape sequences move a terminal's cursor, bidi overrides reorder what a person reads, lone
# surrogates cannot be written as UTF-8: none of them may leave a model's answer.
_UNSAFE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

HEADINGS_ZH = {
    "What to do next": "下一步",
    "Why this verdict": "判定依据",
    "Numbers": "指标",
    "Answers side by side": "回答对比",
    "The voice": "语气",
    "Skills and safety": "能力与安全",
    "Data": "数据",
    "Training": "训练",
    "Proof of the merge": "合并校验",
    "How it was made": "构建记录",
}


def clean(text: object) -> str:
    """Text without control codes, with plain line feeds; unsafe characters become U+FFFD."""
    return _UNSAFE.sub("\ufffd", _BREAKS.sub("\n", str(text)))


def clean_all(value: Any) -> Any:
    """The same data, every text in it cleaned, keys included."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): clean_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_all(item) for item in value]
    return value


def heading(title: str, language: str) -> str:
    """A section's heading in the report's language (Chinese or English)."""
    return HEADINGS_ZH.get(title, title) if language == "zh" else title


def number(value: float | None, unit: str = "") -> str:
    """A value as people read it, about three digits; `share` (0 to 1) is shown in percent."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit == "share":
        return f"{math.floor(100 * value + 0.5)}%"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if float(value).is_integer() or size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"


def signed(value: float | None, unit: str = "") -> str:
    """A difference with its sign; shares differ in percentage points."""
    if value is None or math.isnan(value):
        return NOTHING
    size = abs(value)
    if unit == "share":
        text = f"{math.floor(100 * size + 0.5)}"
    else:
        text = f"{size:.2f}" if size < 10 else number(size)
    if not text.strip("0."):
        return "0"
    return ("+" if value > 0 else "\N{MINUS SIGN}") + text


def amount(value: float | None, unit: str = "", *, sign: bool = False) -> str:
    """A difference with its unit: `3 points`, `+1 point`, `0.61 nats`."""
    text = signed(value, unit)
    if text == NOTHING:
        return text
    name = {"share": "points", "nats per token": "nats"}.get(unit, unit)
    if name == "points" and text[1:] == "1":
        name = "point"
    return f"{text if sign else text.removeprefix('+')} {name}".rstrip()


def duration(seconds: float) -> str:
    """Wall time: `0.3 s`, `38 s`, `2 min 05 s`, `1 h 12 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float) -> str:
    """Time left: `0:52`, `12:05`, `1:02:05`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def plural(count: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def sentence(text: str) -> str:
    """The text with a capital at its start and a stop at its end."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?。" else ".")


def spoken(code: str) -> str:
    """A reason code as words: `near_duplicate` becomes `near duplicate`."""
    return code.replace("_", " ")
