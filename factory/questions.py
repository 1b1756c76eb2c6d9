"""The persona file's `questions`: what is asked, and which answer is right."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from factory.section import Pattern, Section, Text


class NumberExpected(Section):
    """The answer's last number is this one."""

    number: float
    """The right value."""
    tolerance: float = Field(default=0.0, ge=0)
    """Largest absolute difference that still counts as right."""


class ChoiceExpected(Section):
    """The answer picks this option."""

    choice: Text
    """Letter of the right option."""
    options: dict[str, Text] = Field(min_length=2)
    """Text of every option by its letter; ask for them in the question."""

    @model_validator(mode="after")
    def validate_choice(self) -> ChoiceExpected:
        """The right option is one of the options."""
        if self.choice not in self.options:
            raise ValueError(f"`choice` must be one of {', '.join(self.options)}")
        return self


class PatternExpected(Section):
    """The answer matches a pattern."""

    pattern: Pattern
    """Regular expression searched for in the answer (any case, `.` matches newlines)."""


class SchemaExpected(Section):
    """The answer is one JSON value that follows a schema."""

    json_schema: dict[str, Any]
    """JSON Schema (draft 2020-12)."""

    @field_validator("json_schema")
    @classmethod
    def validate_schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        """No answer could be graded against what is no schema."""
        # slow to import, and only this needs them
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError

        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise ValueError(
                f"is no JSON Schema: {error.json_path}: {error.message[:120]}"
            ) from error
        _resolve_references(schema)
        return schema


def _resolve_references(schema: dict[str, Any]) -> None:
    """Look up every `$ref`: grading fetches nothing, and would find a broken one after training only."""
    # slow to import, and only this needs them
    from jsonschema_specifications import REGISTRY
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    def look_up(resource: Any, resolver: Any) -> None:
        inner = resource.contents
        reference = inner.get("$ref") if isinstance(inner, dict) else None
        try:
            if isinstance(reference, str):
                resolver.lookup(reference)
        except Unresolvable as error:
            raise ValueError(
                f"refers to {reference!r}, which is not in the schema; nothing is fetched"
            ) from error
        for part in resource.subresources():
            look_up(part, resolver.in_subresource(part))

    root = DRAFT202012.create_resource(schema)
    look_up(root, REGISTRY.resolver_with_root(root))


FORMS: dict[str, type[Section]] = {
    "choice": ChoiceExpected,
    "options": ChoiceExpected,
    "pattern": PatternExpected,
    "json_schema": SchemaExpected,
}
"""The form that a key belongs to; every other mapping is taken for a number."""


def form(value: object) -> type[Section]:
    """The form of `expect` that a mapping was meant to be."""
    keys = value if isinstance(value, dict) else {}
    return next((FORMS[key] for key in keys if key in FORMS), NumberExpected)


class Question(Section):
    """A held-out question; it is never trained on."""

    ask: Text
    """What the user asks."""
    expect: (
        Text
        | tuple[Text, ...]
        | NumberExpected
        | ChoiceExpected
        | PatternExpected
        | SchemaExpected
        | None
    ) = None
    """Accepted answer, list of them, or one of `{number: 30}`, `{choice: B, options: {A: ..., B: ...}}`,
    `{pattern: REGEX}`, `{json_schema: {...}}`; left out for open questions."""
    stratum: Literal["normal", "grave", "safety", "format"] = "normal"
    """What kind of moment it is: for the table of strata, and where the voice must step back."""
