"""Reading persona files: every bad input is met with all its problems at once, each on its line."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.errors import ConfigErrors, Problem
from factory.load import load, warnings
from factory.spec import MaxWords, Spec

PERSONAS = Path(__file__).resolve().parent.parent / "personas"

GOOD = """\
name: terse
description: Answers in few words.
voice: [short]
rules:
  - {max_words: 40}
seeds:
  - instruction: Tea or coffee?
    output: Tea.
questions:
  - ask: What is 2 plus 3?
    expect: {number: 5}
tune:
  rank: 8
"""


def problems(path: Path, *overrides: str) -> list[Problem]:
    with pytest.raises(ConfigErrors) as caught:
        load(path, overrides)
    assert caught.value.exit_code == 2
    return list(caught.value.problems)


def write(folder: Path, text: str) -> Path:
    path = folder / "bot.yaml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("path", sorted(PERSONAS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_personas_load(path: Path) -> None:
    assert load(path).name == path.stem


def test_good_file_becomes_the_spec_it_describes(tmp_path: Path) -> None:
    spec = load(write(tmp_path, GOOD))
    assert (spec.name, spec.language, spec.base) == ("terse", "en", "starter")
    assert spec.rules == (MaxWords(max_words=40),)
    assert spec.tune.rank == 8
    assert spec.questions[0].expect.number == 5  # type: ignore[union-attr]


# --- one mistake a row: text appended to a good file, line, field, word in `what`, word in `hint` --

MISTAKES = {
    "unknown key": ("langage: en\n", 14, "langage", "unknown key", "`language`"),
    "other tool's word": ("dataset: [a]\n", 14, "dataset", "unknown key", "`data`"),
    "key of a section": ("alpha: 3\n", 14, "alpha", "unknown key", "under `tune:`"),
    "unknown key in section": ("serve:\n  tempreture: 1\n", 15, "serve.tempreture", "unknown", "`temp"),
    "top-level key in section": ("serve:\n  base: x\n", 15, "serve.base", "unknown", "top level"),
    "text for number": ("merge:\n  probes: many\n", 15, "merge.probes", "whole number", None),
    "quoted number": ('merge: {probes: "8"}\n', 14, "merge.probes", "whole number", "remove the quotes"),
    "true is no number": ("merge: {probes: true}\n", 14, "merge.probes", "whole number", None),
    "fraction": ("merge: {probes: 8.5}\n", 14, "merge.probes", "whole number", None),
    "not a number": ("curate: {lineage: .nan}\n", 14, "curate.lineage", "be a number", None),
    "endless number": ("curate: {lineage: 1e999}\n", 14, "curate.lineage", "be a number", None),
    "too small": ("merge: {probes: 1}\n", 14, "merge.probes", "at least 2", None),
    "too large": ("merge: {probes: 17}\n", 14, "merge.probes", "at most 16", None),
    "not above": ("curate: {lineage: 0.3}\n", 14, "curate.lineage", "above 0.3", None),
    "not below": ("evaluate: {margins: {rules: 2}}\n", 14, "evaluate.margins.rules", "at most 1", None),
    "yes is no bool": ("curate: {language_check: yes}\n", 14, "curate.language_check", "true or", None),
    "misspelt choice": (
        "curate:\n  rule_breaks: rejct\n", 15, "curate.rule_breaks", "not one of", "`reject`",
    ),
    "choice in a list": (
        "curate: {}\nserve: {client_system: apend}\n", 15, "serve.client_system", "not one", "`append`",
    ),
    "empty section": ("serve:\n", 14, "serve", "mapping", "remove the line"),
    "list for section": ("serve: []\n", 14, "serve", "mapping", None),
    "text for list": ("knowledge: we sell tea\n", 14, "knowledge", "a list", "[one, two]"),
    "dash without space": ("knowledge:\n  -tea\n", 14, "knowledge", "a list", "space after each dash"),
    "mapping for list": ("knowledge: {a: b}\n", 14, "knowledge", "a list", "`- `"),
    "empty item": ("knowledge:\n  - tea\n  -\n", 16, "knowledge.2", "text", "after the dash"),
    "blank item": ('knowledge: [tea, " "]\n', 14, "knowledge.2", "not be empty", None),
    "number for text": ("knowledge: [42]\n", 14, "knowledge.1", "text", 'quotes: "42"'),
    "colon made a mapping": ("knowledge:\n  - open: 9 to 5\n", 15, "knowledge.1", "text", "quotes"),
    "language name": ("language: English\n", 14, "language", "two-letter", "`en`"),
    "language with region": ("language: zh-CN\n", 14, "language", "two-letter", "`zh`"),
    "country code": ("language: cn\n", 14, "language", "country", "`zh`"),
    "negative seed number": ("random_seed: -1\n", 14, "random_seed", "at least 0", None),
    "seed number of 33 bits": ("random_seed: 4294967296\n", 14, "random_seed", "must be below", None),
    "fraction of seed number": ("random_seed: 1.5\n", 14, "random_seed", "whole number", None),
    "tag": ("prompt: !secret abc\n", 14, "prompt", "tag `!secret`", "quotes"),
    "python tag": ("prompt: !!python/name:os.system ''\n", 14, "prompt", "!!python/name:os", "quotes"),
    "half an emoji": ('prompt: "\\ud83d"\n', 14, "prompt", "half a character", None),
    "endless alias": ("knowledge: &k [tea, *k]\n", 14, "knowledge", "contains itself", None),
    "missing data file": ("data: [bot.jsonl]\n", 14, "data.1", "no such file", "`bots.jsonl`"),
    "data file in other folder": ("data: [x/y.jsonl]\n", 14, "data.1", "no such file", None),
    "data file of nobody": ("data: [~nosuchuser/x.jsonl]\n", 14, "data.1", "no such file", None),
    "data file is a folder": ("data:\n  - sub\n", 15, "data.1", "folder", None),
    "list as a key": ("? [a]\n: b\n", 14, "", "key must be a word", None),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES.values(), ids=MISTAKES)
def test_one_mistake_is_one_problem_on_its_line(
    tmp_path: Path, case: tuple[str, int, str, str, str | None]
) -> None:
    text, line, field, what, hint = case
    (tmp_path / "bots.jsonl").write_text("{}\n")
    (tmp_path / "sub").mkdir()
    path = write(tmp_path, GOOD + text)
    (problem,) = problems(path)
    assert problem.where == f"{path}:{line}"
    assert problem.field == field
    assert what in problem.what
    if hint:
        assert hint in str(problem.hint)


RULES = {
    "misspelt form": ("- {max_word: 3}", "rules.1", "is not a rule", "`max_words`"),
    "text": ("- be short", "rules.1", "is not a rule", "{max_words: 40}"),
    "nothing": ("-", "rules.1", "is not a rule", "dash"),
    "empty mapping": ("- {}", "rules.1", "is not a rule", None),
    "two forms in one": (
        "- {max_words: 9, min_words: 2}",
        "rules.1.min_words",
        "one thing",
        "two rules",
    ),
    "pattern misspelt": ("- {must: x, patern: y}", "rules.1.patern", "unknown key", "`pattern`"),
    "broken pattern": ("- {must: x, pattern: '('}", "rules.1.pattern", "regular expression", None),
    "blank text": ("- {must_not: ' '}", "rules.1.must_not", "not be empty", None),
    "zero words": ("- {max_words: 0}", "rules.1.max_words", "above 0", None),
    "words in quotes": (
        '- {max_words: "9"}',
        "rules.1.max_words",
        "whole number",
        "remove the quotes",
    ),
    "unknown format": ("- {format: markdwn}", "rules.1.format", "not one of", None),
    "near format": ("- {format: jsn}", "rules.1.format", "not one of", "`json`"),
    "language name": ("- {language: Chinese}", "rules.1.language", "two-letter", "`zh`"),
    "country code": ("- {language: jp}", "rules.1.language", "country", "`ja`"),
}


@pytest.mark.parametrize("case", RULES.values(), ids=RULES)
def test_a_bad_rule_is_one_readable_problem(
    tmp_path: Path, case: tuple[str, str, str, str | None]
) -> None:
    rule, field, what, hint = case
    path = write(tmp_path, GOOD.replace("- {max_words: 40}", rule))
    (problem,) = problems(path)
    assert (problem.where, problem.field) == (f"{path}:5", field)
    assert what in problem.what
    if hint:
        assert hint in str(problem.hint)
    if what == "is not a rule":
        for form in ("max_words", "min_words", "must", "must_not", "language", "format"):
            assert form in str(problem.allowed)


EXPECTATIONS = {
    "bare number": ("8", "expect", "text, a list of texts, or {number", '"8" or {number: 8}'),
    "bool": ("true", "expect", "text, a list of texts", '"true"'),
    "blank": ("''", "expect", "not be empty", None),
    "number in a list": ("[five, 5]", "expect.2", "text", '"5"'),
    "misspelt number": ("{numbr: 5}", "expect.numbr", "unknown key", "`number`"),
    "number in quotes": ("{number: '5'}", "expect.number", "a number", "remove the quotes"),
    "no such option": (
        "{choice: C, options: {A: x, B: y}}",
        "expect",
        "must be one of A, B",
        None,
    ),
    "broken pattern": ("{pattern: '('}", "expect.pattern", "regular expression", None),
    "schema in text": ("{json_schema: object}", "expect.json_schema", "mapping", None),
    "schema that is none": (
        "{json_schema: {type: objekt}}",
        "expect.json_schema",
        "is no JSON Schema: $.type: 'objekt'",
        None,
    ),
    "schema that refers to nothing": (
        "{json_schema: {properties: {a: {$ref: '#/nowhere'}}}}",
        "expect.json_schema",
        "refers to '#/nowhere'",
        None,
    ),
    "schema that refers to the web": (
        "{json_schema: {items: {$ref: 'https://example.com/a.json'}}}",
        "expect.json_schema",
        "nothing is fetched",
        None,
    ),
    "negative tolerance": ("{number: 5, tolerance: -1}", "expect.tolerance", "at least 0", None),
}


@pytest.mark.parametrize("case", EXPECTATIONS.values(), ids=EXPECTATIONS)
def test_a_bad_expected_answer_is_one_problem(
    tmp_path: Path, case: tuple[str, str, str, str | None]
) -> None:
    value, field, what, hint = case
    path = write(tmp_path, GOOD.replace("{number: 5}", value))
    (problem,) = problems(path)
    assert (problem.where, problem.field) == (f"{path}:11", f"questions.1.{field}")
    assert what in problem.what
    if hint:
        assert hint in str(problem.hint)


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("My Bot", "a-z, 0-9", "for example: my-bot"),
        ("-bot", "must start with a letter", "for example: bot"),
        ("机器人", "must start with a letter", "another name"),
        ("canada-support", "'ada'", "another name"),
        ("Ada", "must start with a letter", "another name"),  # `ada` would be no better
        ("o1-helper", "'o1'", "another name"),
        ("x" * 65, "must start with a letter", None),
        ("123", "must be text", 'quotes: "123"'),
        ("", "must be text", "after the colon"),
    ],
)
def test_names_that_break_chat_uis_are_refused(
    tmp_path: Path, name: str, what: str, hint: str | None
) -> None:
    path = write(tmp_path, GOOD.replace("terse", name))
    (problem,) = problems(path)
    assert (problem.where, problem.field) == (f"{path}:1", "name")
    assert what in problem.what
    if hint:
        assert hint in str(problem.hint)


def test_every_problem_is_reported_at_once_in_file_order(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
name: Ada
langage: en
voice: short
rules:
  - {max_words: 5}
  - {min_words: 9}
  - {max_word: 3}
seeds:
  - instruction: Hi
    outptu: Hello
  - output: Bye
data: [gone.jsonl]
tune:
  rank: 8
  rank: 999
  precision: fp8
questions: [{ask: 3, expect: 4}]
""",
    )
    found = problems(path, "tune.epochs=three")
    assert [(p.where.removeprefix(str(path)), p.field) for p in found] == [
        (":1", "name"),
        (":1", "description"),
        (":2", "langage"),
        (":3", "voice"),
        (":7", "rules.3"),
        (":10", "seeds.1.outptu"),
        (":11", "seeds.2.instruction"),
        (":12", "data.1"),
        (":15", "tune.rank"),
        (":15", "tune.rank"),
        (":16", "tune.precision"),
        (":17", "questions.1.ask"),
        (":17", "questions.1.expect"),
        ("--set tune.epochs=three", "tune.epochs"),
    ]
    duplicate = next(p for p in found if "twice" in p.what)
    assert "line 14" in duplicate.what
    assert "line 15" in duplicate.what


