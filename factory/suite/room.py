"""Whether all that an evaluation asks leaves room for an answer, found out before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence

from factory.base import Base
from factory.contracts import Message
from factory.errors import UsageError
from factory.persona import inject, system_prompt
from factory.spec import Spec
from factory.suite import items
from factory.suite.material import question_case


def too_long(spec: Spec, base: Base) -> list[UsageError]:
    """What leaves no room for an answer in the base's window: one error a question.

    Rows are measured when they are curated. Where the persona's prompt is so long that an item of the
    suites has no room, the prompt is the one thing to mend, and the questions are not looked at.

    Args:
        spec: The persona.
        base: The base model.
    """
    prompt = system_prompt(spec)

    def length(messages: Sequence[Message]) -> int:
        # also without the prompt, for some templates have one of their own to put in its place
        return max(
            base.format.prompt_length(inject(told, messages), base.window - 1)
            for told in (prompt, "")
        )

    asked = [case for name in spec.evaluate.suites for case in items.suite(name, spec.language)]
    longest = max((length(case.messages) for case in asked), default=0)
    room = f"fewer than {base.window} tokens, the window of {base.label}"
    if longest >= base.window:
        return [
            UsageError(
                "the persona's prompt leaves no room for what the suites ask",
                where="prompt",
                got=f"{longest} tokens with the longest item of the suites",
                allowed=room,
                hint="shorten the texts it is made of (description, voice, rules, knowledge), or"
                " choose a base with a longer window",
            )
        ]
    lengths = [length(question_case(n, q).messages) for n, q in enumerate(spec.questions, 1)]
    return [
        UsageError(
            "this question leaves no room for an answer",
            where=f"questions.{number}.ask",
            got=f"{tokens} tokens with the persona's prompt",
            allowed=room,
            hint="shorten it or the persona's prompt, or choose a base with a longer window",
        )
        for number, tokens in enumerate(lengths, 1)
        if tokens >= base.window
    ]
