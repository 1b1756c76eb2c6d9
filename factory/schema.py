"""JSON Schema of the persona file, so that editors complete and check it while it is written."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from factory import spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema, as plain data ready for `json.dumps`.

    As strict as `factory check` on everything that JSON Schema can say; the rest (files that must
    exist, rules that contradict each other) only `factory check` finds.
    """
    found = spec.Spec.model_json_schema(schema_generator=_Generator)
    schema: dict[str, Any] = _tidy(found)
    name = schema["properties"]["name"]
    name["pattern"] = spec.NAME_PATTERN
    # Names that chat UIs hide or rewrite.
    prefixes = "|".join(spec.REWRITTEN_PREFIXES)
    name["not"] = {"pattern": f"^({prefixes})|{'|'.join(spec.HIDDEN_SUBSTRINGS)}"}
    sources = [
        {"required": [field], "properties": {field: {"minItems": 1}}} for field in ("seeds", "data")
    ]
    return {
        "$schema": DIALECT,
        "title": "Persona file",
        **schema,
        "anyOf": sources,  # something to learn from
    }


class _Generator(GenerateJsonSchema):
    """Adds what pydantic cannot know about our validators."""

    def function_after_schema(
        self, schema: core_schema.AfterValidatorFunctionSchema
    ) -> JsonSchemaValue:
        inner = super().function_after_schema(schema)
        match getattr(schema["function"]["function"], "__name__", ""):
            case "_nonblank":
                return {**inner, "pattern": r"\S"}
            case "_compiles":
                return {**inner, "format": "regex"}
        return inner


def _tidy(schema: Any) -> Any:
    """Drop what helps no editor: titles made from names, empty or whole-section defaults, marks."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {}
    for key, value in schema.items():
        if key in ("title", "hashed", "discriminator"):
            continue
        if key == "default" and (value is None or isinstance(value, dict)):
            continue
        if key in ("properties", "$defs"):  # here the keys are names, not keywords
            tidy[key] = {name: _tidy(inner) for name, inner in value.items()}
        else:
            tidy[key] = _tidy(value)
    return tidy