def test_checks_of_the_whole_file_come_with_the_others(tmp_path: Path) -> None:
    text = "name: terse\nrules:\n  - {max_words: 5}\n  - {min_words: 9}\nvoice: short\n"
    path = write(tmp_path, text)
    fields = [(p.where.removeprefix(f"{path}:"), p.field) for p in problems(path)]
    assert fields == [("1", "description"), ("1", ""), ("5", "voice")]
    path = write(tmp_path, text + "seeds: [{instruction: a, output: b}]\n")
    (_, contradiction, _) = problems(path)
    assert (contradiction.where, contradiction.field) == (f"{path}:2", "rules")
    assert "min_words 9 is above max_words 5" in contradiction.what


def test_two_seeds_missing_the_same_field_are_two_problems(tmp_path: Path) -> None:
    path = write(tmp_path, "name: x\ndescription: y\nseeds:\n  - instruction: a\n  - input: b\n")
    assert [(p.where, p.field, p.what) for p in problems(path)] == [
        (f"{path}:4", "seeds.1.output", "is missing"),
        (f"{path}:5", "seeds.2.instruction", "is missing"),
        (f"{path}:5", "seeds.2.output", "is missing"),
    ]


# --- text that is not YAML -----------------------------------------------------------------------

NOT_YAML = {
    "tab": ("name: x\ntune:\n\trank: 3\n", [3], "tab", "spaces"),
    "tabs": ("tune:\n\trank: 3\n  \talpha: 3\n", [2, 3], "tab", "spaces"),
    "tab after colon": ("name:\tx\n", [1], "tab", "space"),
    "colon in text": ("a: b\nprompt: Remember: drink\n", [2], "`: `", "quotes"),
    "at sign": ("a: b\nprompt: @home\n", [2], "`@`", "quotes"),
    "asterisk": ("a: b\nprompt: *bold* text\n", [2], "`*`", "quotes"),
    "text after quote": ('a: b\nprompt: "x" y\n', [2], "closing quote", "quotes"),
    "backslash": ('a: b\nprompt: "\\d"\n', [2], "`\\d`", "single quotes"),
    "no space after colon": (
        "name:x\ndescription: y\n",
        [1],
        "`key: value`",
        "space after the colon",
    ),
    "no space in the middle": (
        "a: b\nname:x\nc: d\n",
        [2],
        "`key: value`",
        "space after the colon",
    ),
    "wide colon": ("a: b\nname：x\nc: d\n", [2], "`key: value`", "wide"),
    "only wide colons": ("name：x\nbase：y\n", [1, 2], "wide colon", "plain"),
    "indented too far": ("a: b\n  c: d\n", [2], "indented", "indentation"),
    "crooked list": ("voice:\n  - a\n - b\n", [3], "line up", "indentation"),
    "open quote at the end": ('a: b\nprompt: "x\nc: d\n', [2], "never closed", "close"),
    "cut off in a list": ("a: b\nvoice: [x,\n", [2], "file ends", "cut off"),
    "cut off in a mapping": ("a: b\nrules:\n  - {max_words: 3\n", [3], "file ends", "cut off"),
    "cut off in a key": ("a: b\nseed", [2], "`key: value`", "cut off"),
    "cut off JSON": ('{"name": "x", "seeds": [', [1], "file ends", "cut off"),
    "list not closed": ("voice: [x, y\nbase: z\n", [2], "line 1 is not closed", "close"),
    "two documents": ("a: b\n---\nc: d\n", [2], "one document", "---"),
    "control character": ("a: b\nc: d\x07\ne: f\x1b\n", [2, 3], "control character", "delete"),
    "a list": ("- a\n- b\n", [1], "`key: value` lines", "data file"),
    "a sentence": ("\nbe nice\n", [2], "`key: value` lines", "space after the colon"),
    "after a Unicode line end": ("a: b\u2028c\nprompt: @home\n", [2], "`@`", "quotes"),
}


