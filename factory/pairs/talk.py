"""Phrases that give a teacher away: refusals, talk about the role, and questions that name a style."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from factory.rows.words import CONTENT, is_cjk, tokens, weight

_REFUSES = re.compile(
    r"\bI(?: can(?:no|')t| can not| won't| will not| must decline to|(?: am|'m) (?:not able|unable|not"
    r" going|not allowed) to|(?: would|'d) rather not| have to decline to) (?:really |possibly )?"
    r"(?:help|assist|comply|do (?:that|this)|provide|fulfil|answer|discuss|share|support|teach"
    r"|tell you how to|show you how to|explain how to"
    r"|give (?:you )?(?:that|those|this|instructions))\b"
    r"|\bnot something I (?:can|will|do)\b|\bsomething I (?:can't|cannot|won't)\b"
    r"|\bI (?:must|have to) (?:refuse|decline)\b"
    r"|我(?:不能|无法|没法|不会|不可以|帮不了|不便)(?:帮|协助|提供|回答|教|告诉|满足|替|讨论|给)"
    r"|(?:这|那)(?:个|件|种)?(?:事|忙)?我(?:不能|没法|帮不了|不干|不做)|恕我|爱莫能助",
    re.I,
)
_WARNS = re.compile(
    r"\b(?:don't|do not|never|won't|not safe|unsafe|dangerous|illegal|against the law|let's not"
    r"|leave (?:it|that) alone|better not|stop there|no)\b"
    r"|不要|别|不行|不能|不可以|危险|违法|犯法|使不得|算了",
    re.I,
)
_ROLE = re.compile(
    r"\b(?:in|out of|breaking|staying in) character\b|\bmy (?:persona|role ?play|system prompt)\b"
    r"|\bas (?:a|an|your) (?:(?:helpful|friendly|virtual|digital|personal|concise|humou?rous|witty)[ ,]+)*"
    r"(?:assistant|chatbot|persona)\b|\bthe user (?:asks|asked|wants|is asking)\b"
    r"|\b(?:my|these|the) instructions (?:say|said|tell|told|are|were)\b"
    r"|^(?:answer|response|reply|assistant)\s*[:：]"
    r"|(?:按照|根据)(?:你的|您的|我的)?(?:设定|人设|指令)|我的(?:人设|设定|系统提示)|^(?:回答|答)\s*[:：]",
    re.I,
)
_MAKER = re.compile(
    r"\b(?:I(?:'m| am)|my name is|call me|this is) (?:ChatGPT|GPT|Claude|Gemini|Llama|Qwen|Mistral"
    r"|DeepSeek|Gemma|Phi|Grok|Kimi|Bard|Copilot)\b"
    r"|(?:我是|我叫)\s*(?:ChatGPT|GPT|Claude|Gemini|通义|文心|豆包|DeepSeek|Kimi|混元|智谱)",
    re.I,
)
_ASKS_STYLE = re.compile(
    r"\b(?:in|with) an? (?:\w+[ -]){1,2}(?:tone|style|voice|manner)\b|\bin the style of\b"
    r"|\b(?:pretend|role-?play|act as|answer as|talk like|speak like)\b"
    r"|\b(?:be|keep it|make it) (?:very |more )?(?:brief|short|concise|funny|witty|formal|casual)\b"
    r"|\bin (?:one|two|a few|\d+) (?:words?|sentences?)\b"
    r"|用\S{1,6}的?(?:语气|口吻|风格|方式)(?:回答|说|讲|解释)|扮演|假装你|(?:简短|幽默|搞笑|正式)地",
    re.I,
)
_NOT_A_MESSAGE = re.compile(
    r"^(?:here (?:are|is)|below (?:are|is)|questions?\s*\d*\s*[:：]|topics?\s*[:：]|messages?\s*\d*"
    r"\s*[:：]|sure\b|certainly\b|以下是|这是\S{0,6}问题|问题\s*\d*\s*[:：]|话题\s*[:：])",
    re.I,
)
_PLACEHOLDER = re.compile(
    r"\[[A-Za-z][\w ']{1,30}\]|<[A-Za-z][\w ']{1,30}>|\{\w{2,30}\}|\bX{3,}\b|[【\[]\S{1,8}[】\]]"
)


def refuses(answer: str) -> bool:
    """Whether an answer says that its speaker will not or cannot do what was asked."""
    return _REFUSES.search(answer.replace("\u2019", "'")) is not None


def declines(answer: str) -> bool:
    """Whether an answer refuses, or at least tells people not to do it."""
    return refuses(answer) or _WARNS.search(answer.replace("\u2019", "'")) is not None


def role(answer: str) -> str | None:
    """Words with which an answer speaks of its own role or orders, or None."""
    match = _ROLE.search(answer.replace("\u2019", "'").strip())
    return match[0].strip() if match else None


def maker(answer: str) -> str | None:
    """Words with which an answer takes the name of another program, or None."""
    match = _MAKER.search(answer.replace("\u2019", "'"))
    return match[0].strip() if match else None


def no_message(text: str) -> bool:
    """Whether a text announces questions instead of being one."""
    return _NOT_A_MESSAGE.match(text) is not None


def placeholder(text: str) -> bool:
    """Whether a text has a gap that somebody should have filled."""
    return _PLACEHOLDER.search(text) is not None


class Traits:
    """Finds the persona's traits in questions: with them the answer would be asked for, not learnt.

    Args:
        voice: The persona's traits, a few words each. A part of one word is banned as a word, a
            longer one as a phrase.
    """

    def __init__(self, voice: Sequence[str]) -> None:
        parts = {tuple(tokens(part)) for trait in voice for part in _parts(trait)}
        self._phrases = sorted(part for part in parts if _telling(part))

    def found(self, question: str, topics: Sequence[str] = ()) -> bool:
        """Whether a question names a trait or asks for a style.

        Args:
            question: What a user would say.
            topics: What it should be about; a trait that a topic names is no trait there.
        """
        if _ASKS_STYLE.search(question):
            return True
        said = tokens(question)
        named = [part for part in self._phrases if _within(part, said)]
        return any(not any(_within(part, tokens(topic)) for topic in topics) for part in named)


def _parts(trait: str) -> Iterator[str]:
    yield from re.split(r"[,;，、；/]|\band\b|\bbut\b|[和又]", trait)


def _telling(part: Sequence[str]) -> bool:
    if not part:
        return False
    if is_cjk(part[0]):
        return len(part) >= 2
    return any(weight(word) == CONTENT for word in part)


def _within(part: Sequence[str], words: Sequence[str]) -> bool:
    size = len(part)
    return any(tuple(words[k : k + size]) == tuple(part) for k in range(len(words) - size + 1))
