"""Checks of one conversation: turns, control tokens, a teacher model's phrases, cut-off answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from factory.contracts import Message
from factory.rows.words import count_words

# --- turns -------------------------------------------------------------------------------------


def turns(messages: Sequence[Message]) -> str | None:
    """What is wrong with the order of turns, or None.

    Right is: at most one system message, first; then user and assistant in turn, ending with the
    assistant.
    """
    roles = [message["role"] for message in messages]
    if "system" in roles[1:]:
        return f"turn {roles.index('system', 1) + 1} is a system message; only the first may be"
    talk = roles[1:] if roles[:1] == ["system"] else roles
    if not talk:
        return "no user and no assistant turn"
    if talk[0] != "user":
        return "the first turn is the assistant's; a user turn must come first"
    for number, (one, following) in enumerate(pairwise(talk), 1):
        if one == following:
            return f"turns {number} and {number + 1} are both the {one}'s"
    return None if talk[-1] == "assistant" else "the last turn is the user's; nothing answers it"


def empty(messages: Sequence[Message]) -> str | None:
    """Which turn has no text, or None."""
    for number, message in enumerate(messages, 1):
        if not message["content"].strip():
            return f"turn {number} ({message['role']}) is empty"
    return None


def control_token(text: str, controls: re.Pattern[str] | None) -> str | None:
    """The first thing in a text that its base reads as a control token, or None.

    Such a text ends its own turn in training, and is another one when it is served: the server
    breaks these tokens apart.

    Args:
        text: What somebody said.
        controls: See `factory.chat.ChatFormat.controls`.
    """
    found = controls.search(text) if controls else None
    return found[0] if found else None


# --- what a teacher model leaves behind --------------------------------------------------------

_SELF = {
    "speaks as a language model": re.compile(
        r"\bas an? (?:(?:large |helpful )?(?:AI|artificial intelligence)\b(?! (?:student|engineer"
        r"|researcher|expert|company|startup|tool))|(?:large )?language model)"
        r"|\bI(?:'| a)m (?:just |only )?an? (?:large |AI )*language model\b"
        # only of itself: anybody may say that a phone's system was developed by Google
        r"|\b(?:I(?:'m| am| was|(?:'ve| have) been)|my name is|as(?=[^.!?\n]{0,120}\bI\b)) "
        r"(?:[\w.-]+, )?(?:an? (?:(?!of\b)[\w-]+ ){0,4}(?:model|assistant|(?:chat)?bot|AI|system),? )?"
        r"(?:(?:that|which|who) (?:was|is|has been) )?(?:\w+ly )?(?:\w+ed and )?"
        r"(?:trained|developed|created|made) by (?:OpenAI|Anthropic|Google|Meta AI|Alibaba)\b"
        r"|\bmy (?:training data|knowledge cut-?off)\b"
        r"|作为(?:一[个名款])?\s*(?:AI|人工智能|大?语言模型|大模型|智能助手|虚拟助手)"
        r"|我(?:只)?是(?:一个)?(?:由)?\s*(?:OpenAI|阿里云|百度|通义千问|文心一言|ChatGPT)",
        re.I,
    ),
    "refuses like a teacher model": re.compile(
        r"\bI(?:'m| am) (?:really |very |so )?sorry,? but I "
        r"(?:can(?:'t|not)|am (?:not able|unable))"
        r"|^(?:sorry,? )?I (?:cannot|can't|am unable to|'m unable to) "
        r"(?:assist|comply|fulfill|provide (?:assistance|help)|help (?:you )?with (?:that|this))\b"
        r"|^(?:很|非常)?抱歉[,，]\s*我(?:无法|不能)(?:提供|协助|帮助|回答|满足)",
        re.I,
    ),
}
_CANNED = {
    "opens like a teacher model": re.compile(
        r"^(?:sure|certainly|absolutely|of course|great question|happy to help)\b[!,.:]*\s*"
        r"(?:here(?:'s| is| are)\b|I(?:'d| would) be (?:happy|glad)|let me|I can help)"
        r"|^(?:当然可以|当然|好的)[!！,，。]\s*(?:以下是|这是|下面是|我很乐意|让我)",
        re.I,
    ),
    "ends like a teacher model": re.compile(
        r"(?:\bI hope (?:this|that) helps(?: you)?"
        r"|\b(?:please )?(?:feel free|don't hesitate) to (?:ask|reach out|contact me|let me know)\b"
        r"[^.!?\n]{0,60}"
        r"|\blet me know if (?:you (?:have|need)|there(?:'s| is))\b[^.!?\n]{0,60}"
        r"|\bis there anything else (?:I can|you)\b[^.!?\n]{0,60}"
        r"|\bif you have any (?:other |more |further )?questions\b[^.!?\n]{0,60}"
        r"|希望(?:这|以上)[^。！!\n]{0,12}(?:帮助|帮到)[^。！!\n]{0,6}"
        r"|如果(?:你|您)(?:还|有)[^。！!\n]{0,12}(?:问题|疑问|需要)[^。！!\n]{0,20}"
        r"|(?:请|欢迎)?随时(?:问我|告诉我|联系我|提问))[.!?。！？~\s😊🙂]*$",
        re.I,
    ),
}


def boilerplate(answer: str, own: frozenset[str] = frozenset()) -> str | None:
    """Which habit of a teacher model an answer has, with the words that show it, or None.

    Args:
        answer: What the assistant said.
        own: Names of canned habits (`canned`) that belong to this persona and are let through.
    """
    plain = answer.replace("\u2019", "'")
    for name, pattern in (_SELF | _CANNED).items():
        match = None if name in own else pattern.search(plain)
        if match:
            return f'{name}: "{match[0].strip()[:60]}"'
    return None


def canned(answer: str) -> frozenset[str]:
    """Canned openings and endings of an answer; in a seed of the persona file they are its own."""
    plain = answer.replace("\u2019", "'")
    return frozenset(name for name, pattern in _CANNED.items() if pattern.search(plain))


# --- answers that stop before their end --------------------------------------------------------

_FINAL = re.compile(
    r"[.!?…。！？\u061f\u06d4\u0964~～)\]}）】」』》\"'”’»*_`|>\U0001F000-\U0001FAFF\u2600-\u27bf\ufe0f]$"
)
_STOP = re.compile(r"[.!?。！？…\u061f\u06d4\u0964]")  # the last three: Arabic, Urdu, Hindi
_OPENED_BY = {"\u201c": "\u201e", "\u2018": "\u201a", "\u00ab": "\u00bb"}
"""Marks that open a quote in English or French and close one in German or Czech, each with the
mark that opens it there."""
_NEVER_LAST = re.compile(
    r"(?:\b(?:the|an?|and|or|nor|of|because|than|my|your|their|whose|its|our|if|which|into|"
    r"although|unless|whether|such as|e\.g\.|i\.e\.|is to|are to|was to|is that|and then|so that|"
    r"in order to)|和|与|或者?|而且?|但是?|因为|所以|以及|并且?|把|如果|虽然|例如|比如)$",
    re.I,
)
_SELDOM_LAST = re.compile(
    r"\b(?:to|in|on|at|by|for|with|from|is|are|was|were|be|that|this|these|when|while|as|so|can|"
    r"will|should|would|could|may|but|has|have|had|not|very|more|about|between|after|before)$",
    re.I,
)
_LIST_LINE = re.compile(r"^\s*(?:[-*+•·]|\d+[.)、]|#{1,6} |\||[A-Z][\w ]{0,24}:)")
_LONG = 25


def cut_off(answer: str) -> str | None:
    """Why an answer seems to stop before its end, or None.

    Cautious: an answer without a final stop is fine unless it ends in a comma, an open bracket or a
    word that cannot be last, leaves a code block, bracket or quote open, or is long prose that
    otherwise has its stops.
    """
    text = answer.rstrip()
    if text.count("```") % 2:
        return "a code block is not closed"
    last = text.rsplit("\n", 1)[-1].strip()
    if not text or "```" in last or re.search(r"https?://\S*$", last):
        return None
    tail = last[-30:]
    if _finished(text):
        return None
    if re.search(r"[,，、:：([{（【《“‘]$|(?<=\w)[-–—]$", text):
        return f'it ends in "{tail}"'
    if _open(text):
        return f'a bracket or quote is not closed before the end "{tail}"'
    words = count_words(text)
    # a single stop earlier on shows that this writer uses them
    punctuated = len(_STOP.findall(text)) >= 1
    if words >= 4 and _NEVER_LAST.search(last):
        return f'it ends in "{tail}"'
    if words >= 6 and _SELDOM_LAST.search(last) and (punctuated or words >= 10):
        return f'it ends in "{tail}"'
    earlier = [line.rstrip() for line in text.split("\n")[:-1] if line.strip()]
    verse = sum(not _finished(line) for line in earlier) * 2 > len(earlier)
    prose = not _LIST_LINE.match(last) and count_words(_STOP.split(last)[-1]) >= 5 and not verse
    if words >= _LONG and punctuated and prose:
        return f'no stop after "{tail}"'
    return None


def unfinished(answer: str) -> bool:
    """Whether an answer of some words lacks a final stop; telling only if the others have one."""
    text = answer.rstrip()
    last = text.rsplit("\n", 1)[-1]
    return count_words(text) >= 6 and not _finished(text) and not _LIST_LINE.match(last)


def _finished(text: str) -> bool:
    """Whether a text ends in a stop, or in what may stand after or for one."""
    opened_by = _OPENED_BY.get(text[-1:])
    if opened_by:
        return text.count(opened_by) >= text.count(text[-1])
    return _FINAL.search(text) is not None


def _open(text: str) -> bool:
    pairs = ("()", "（）", "【】", "《》", "「」")
    if any(text.count(pair[0]) > text.count(pair[1]) for pair in pairs):
        return True
    if text.count("“") > text.count("”") + text.count("„"):
        return True
    # 6" is a length, not a quote
    return len(re.findall(r'(?<!\d)"', text)) % 2 == 1