@pytest.mark.parametrize("case", NOT_YAML.values(), ids=NOT_YAML)
def test_text_that_is_not_yaml_names_line_and_remedy(
    tmp_path: Path, case: tuple[str, list[int], str, str]
) -> None:
    text, lines, what, hint = case
    path = write(tmp_path, text)
    found = problems(path)
    assert [p.where for p in found] == [f"{path}:{line}" for line in lines]
    for problem in found:
        assert what in problem.what
        assert hint in str(problem.hint)


def test_windows_line_ends_and_byte_order_mark_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "bot.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load(path) == load(write(tmp_path, GOOD))
    path.write_bytes(GOOD.replace("\n", "\r\n").encode() + b"oops: 1\r\n")
    assert problems(path)[0].where == f"{path}:14"


def test_dates_versions_and_no_are_the_text_they_look_like(tmp_path: Path) -> None:
    text = GOOD.replace("[short]", "[2024-01-01, no, 1.2.3]").replace(
        "seeds:", "language: no\nseeds:"
    )
    spec = load(write(tmp_path, text))
    assert spec.voice == ("2024-01-01", "no", "1.2.3")
    assert spec.language == "no"


def test_aliases_and_emoji_escapes_work(tmp_path: Path) -> None:
    text = GOOD.replace("Tea.", "&tea Tea.").replace("{number: 5}", "*tea")
    spec = load(write(tmp_path, text + 'prompt: "\\ud83d\\ude00"\n'))
    assert spec.questions[0].expect == "Tea."
    assert spec.prompt == "😀"


