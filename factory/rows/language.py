"""Tells when a text is clearly not in the language it should be in; silent when in doubt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from factory.contracts import Message

NAMES = {
    "en": "English", "zh": "Chinese", "ja": "Japanese", "ko": "Korean", "de": "German",
    "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese", "nl": "Dutch",
    "ru": "Russian", "ar": "Arabic",
}  # fmt: skip
"""English names of the languages we meet most; others are called by their code."""

_SCRIPTS = {
    "Han": "\u3400-\u4dbf\u4e00-\u9fff",
    "kana": "\u3040-\u30ff",
    "Hangul": "\u1100-\u11ff\uac00-\ud7af",
    "Cyrillic": "\u0400-\u052f",
    "Arabic": "\u0600-\u06ff\u0750-\u077f",
    "Greek": "\u0370-\u03ff",
    "Hebrew": "\u0590-\u05ff",
    "Thai": "\u0e00-\u0e7f",
    "Devanagari": "\u0900-\u097f",
    "Latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
}
_PATTERNS = {name: re.compile(f"[{span}]") for name, span in _SCRIPTS.items()}
_WRITTEN_IN = {
    "zh": {"Han"}, "ja": {"kana", "Han"}, "ko": {"Hangul"}, "el": {"Greek"}, "he": {"Hebrew"},
    "th": {"Thai"}, "ar": {"Arabic"}, "fa": {"Arabic"}, "ur": {"Arabic"}, "ru": {"Cyrillic"},
    "uk": {"Cyrillic"}, "bg": {"Cyrillic"}, "be": {"Cyrillic"}, "mk": {"Cyrillic"},
    "sr": {"Cyrillic", "Latin"}, "kk": {"Cyrillic"}, "mn": {"Cyrillic"}, "hi": {"Devanagari"},
    "mr": {"Devanagari"}, "ne": {"Devanagari"},
}  # fmt: skip
_TYPICAL = {"Han": "zh", "kana": "ja", "Hangul": "ko", "Cyrillic": "ru", "Arabic": "ar",
            "Greek": "el", "Hebrew": "he", "Thai": "th", "Devanagari": "hi"}  # fmt: skip
_DENSE = {"Han": 3, "kana": 2, "Hangul": 2}
"""A letter of these scripts says as much as this many Latin ones."""

_LATIN = ["en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "pl", "cs", "tr", "id", "vi",
          "fi", "ro", "hu"]  # fmt: skip
_COMMON_ENGLISH_TEXT = """
    the a an is are was be to of and in it you your that this for on with not have do i my we they
    at as or but if can will one so then what when how just
"""
_COMMON_ENGLISH = frozenset(_COMMON_ENGLISH_TEXT.split())
_SIBLINGS = frozenset(["da", "no", "sv"])
"""Too close to each other to be told apart in a few words."""
_MIN_LETTERS = 20
_SURE = 0.95
_NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|[\w.+-]{1,64}@\S+|<[^>\n]{1,80}>", re.S
)
_ABOUT_LANGUAGE = re.compile(
    r"\btranslat|\bin (?:english|french|spanish|german|italian|chinese|japanese|korean|russian"
    r"|latin|portuguese|dutch|arabic)\b|翻译|译成|译为|英文|英语|日语|法语|德语|中文|用\w语",
    re.I,
)


def about_language(messages: Sequence[Message]) -> bool:
    """Whether the right answer may be in another language than the persona's, by what users ask."""
    asked = " ".join(message["content"] for message in messages if message["role"] == "user")
    return _ABOUT_LANGUAGE.search(asked) is not None


def mismatch(text: str, expected: str) -> str | None:
    """The language of a text, if it is clearly another one than expected; else None.

    Code, addresses and markup are not looked at. Texts under about 20 letters (7 Chinese
    characters) are never judged, nor is anything held to a language that is unknown here.

    Args:
        text: What was written.
        expected: Two-letter code of the language it should be in.

    Returns:
        A two-letter code, or None if it fits or there is any doubt.
    """
    if expected not in _WRITTEN_IN and expected not in _LATIN:
        return None
    prose = _NOT_PROSE.sub(" ", text)
    letters = Counter({n: len(p.findall(prose)) * _DENSE.get(n, 1) for n, p in _PATTERNS.items()})
    total = letters.total()
    if total < _MIN_LETTERS:
        return None
    allowed = _WRITTEN_IN.get(expected, {"Latin"})
    if expected == "ja" and total >= 2 * _MIN_LETTERS and not letters["kana"] and letters["Han"]:
        return "zh"
    if expected == "zh" and letters["kana"] > 0.3 * total:
        return "ja"
    fitting = sum(letters[name] for name in allowed) / total
    if fitting < (0.1 if "Latin" not in allowed else 0.4):
        script = letters.most_common(1)[0][0]
        return _TYPICAL.get(script) or str(_identifier().classify(prose)[0])
    return _latin(prose, expected) if allowed == {"Latin"} else None


def _latin(prose: str, expected: str) -> str | None:
    words = re.findall(r"[^\W\d_]+", prose.casefold())
    english = sum(word in _COMMON_ENGLISH for word in words)
    if len(words) < 4 or (expected == "en" and english >= max(2, 0.15 * len(words))):
        return None
    # proper names and brands are no evidence of a language
    plain = " ".join(word for word in re.findall(r"\S+", prose) if not word[:1].isupper()) or prose
    sure = []
    for part in (prose, plain):
        ranking = _identifier().rank(part)
        likely, chance = ranking[0]
        doubt = chance < _SURE or {likely, expected} <= _SIBLINGS
        if likely == expected or doubt or expected not in dict(ranking):
            return None
        sure.append(str(likely))
    return sure[0] if sure[0] == sure[1] else None


@cache
def _identifier() -> Any:
    """The statistical identifier, for languages in Latin script; loaded when first needed."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(_LATIN)
    return identifier
