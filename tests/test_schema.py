"""The JSON Schema that editors use agrees with what `factory check` accepts."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from factory.errors import ConfigErrors
from factory.init import render
from factory.load import load
from factory.schema import json_schema
from factory.section import Section
from factory.spec import Spec

PERSONAS = sorted((Path(__file__).resolve().parent.parent / "personas").glob("*.yaml"))
SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

GOOD: dict[str, Any] = {
    "name": "terse",
    "description": "Answers in few words.",
    "rules": [{"max_words": 40}, {"must_not": "x", "pattern": "y"}],
    "seeds": [{"instruction": "Tea or coffee?", "output": "Tea."}],
    "questions": [{"ask": "2 plus 3?", "expect": {"number": 5}}],
    "tune": {"rank": 8, "targets": None},
}


def test_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_personas_are_all_here() -> None:
    found = {path.stem for path in PERSONAS}
    assert found >= {"concise", "humorous", "support", "tutor", "youmo", "jianjie"}


@pytest.mark.parametrize("path", PERSONAS, ids=lambda path: path.stem)
def test_shipped_personas_validate(path: Path) -> None:
    data = YAML(typ="safe", pure=True).load(path)
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_init_writes_validates(language: str) -> None:
    data = YAML(typ="safe", pure=True).load(render("mybot", language))
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []


def test_every_field_of_every_section_is_described() -> None:
    sections = [SCHEMA, *SCHEMA["$defs"].values()]
    assert len(sections) > 15
    for section in sections:
        assert section["additionalProperties"] is False
        for name, field in section["properties"].items():
            target = SCHEMA["$defs"].get(str(field.get("$ref", "")).split("/")[-1], {})
            assert field.get("description") or target.get("description"), name
            assert "title" not in field


def test_rules_are_one_of_six_forms() -> None:
    forms = SCHEMA["properties"]["rules"]["items"]["oneOf"]
    names = [form["$ref"].split("/")[-1] for form in forms]
    required = [SCHEMA["$defs"][name]["required"] for name in names]
    assert required == [
        ["max_words"], ["min_words"], ["must"], ["must_not"], ["language"], ["format"],
    ]  # fmt: skip


def _set(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed: Any = copy.deepcopy(data)
    node = changed
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    for part in parents:
        node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
    node[last] = value
    return changed  # type: ignore[no-any-return]


CHANGES = [
    ("langage", "en"), ("tune.rnk", 8), ("seeds.0.outptu", "x"), ("questions.0.expct", "x"),
    ("rules.0.min_words", 3), ("rules.0", {"max_word": 3}), ("rules.0", "be short"),
    ("rules.0", {}), ("rules.0", {"format": "markdown"}), ("rules.0", {"language": "english"}),
    ("rules.0", {"max_words": 0}), ("rules.0", {"must": " "}),
    ("name", "Ada"), ("name", "canada"), ("name", "o1-mini"), ("name", "my bot"), ("name", 3),
    ("description", ""), ("description", None), ("language", "English"), ("base", " "),
    ("voice", "short"), ("voice", ["a", ""]), ("knowledge", [3]), ("tune", None), ("tune", []),
    ("tune.rank", 0), ("tune.rank", "8"), ("tune.rank", True), ("tune.learning_rate", 0),
    ("tune.report_to", ["tensorbord"]), ("curate.lineage", 0.3), ("serve.client_system", "x"),
    ("seeds", []), ("seeds.0.history", [["a"]]), ("seeds.0.history", [["a", "b", "c"]]),
    ("questions.0.expect", 8), ("questions.0.expect", {"number": "8"}), ("questions.0.expect", ""),
    ("random_seed", 1.5), ("random_seed", -1), ("random_seed", 2**32),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), CHANGES, ids=[f"{p}={v}" for p, v in CHANGES])
def test_schema_and_check_refuse_the_same(tmp_path: Path, path: str, value: Any) -> None:
    data = _set(GOOD, path, value)
    assert not VALIDATOR.is_valid(data)
    file = tmp_path / "bot.yaml"
    file.write_text(json.dumps(data))
    with pytest.raises(ConfigErrors):
        load(file)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("language", "zh"), ("tune.rank", 16), ("tune.rank", None), ("rules.0", {"format": "json"}),
        ("questions.0.expect", ["a", "b"]), ("questions.0.expect", None), ("prompt", ""),
        ("seeds.0.history", [["a", "b"]]), ("curate.language_check", False), ("rules", []),
    ],
)  # fmt: skip
def test_schema_and_check_accept_the_same(tmp_path: Path, path: str, value: Any) -> None:
    data = _set(GOOD, path, value)
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []
    file = tmp_path / "bot.yaml"
    file.write_text(json.dumps(data))
    assert isinstance(load(file), Spec)


def test_no_section_is_forgotten() -> None:
    sections = {kind.__name__ for kind in Section.__subclasses__()} - {"Spec"}
    assert sections == set(SCHEMA["$defs"])
