"""Mends what software spoiled: mojibake, control characters, line endings; never the wording."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MOJIBAKE = "mojibake"
CONTROL = "control_characters"

_LOST = re.compile("\ufffd|锟斤拷|烫烫烫|屯屯屯")
"""The replacement character, and what is left of it after one more wrong decoding."""
_READ_AS_GBK = re.compile("[锛銆鈥]")
"""What Chinese commas, stops and quotes become in that case; nobody writes these characters."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
_JOINERS = "\u200c\u200d"
_MARKS = "\u200e\u200f"
_EVERYDAY = re.compile("[\u2010-\u2026\u3000-\u30ff\u4e00-\u9fff\uff00-\uff60]")
_HAN = re.compile("[\u3400-\u9fff]{2,}")
_MUCH = 0.1
"""Share of removed characters from which a text is not mended but given up."""


@dataclass(frozen=True, slots=True)
class Mended:
    """A text after repair: what was done (reason codes), or why it cannot be mended."""

    text: str
    repairs: tuple[str, ...] = ()
    lost: str | None = None
    """A reason code if the text cannot be mended, else None."""
    detail: str = ""


_HALVES = re.compile("[\ud800-\udfff]")


def whole(text: str) -> str:
    """Text with U+FFFD for halves of characters, which JSON can hold, and no file and no request."""
    return text if text.isascii() else _HALVES.sub("\ufffd", text)


def mend(text: str) -> Mended:
    """Repair a text; each kind of repair is named.

    Codes: `mojibake` (wrongly decoded text decoded again), `control_characters` (control and
    invisible characters removed), `line_endings`, `unicode_form` (NFC), `whitespace` (blanks around
    the text removed).
    """
    codes: list[str] = []
    fixed = _decoded_again(text)
    if fixed is None:
        place = _LOST.search(text)
        at = f" at character {place.start() + 1}" if place else ""
        return Mended(text, (), MOJIBAKE, f"letters were lost in a wrong encoding{at}")
    codes += [MOJIBAKE] * (fixed != text)

    plain = fixed.replace("\r\n", "\n").replace("\r", "\n")
    plain = plain.replace("\u2028", "\n").replace("\u2029", "\n\n")
    codes += ["line_endings"] * (plain != fixed)

    shown = _ESCAPES.sub("", plain)
    visible = _without_control(shown)
    removed = len(shown) - len(visible)
    if removed > max(3, _MUCH * len(plain)):
        detail = f"{removed} of {len(plain)} characters are control characters"
        return Mended(text, (), CONTROL, detail)
    codes += [CONTROL] * (visible != plain)

    composed = unicodedata.normalize("NFC", visible)
    codes += ["unicode_form"] * (composed != visible)
    trimmed = composed.strip()
    codes += ["whitespace"] * (trimmed != composed)
    return Mended(trimmed, tuple(codes))


def _decoded_again(text: str) -> str | None:
    """The text with wrong decodings undone; None if letters are lost for good."""
    if text.isascii():
        return text
    if _LOST.search(text):
        return None
    chinese = _from_gbk(text)
    if chinese is not None:
        return chinese
    if _READ_AS_GBK.search(text):
        return None
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    if not is_bad(text):
        return text
    fixed = fix_encoding(text)
    return None if _LOST.search(fixed) or is_bad(fixed) else fixed


def _from_gbk(text: str) -> str | None:
    """UTF-8 Chinese that was read as GBK ("浣犲ソ" for "你好"), or None if it is no such text.

    Real Chinese hardly ever encodes to bytes that are valid UTF-8, and if it does in a word or two,
    then not to everyday characters.
    """
    if not _HAN.search(text):
        return None
    try:
        fixed = text.encode("gb18030").decode("utf-8")
    except UnicodeError:
        return None
    strange = [character for character in fixed if ord(character) > 127]
    everyday = len(_EVERYDAY.findall(fixed))
    return fixed if len(strange) >= 2 and everyday >= 0.9 * len(strange) else None


def _without_control(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(lambda found: _kept(text, found.start()), text)


def _kept(text: str, at: int) -> str:
    """The invisible character at a place if its script or an emoji needs it, else nothing."""
    character = text[at]
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if character in _JOINERS and before and after:
        joins = _needs_joiner(before) and _needs_joiner(after)
        return character if joins else ""
    if character in _MARKS and any(unicodedata.bidirectional(c) in ("R", "AL") for c in text):
        return character
    return ""


def _needs_joiner(character: str) -> bool:
    code = ord(character)
    emoji = code >= 0x1F000 or 0x2190 <= code <= 0x2BFF or code == 0xFE0F
    return emoji or 0x0600 <= code <= 0x0DFF or 0x1000 <= code <= 0x109F