def test_alias_bombs_and_deep_nesting_are_refused_quickly(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
    )
    assert "aliases expand" in problems(write(tmp_path, bomb))[0].what
    assert (
        "nested too deeply" in problems(write(tmp_path, "prompt: " + "[" * 60 + "]" * 60))[0].what
    )
    assert "nested too deeply" in problems(write(tmp_path, "prompt: " + "[" * 700))[0].what


# --- files that cannot be read -------------------------------------------------------------------


def test_missing_file_suggests_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "factory init" in str(problems(Path("concise"))[0].hint)
    shutil.copytree(PERSONAS, "personas")
    for typed in ("concise", "concise.yaml", "personas/consise.yaml", "Concise.yml"):
        (problem,) = problems(Path(typed))
        assert problem.where == typed
        assert problem.what == "there is no such file"
        assert problem.hint == "did you mean personas/concise.yaml?"
    assert "personas/humorous.yaml" in str(problems(Path("qqqq.yaml"))[0].hint)


def test_folder_names_the_files_in_it() -> None:
    (problem,) = problems(PERSONAS)
    assert "folder" in problem.what
    assert "concise.yaml" in str(problem.hint)


@pytest.mark.parametrize("text", ["", " \n\n", "# only a comment\n", "---\n", "~\n", "\ufeff"])
def test_empty_file_points_to_init(tmp_path: Path, text: str) -> None:
    (problem,) = problems(write(tmp_path, text))
    assert "empty" in problem.what or "no fields" in problem.what
    assert "factory init" in str(problem.hint)


