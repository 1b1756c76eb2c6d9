"""Bad bases are refused from file names and headers alone, with the reason and the next step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from factory.base import STARTER, place, resolve, tuned_from
from factory.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "base"
    shutil.copytree(STARTER, copy)
    return copy


def without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def broken_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }")


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_off(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def not_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"<html>not found</html>")


def remote_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mystery", "auto_map": {"AutoModelForCausalLM": "modeling.Mystery"}}
    (folder / "config.json").write_text(json.dumps(config))


def cut_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama", ')


def quantised(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))


def unusual_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "gpt2", "n_embd": 64, "n_positions": 512}')


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


BAD = [
    (without_tokenizer, "no tokenizer.json", "save_pretrained"),
    (without_template, "no chat template", "instruct or chat variant"),
    (broken_template, "does not compile", "chat_template.jinja"),
    (pickled, "pickled weights", "pytorch_model.bin"),
    (without_weights, "no weights", "safetensors"),
    (cut_off, "cut off", "download it again"),
    (not_safetensors, "not a readable safetensors", "download it again"),
    (remote_code, "needs code from its own folder", "mystery"),
    (cut_config, "configuration cannot be read", "line 1"),
    (quantised, "quantised already", "gptq"),
    (unusual_config, "lacks what is needed", "hidden_size"),
    (without_config, "no config.json", "config.json"),
]


@pytest.mark.parametrize(("damage", "what", "also"), BAD, ids=[b[0].__name__ for b in BAD])
def test_a_bad_base_is_refused_with_the_reason(
    folder: Path, damage: Callable[[Path], None], what: str, also: str
) -> None:
    damage(folder)
    with pytest.raises(UsageError) as caught:
        base = resolve(str(folder))
        _ = base.parameters
    assert what in str(caught.value)
    assert also in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "next_step"),
    [
        ("starte", "did you mean starter?"),
        ("no such thing", "base: starter"),
        ("~nosuchuser/model", "base: starter"),
    ],
)
def test_an_unknown_base_is_refused_with_the_nearest(name: str, next_step: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(name)
    assert next_step in str(caught.value)
    assert "hub id" in str(caught.value)


def test_a_hub_id_that_cannot_be_reached_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        resolve("nobody/nothing-at-all")
    assert "nobody/nothing-at-all" in str(caught.value)
    assert "starter" in str(caught.value)


def test_the_starter_is_described_without_loading_it() -> None:
    base = resolve("starter")
    assert base.window == 1024
    assert 6e6 < base.parameters < 3e7
    assert base.format.stop_id in base.stop_ids


def test_the_digest_follows_the_content(folder: Path) -> None:
    before = resolve(str(folder)).digest
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert resolve(str(folder)).digest != before


def test_a_release_finds_its_base_again_wherever_it_is_asked_from(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = replace(resolve("base", beside=folder.parent), name="base")
    facts = {"name": base.name, "revision": None, "place": place(base, tmp_path / "out")}
    for name in ("out", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert tuned_from(facts, tmp_path / "out").folder == folder.resolve()
    with pytest.raises(UsageError, match="no such base"):
        tuned_from(facts | {"place": "../gone"}, tmp_path / "out")
    assert place(resolve("starter"), tmp_path) is None
    assert tuned_from({"name": "starter", "revision": None}, tmp_path).folder == STARTER


def test_a_relative_base_is_found_beside_the_persona_file(folder: Path) -> None:
    assert resolve("base", beside=folder.parent).folder == folder.resolve()
