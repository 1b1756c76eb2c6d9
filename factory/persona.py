"""The persona's system prompt: rendered once, injected the same way everywhere.

Training, evaluation and serving call `inject`, so that the prompt a model is served with is the
prompt it was trained and tested with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from factory.contracts import Message
from factory.spec import FormatRule, LanguageRule, MaxWords, MinWords, Must, MustNot, Rule, Spec

_PHRASES = {
    "en": {
        "voice": "Voice: {}.",
        "max_words": "Use at most {} words.",
        "min_words": "Use at least {} words.",
        "must": "Always include: {}.",
        "must_not": "Never say: {}.",
        "language": "Answer in {}.",
        "plain": "Write plain text without Markdown.",
        "json": "Answer with one JSON value and nothing else.",
        "knowledge": "Know this:",
    },
    "zh": {
        "voice": "风格：{}。",
        "max_words": "回答不超过{}字。",
        "min_words": "回答不少于{}字。",
        "must": "回答里要有：{}。",
        "must_not": "不要说：{}。",
        "language": "请用{}回答。",
        "plain": "只用纯文本，不用 Markdown。",
        "json": "只回答一个 JSON 值。",
        "knowledge": "你知道：",
    },
}
_LANGUAGES = {
    "en": {"en": "English", "zh": "Chinese", "de": "German", "fr": "French", "es": "Spanish"},
    "zh": {"en": "英文", "zh": "中文", "de": "德文", "fr": "法文", "es": "西班牙文"},
}


def _phrase(rule: Rule, words: dict[str, str], names: dict[str, str]) -> str:
    match rule:
        case MaxWords():
            return words["max_words"].format(rule.max_words)
        case MinWords():
            return words["min_words"].format(rule.min_words)
        case Must():
            return words["must"].format(rule.must)
        case MustNot():
            return words["must_not"].format(rule.must_not)
        case LanguageRule():
            return words["language"].format(names.get(rule.language, rule.language))
        case FormatRule():
            return words[rule.format]


def system_prompt(spec: Spec) -> str:
    """The text every conversation with this persona starts with; may be empty.

    `prompt` from the persona file wins; otherwise it is composed from description, voice, rules and
    knowledge, in the persona's language where we have the phrases, else in English.
    """
    if spec.prompt is not None:
        return spec.prompt.strip()
    words = _PHRASES.get(spec.language, _PHRASES["en"])
    names = _LANGUAGES.get(spec.language, _LANGUAGES["en"])
    lines = [spec.description.strip()]
    if spec.voice:
        joint = "、" if spec.language == "zh" else ", "
        lines.append(words["voice"].format(joint.join(trait.strip() for trait in spec.voice)))
    # A rule with a pattern is a check with a label for people, not a sentence for a model.
    lines += [_phrase(r, words, names) for r in spec.rules if not getattr(r, "pattern", None)]
    if spec.knowledge:
        lines.append(words["knowledge"])
        lines += [f"- {fact.strip()}" for fact in spec.knowledge]
    return "\n".join(lines)


def inject(
    prompt: str,
    messages: Sequence[Message],
    *,
    client_system: Literal["append", "ignore"] = "append",
) -> list[Message]:
    """Put the persona's prompt in front of a conversation.

    Args:
        prompt: The persona's system prompt; empty for none.
        messages: Any conversation; its own system messages are folded into one, after the prompt.
        client_system: Whether the conversation's own system messages are kept or dropped.

    Returns:
        The conversation with at most one system message, which comes first.
    """
    own = [m["content"] for m in messages if m["role"] == "system" and m["content"].strip()]
    if client_system == "ignore":
        own = []
    system = "\n\n".join(part for part in [prompt, *own] if part)
    rest: list[Message] = [m for m in messages if m["role"] != "system"]
    return [{"role": "system", "content": system}, *rest] if system else rest