def test_200_megabytes_are_refused_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "bot.yaml"
    with path.open("wb") as file:
        file.truncate(200_000_000)
    (problem,) = problems(path)
    assert (problem.got, problem.allowed) == ("200.0 MB", "at most 1 MB")
    assert "data:" in str(problem.hint)


def test_special_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "bot.yaml"
    os.mkfifo(fifo)
    assert "regular file" in problems(fifo)[0].what
    assert "cannot be read" in problems(Path("x" * 5000 + ".yaml"))[0].what
    assert "no such file" in problems(PERSONAS / "concise.yaml" / "x.yaml")[0].what


def test_data_file_is_told_from_a_persona_file() -> None:
    (problem,) = problems(PERSONAS / "concise.jsonl")
    assert "data file" in problem.what
    assert "`data:`" in str(problem.hint)


BINARY = {
    "gzip": gzip.compress(GOOD.encode(), mtime=0),
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 4,
    "elf": b"\x7fELF\x02\x01\x01" + b"\0" * 64 + os.urandom(16),
    "zero in text": GOOD.encode() + b"\0",
    "noise": bytes(range(1, 256)) * 9,
}


@pytest.mark.parametrize("content", BINARY.values(), ids=BINARY)
def test_binary_file_is_called_binary(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bot.yaml"
    path.write_bytes(content)
    (problem,) = problems(path)
    assert problem.what == "this is a binary file"


CHINESE = "name: jian\ndescription: 一两句话说清楚，不铺垫，不说教。\nvoice: [短句, 大白话]\n"


@pytest.mark.parametrize(
    ("text", "encoding", "named", "line"),
    [
        (CHINESE, "gb18030", "GB18030", 2),
        (CHINESE, "gbk", "GB18030", 2),
        (CHINESE, "utf-16", "UTF-16", 1),
        (CHINESE, "utf-16-le", "UTF-16LE", 1),
        (CHINESE, "utf-16-be", "UTF-16BE", 1),
        (GOOD, "utf-16-be", "UTF-16BE", 1),
        (GOOD, "utf-32", "UTF-32", 1),
        (GOOD.replace("few words", "très brèves façons"), "cp1252", "WINDOWS-1252", 2),
    ],
)
def test_other_encodings_are_named_with_the_way_out(
    tmp_path: Path, text: str, encoding: str, named: str, line: int
) -> None:
    path = tmp_path / "bot.yaml"
    path.write_bytes(text.encode(encoding))
    (problem,) = problems(path)
    assert problem.where == f"{path}:{line}"
    assert problem.got == named
    assert f"iconv -f {named} -t UTF-8 {path} > " in str(problem.hint)


# --- --set ---------------------------------------------------------------------------------------


def test_overrides_are_typed_by_yaml_and_win_over_the_file(tmp_path: Path) -> None:
    spec = load(
        write(tmp_path, GOOD),
        ["tune.rank=16", "base=Qwen/Qwen2.5-0.5B-Instruct", "voice=[a, b]", "serve.top_p=0.9"],
    )
    assert (spec.tune.rank, spec.base, spec.voice) == (16, "Qwen/Qwen2.5-0.5B-Instruct", ("a", "b"))
    assert spec.serve.top_p == 0.9
    assert load(write(tmp_path, GOOD), ["tune.rank="]).tune.rank is None


def test_override_can_mend_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("terse", "Ada"))
    assert load(path, ["name=terse"]).name == "terse"


