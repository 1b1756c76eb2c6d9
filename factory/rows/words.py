"""Splits text into words and says how much meaning each carries, in English, Chinese and others."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

CJK = (
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
"""Regular-expression range of characters that count as a word each: kana, Han and Hangul."""

_CJK_CHARACTER = re.compile(f"[{CJK}]")
_BREAK = re.compile(
    r"\s|[\u2014\u2013\u2026/|()\[\]{}<>\"\u201c\u201d\u3000-\u303f\uff00-\uff0f\uff1a-\uff20]"
    r"|(?<!\d)[,;:!?]|[,;:!?](?!\d)"
)
_OPERATOR = r"[-+*/×÷^=<>](?=\s*[\d(])|(?<=\d)[-+*/×÷^=<>]|(?<=\d )[-+*/×÷^=<>]"
_TOKEN = re.compile(
    rf"[{CJK}]|\d+(?:[.,]\d+)*|[^\W\d_]+(?:'[^\W\d_]+)*|{_OPERATOR}",
)

FUNCTION = 0.2
"""Weight of a word that only holds the sentence together."""
REQUEST = 0.4
"""Weight of a word that asks, or that fits any request."""
CONTENT = 1.0
"""Weight of a word that says what the text is about."""
CHARACTER = 0.4
"""Weight of one Han, kana or Hangul character that carries meaning."""
BIGRAM = 0.6
"""Weight of two such characters in a row; with its two characters a word of two weighs 1.4."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FUNCTION_WORDS = _words("""
    a an the this that these those there here it its he him his she her hers they them their
    theirs i me my mine myself you your yours yourself we us our ours one ones someone something
    anything is are was were be been being am do does did doing done have has had having will
    would shall should can could may might must of in on at to for from with by about into onto as
    and or but if so than then too very really just only also still again ever some any all each
    every both which what whatever s d ll re ve m t up out off over

    der die das den dem des ein eine einen einem einer und oder ist sind war ich du er sie es wir
    ihr mir mich dir dich zu im in mit von für auf an bei aus nach wie was man kann soll wird habe
    hat le la les un une des du de et ou est sont je tu il elle nous vous ils mon ma mes que qui ce
    cette dans en sur pour par avec se au aux el los las una unos unas del y o es son yo mi tu su
    al con por para que lo como
""")
_REQUEST_WORDS = _words("""
    how why when where who whom whose many much please tell explain describe give show help need
    want know like let get got make made say think good better best great way ways tip tips advice
    idea ideas thing things quick quickly thanks thank hello hi hey okay ok
    + - * / × ÷ ^ = < >
""")
_FUNCTION_CHARACTERS = frozenset(
    "的了吗呢啊吧呀嘛哦是我你您他她它们这那在和与就都也还很太要会能可以请问想给把被让对从到得地着过"
    "怎么样如何什哪谁为啥几个些一下点儿啦喔哈"
)
_NEGATIONS = _words("not no never without nor cannot 不 没 别 无 非")
_ASKING = _words("why when where who whom whose + - * / × ÷ ^ = < >")
_DENIAL = re.compile(
    r"(?:\b(?:not|isn't|wasn't|aren't|never|neither|nor|rather than|instead of)\s+(?:the |an? )?"
    r"|(?:不是|并非|而非|不叫|不在|不等于))[\"'“‘(《]*$",
    re.I,
)
_DIGITS = {
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "twenty": "20",
    "thirty": "30", "forty": "40", "fifty": "50", "hundred": "100", "thousand": "1000",
}  # fmt: skip


def is_cjk(token: str) -> bool:
    """Whether a token is a single kana, Han or Hangul character."""
    return len(token) == 1 and _CJK_CHARACTER.match(token) is not None


def count_words(text: str) -> int:
    """Number of words as a reader counts them.

    A Chinese, Japanese or Korean character counts one, and so does a run of letters or digits
    between spaces ("don't", "well-known" and "1,000" are one each). Punctuation and emoji count
    nothing.
    """
    characters = len(_CJK_CHARACTER.findall(text))
    rest = _CJK_CHARACTER.sub(" ", text) if characters else text
    return characters + sum(any(map(str.isalnum, part)) for part in _BREAK.split(rest) if part)


def normalise(text: str) -> str:
    """Text with width, case and apostrophes made equal and contractions written out."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    if "'" in text:
        text = re.sub(r"\bcan't\b", "can not", text)
        text = re.sub(r"\bwon't\b", "will not", text)
        text = re.sub(r"n't\b", " not", text)
        text = re.sub(r"'(s|re|ve|ll|d|m)\b", r" \1", text)
    return text


def tokens(text: str) -> list[str]:
    """Words in their order: letters run together, numbers, and single CJK characters.

    Number words become digits ("two" and "2" are one word) and English endings are taken off, so
    that "boiling eggs" and "boil an egg" share two words. A text without any word (an emoji) is one
    token.
    """
    plain = normalise(text)
    return [_stem(token) for token in _TOKEN.findall(plain)] or plain.split()[:1]


@lru_cache(1 << 16)
def _stem(token: str) -> str:
    if token in _DIGITS:
        return _DIGITS[token]
    if len(token) < 4 or not token.isascii() or not token.isalpha():
        return token.replace(",", "") if token[0].isdigit() else token
    if token in _FUNCTION_WORDS or token in _REQUEST_WORDS:
        return token
    if token.endswith("ies") and len(token) > 4:
        token = token[:-3] + "y"
    elif re.search(r"(s|x|z|ch|sh)es$", token):
        token = token[:-2]
    elif token.endswith("s") and not token.endswith(("ss", "us", "is")):
        token = token[:-1]
    shorter = re.sub(r"(?<!e)ed$|ing$", "", token)
    if len(shorter) > 2 and re.search("[aeiouy]", shorter):
        token = re.sub(r"([bdgmnprt])\1$", r"\1", shorter) if shorter != token else token
    return token.removesuffix("e")


@lru_cache(1 << 16)
def weight(token: str) -> float:
    """How much a token of `tokens` says about the subject, from FUNCTION to CONTENT."""
    if token in _FUNCTION_WORDS or token in _FUNCTION_CHARACTERS or "\u3040" <= token <= "\u309f":
        return FUNCTION
    if token in _REQUEST_WORDS:
        return REQUEST
    return CHARACTER if is_cjk(token) else CONTENT


def decides(token: str) -> bool:
    """Whether another token in its place makes another question."""
    value = weight(token)
    return value == CONTENT or token in _ASKING or (is_cjk(token) and value > FUNCTION)


def negations(words: list[str]) -> int:
    """How many of these tokens deny something."""
    return sum(word in _NEGATIONS for word in words)


def denied(text: str, at: int) -> bool:
    """Whether what starts at this place of a text comes right after "not" or the like."""
    return _DENIAL.search(text[max(0, at - 40) : at]) is not None
