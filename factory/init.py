"""The commented persona file that `factory init NAME` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from factory import wording
from factory.errors import ConfigErrors
from factory.section import Section, section_of
from factory.spec import Spec
from factory.yamltree import parse_value

OPTIONAL = {
    "en": "# --- optional ---  To set a field, remove `# ` before it and before its section.\n"
    "# A field that is left out, or `null`, is chosen for you.",
    "zh": "# --- 可选 ---  要设置某一项，去掉这一行和它所在小节名那一行开头的“# ”。\n"
    "# 没写的项，或者写成 null 的项，会自动选择。",
}
"""The lines below which everything is generated from the schema and commented out."""

_BEGINNING = {
    "en": """\
# factory check {file}.yaml    every mistake in this file, with its line
# factory build {file}.yaml    from this file to a tested model
name: {name}
# Who answers, and how, in one sentence.
description: Answers kindly, in one or two short sentences.
language: {language}                  # of the answers: en, zh, de, fr, ...
base: starter                 # ships with the factory; or a model folder, or a hub id
# Traits, a few words each; they go into the system prompt.
voice: [friendly, plain words, says the useful thing first]
# Checks that every answer must pass. Others: min_words, must, language, format.
rules:
  - {{max_words: 40}}
  - {{must_not: "As an AI"}}
# Facts the persona must know:
# knowledge:
#   - We are open from nine to five.

# Replace these pairs with your own. Vary the questions; let the voice be the same in every answer.
seeds:
  - instruction: How can I relax after a long day at work?
    output: Take a short walk, then put the phone away for an hour.
  - instruction: Should I learn to cook?
    output: Yes. Begin with eggs; they forgive a lot and you can eat your mistakes.
  - instruction: Make this sentence shorter.
    input: I would like to take this opportunity to thank you for your help.
    output: Thank you for your help.
  - instruction: I failed my driving test again.
    output: That stings. Ask what went wrong, practise that one thing, and book the next date.
# 50 to 200 pairs make a persona. Put more into a file beside this one (JSON, JSON Lines or CSV):
# data: [{file}.jsonl]

# Asked at the end and never trained on: 10 to 20, some with the answer you expect.
questions:
  - ask: What is the capital of Italy?
    expect: Rome
  - ask: What is 15 plus 27?
    expect: {{number: 42}}
  - ask: How do I make new friends in a new town?
""",
    "zh": """\
# factory check {file}.yaml    一次列出本文件的所有错误和行号
# factory build {file}.yaml    从本文件到通过测试的模型
name: {name}
# 一句话：谁在回答，怎样回答。
description: 用一两句话友好地回答。
language: {language}                  # 回答所用的语言：zh、en 等
base: Qwen/Qwen2.5-0.5B-Instruct    # 也可以是本地模型文件夹；自带的 starter 只会英文
# 风格特点，每条几个字，会写进系统提示。
voice: [友好, 大白话, 先说有用的]
# 每个回答都必须通过的检查。还可以用 min_words、must、language、format。
rules:
  - {{max_words: 60}}
  - {{must_not: 作为一个AI}}
# 必须知道的事实：
# knowledge:
#   - 营业时间是早上九点到下午五点。

# 把下面的例子换成你自己的。问题要多样，每个回答的口吻要一致。
seeds:
  - instruction: 下班后怎么放松？
    output: 散步二十分钟，回家先把手机放一边。
  - instruction: 我要不要学做饭？
    output: 要。从鸡蛋学起，做坏了也能吃。
  - instruction: 把这句话改短。
    input: 我想借此机会对您的帮助表示感谢。
    output: 谢谢您的帮助。
  - instruction: 驾照又没考过。
    output: 难免难受。问清楚扣在哪儿，专练那一项，再约下一场。
# 50 到 200 对例子就够。更多的放进旁边的文件（JSON、JSON Lines 或 CSV）：
# data: [{file}.jsonl]

# 只在最后测试、从不参与训练的问题：10 到 20 个，其中一些写上标准答案。
questions:
  - ask: 中国的首都是哪里？
    expect: 北京
  - ask: 15加27等于多少？
    expect: {{number: 42}}
  - ask: 刚搬到一个新城市，怎么交朋友？
""",
}


def render(name: str, language: str = "en") -> str:
    """A persona file for beginners, in YAML, that loads as it is.

    Args:
        name: The persona's name, also the name of the file it is meant for.
        language: Two-letter code of the answers; the comments are Chinese for `zh`, else English.

    Raises:
        ConfigErrors: If a persona may not have this name or language.
    """
    _check(name, language)
    comments = language if language in _BEGINNING else "en"
    written = name if parse_value(name) == name else json.dumps(name)  # 42 would be a number
    beginning = _BEGINNING[comments].format(name=written, file=name, language=language)
    if language not in _BEGINNING:
        beginning = beginning.replace(
            "# Replace these pairs with your own.",
            f"# Replace these pairs with your own, in the language {language}.",
        )
    optional = [OPTIONAL[comments], *_optional(beginning)]
    return beginning + "\n" + "\n".join(optional) + "\n"


def _check(name: str, language: str) -> None:
    data = {"name": name, "language": language, "description": "x", "data": ["x"]}
    try:
        Spec.model_validate(data)
    except ValidationError as error:
        found = wording.problems(error.errors(include_url=False), data, lambda _: "factory init")
        raise ConfigErrors([problem for _, problem in found]) from error


def _optional(beginning: str) -> Iterator[str]:
    """Every field that the beginning does not show, with its default and its doc string."""
    shown = {line.lstrip("# ").split(":")[0] for line in beginning.splitlines() if ":" in line}
    for name, info in Spec.model_fields.items():
        kind = section_of(info.annotation)
        if kind is not None:
            yield "#"
            yield f"# {name}:  # {info.description}"
            for field, detail in kind.model_fields.items():
                yield _line("  ", field, detail)
        elif name not in shown:
            yield _line("", name, info)


def _line(indent: str, name: str, info: FieldInfo) -> str:
    default = "echo" if info.is_required() else info.get_default()  # only a teacher's type is
    if isinstance(default, Section):
        default = default.model_dump(mode="json")
    value = json.dumps(list(default) if isinstance(default, tuple) else default)
    return f"# {indent}{name}: {value}  # {info.description}"