def test_override_of_a_shared_part_changes_one_place(tmp_path: Path) -> None:
    text = GOOD.replace("[short]", "&v [short]") + "knowledge: *v\n"
    spec = load(write(tmp_path, text), ["voice=[long]"])
    assert (spec.voice, spec.knowledge) == (("long",), ("short",))


@pytest.mark.parametrize(
    ("option", "field", "what", "hint"),
    [
        ("tune.rank=abc", "tune.rank", "whole number", None),
        ("tune.rnk=16", "tune.rnk", "unknown key", "`rank`"),
        ("tun.rank=16", "tun", "unknown key", "`tune`"),
        ("tune.rank", "", "path=value", "tune.rank=16"),
        ("=16", "", "path=value", "tune.rank=16"),
        ("tune..rank=16", "", "path=value", "tune.rank=16"),
        ("name.first=x", "name.first", "`name` has no named parts", "whole field"),
        ("description=one: two", "description", "text", "needs quotes"),
        ("description=[one", "description", "not valid YAML", "quotes"),
        ("name=123", "name", "text", "quotes"),
        ("name=Ada Love", "name", "must start", None),
        ("data=[gone.jsonl]", "data.1", "no such file", None),
        ("tune=", "", "", None),
    ],
)
def test_bad_override_names_the_option(
    tmp_path: Path, option: str, field: str, what: str, hint: str | None
) -> None:
    path = write(tmp_path, GOOD)
    if option == "tune=":  # taking a section away is not a mistake
        assert load(path, [option]).tune.rank is None
        return
    (problem,) = problems(path, option)
    assert (problem.where, problem.field) == (f"--set {option}", field)
    assert what in problem.what
    if hint:
        assert hint in str(problem.hint)


