"""`factory init`: the file it writes loads as it is, and with every comment taken away."""

from pathlib import Path

import pytest

from factory.errors import ConfigErrors
from factory.init import OPTIONAL, render
from factory.load import load, warnings
from factory.section import Section
from factory.spec import Spec

SECTIONS = {
    name: info.annotation
    for name, info in Spec.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
}


def loaded(folder: Path, text: str) -> Spec:
    path = folder / "mybot.yaml"
    path.write_text(text, "utf-8")
    return load(path)


@pytest.mark.parametrize("language", ["en", "zh", "de", "no"])
def test_rendered_file_loads_and_keeps_its_own_rules(tmp_path: Path, language: str) -> None:
    spec = loaded(tmp_path, render("mybot", language))
    assert (spec.name, spec.language) == ("mybot", language)
    assert 3 <= len(spec.seeds) <= 4
    assert len(spec.questions) == 3
    assert not spec.data
    advice = warnings(spec)
    assert len(advice) == 1
    assert "3 held-out questions are few" in advice[0]


def test_comments_speak_the_language_of_the_answers() -> None:
    assert "# 把下面的例子换成你自己的" in render("mybot", "zh")
    assert "Replace these pairs with your own" in render("mybot")
    assert "in the language de" in render("mybot", "de")


@pytest.mark.parametrize("name", ["123", "1e5", "true", "null", "0x1f", "2024-01-01", "a.b-c_d"])
def test_names_that_look_like_something_else_stay_names(tmp_path: Path, name: str) -> None:
    assert loaded(tmp_path, render(name)).name == name


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("section", SECTIONS)
def test_each_optional_section_loads_when_uncommented(
    tmp_path: Path, section: str, language: str
) -> None:
    lines = render("mybot", language).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"# {section}:"))
    end = next((i for i in range(start, len(lines)) if lines[i] == "#"), len(lines))
    lines[start:end] = [line.removeprefix("# ") for line in lines[start:end]]
    spec = loaded(tmp_path, "\n".join(lines))
    assert section in spec.model_fields_set
    assert getattr(spec, section).model_fields_set == set(SECTIONS[section].model_fields)
    assert getattr(spec, section) == SECTIONS[section]()  # what is shown is the default


@pytest.mark.parametrize("language", ["en", "zh"])
def test_everything_uncommented_sets_every_field(tmp_path: Path, language: str) -> None:
    beginning, optional = render("mybot", language).split(OPTIONAL[language] + "\n")
    for marker in ("# knowledge:", "#   - ", "# data:"):
        assert marker in beginning
        beginning = beginning.replace(marker, marker.removeprefix("# ").replace("#", " ", 1))
    optional = "\n".join(line.removeprefix("#").removeprefix(" ") for line in optional.splitlines())
    (tmp_path / "mybot.jsonl").write_text("{}\n")
    spec = loaded(tmp_path, beginning + optional)
    assert spec.model_fields_set == set(Spec.model_fields)
    assert spec.data == ("mybot.jsonl",)
    assert len(spec.knowledge) == 1


def test_every_optional_field_carries_its_doc_string() -> None:
    lines = render("mybot").splitlines()
    for section, kind in SECTIONS.items():
        for field, info in kind.model_fields.items():
            assert any(
                line.startswith(f"#   {field}: ") and line.endswith(f"# {info.description}")
                for line in lines
            ), f"{section}.{field}"


def test_bad_name_and_language_are_refused_together() -> None:
    with pytest.raises(ConfigErrors) as caught:
        render("canada", "english")
    name, language = caught.value.problems
    assert (name.where, name.field) == ("factory init", "name")
    assert "'ada'" in name.what
    assert language.hint == "did you mean `en`?"