# --- nothing else ever comes out -----------------------------------------------------------------

JARGON = (
    "input should", "pydantic", "valid integer", "valid string", "validation error", "http", "nonetype",
    "extra inputs", "field required", "dict", "tuple", "discriminator", "function-after",
)  # fmt: skip

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["max_words", "ask", "expect", "number", "instruction", "rank", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(key=st.sampled_from([*Spec.model_fields, "x"]), value=values)
def test_any_value_in_any_field_loads_or_is_explained_without_jargon(
    tmp_path: Path, key: str, value: object
) -> None:
    data = {
        "name": "x",
        "description": "y",
        "data": [],
        "seeds": [{"instruction": "a", "output": "b"}],
    }
    path = write(tmp_path, json.dumps({**data, key: value}))
    try:
        assert isinstance(load(path), Spec)
    except ConfigErrors as error:
        for problem in error.problems:
            assert problem.where == f"{path}:1"
            assert "not what is wanted" not in problem.what
            said = f"{problem.what} {problem.hint or ''}".lower()
            assert not [word for word in JARGON if word in said]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    content=st.binary(max_size=60)
    | st.text("ab:-#[]{}\"'\\\t\n &*!|>?%@`,：", max_size=40).map(str.encode)
)
def test_any_bytes_load_or_are_explained(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bot.yaml"
    path.write_bytes(content)
    found = problems(path)  # nothing so short is a persona
    assert all(problem.where.startswith(str(path)) and problem.what for problem in found)


# --- warnings ------------------------------------------------------------------------------------


def test_warnings_name_what_is_seldom_meant(tmp_path: Path) -> None:
    text = GOOD.replace("rules:\n  - {max_words: 40}\n", "").replace(
        "    expect: {number: 5}\n", ""
    )
    text = text.replace("tune:", "  - ask: what is 2 plus 3\n  - ask: tea or coffee\ntune:")
    said = warnings(load(write(tmp_path, text)))
    assert len(said) == 5
    for part, line in zip(
        ("expected answer", "3 held-out", "no rules", "asked twice", "also seed 1"),
        said,
        strict=True,
    ):
        assert part in line


def test_warnings_find_seeds_that_break_the_rules(tmp_path: Path) -> None:
    text = GOOD.replace("max_words: 40", "max_words: 3").replace(
        "Tea.", "Tea, of course, every day."
    )
    broken = [line for line in warnings(load(write(tmp_path, text))) if "seed" in line]
    assert len(broken) == 1
    assert broken[0].startswith('seed 1 ("Tea, of course, every day.")')


@pytest.mark.parametrize("path", sorted(PERSONAS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_personas_have_nothing_to_warn_of(path: Path) -> None:
    assert warnings(load(path)) == []
