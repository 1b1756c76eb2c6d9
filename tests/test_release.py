"""A release is served as it was certified."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from factory import plugins
from factory.artifacts import read_json
from factory.base import STARTER, Base
from factory.certificate import Answer, Noise
from factory.errors import EngineError
from factory.load import load
from factory.spec import Release
from factory.stages import merge, release
from tests.personas import write_persona

PAPERS = (
    "scorecard.json", "answers.jsonl", "certificate.json", "plan.json", "metrics.jsonl",
    "curve.json", "loss.png", "report.json", "train.jsonl", "validation.jsonl", "test.jsonl",
)  # fmt: skip


class Large(Base):
    """The starter, had it 1.5 billion weights."""

    @property
    def parameters(self) -> int:
        return 1_540_000_000


def quiet(**_: Any) -> None:
    pass


def released(base: Base, folder: Path, *, rehearsed: int = 0, strength: float = 1) -> Path:
    """A release on this base; what the stages before it made is made up."""
    papers, out = folder / "papers", folder / "out"
    for made in (papers / "weights", out):
        made.mkdir(parents=True)
    for name in (*PAPERS, "weights/model.safetensors"):
        (papers / name).touch()

    def artifact(**known: Any) -> Any:
        return SimpleNamespace(
            path=papers, weights=papers / "weights", digest="digest", verify=lambda: None, **known
        )

    counts = {"train": 1, "validation": 0, "test": 0}
    rows = {"input": 1, "kept": 1, "repaired": 0, "rejected": 0, "splits": counts}
    card = {
        "verdict": "PASS", "model_digest": "digest", "summary": "", "arms": [], "metrics": [],
        "counts": {"rows": 0, "questions": 3}, "samples": 4,
    }  # fmt: skip
    release.run(
        Release(), out=out, progress=quiet, number=1,
        spec=load(write_persona(folder / "persona", "starter")), prompt="Be brief.", base=base,
        data=artifact(split=lambda _: [], report=lambda: rows),
        adapter=artifact(
            manifest=SimpleNamespace(stats={"rehearsed": rehearsed, "strength": strength}),
            probes=lambda: [],
        ),
        model=artifact(
            manifest=SimpleNamespace(recorded={"versions": {}}), certificate=lambda: {"legs": []}
        ),
        scorecard=artifact(card=lambda: card),
    )  # fmt: skip
    return out


def certified(base: Base, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """With which options the engine is started that a merge is proven on."""
    seen: dict[str, Any] = {}

    class Engine:
        def serve(self, model_dir: Path, *, options: dict[str, Any], **_: Any) -> Any:
            seen.update(options)
            raise EngineError("it need not start here")

    monkeypatch.setattr(plugins, "load", lambda kind, name: Engine)
    reference = [Answer([1, 2], [3], [-0.1], True)]
    with pytest.raises(EngineError, match="need not start"):
        merge._engine_leg("vllm", folder, base, [], reference, Noise(0.0, 0.0), quiet)
    return seen


@pytest.mark.parametrize(("kind", "dtype"), [(Base, "float32"), (Large, "auto")])
def test_a_release_asks_for_the_precision_that_was_certified(
    kind: type[Base], dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = kind("starter", STARTER, None)
    facts = read_json(released(base, tmp_path) / "release.json")
    assert certified(base, tmp_path, monkeypatch)["dtype"] == facts["dtype"] == dtype


@pytest.mark.parametrize(
    ("rehearsed", "strength", "said"),
    [
        (0, 1, "on 1 conversations; the"),
        (90, 1, "on 1 conversations and 90 answers of the base itself, which it rehearsed; the"),
        (0, 0.5, "on 1 conversations, at 0.5 of the adapter's strength; the"),
    ],
)
def test_the_card_says_what_else_was_read_and_how_much_of_it_is_left(
    rehearsed: int, strength: float, said: str, tmp_path: Path
) -> None:
    base = Base("starter", STARTER, None)
    out = released(base, tmp_path, rehearsed=rehearsed, strength=strength)
    assert said in (out / "README.md").read_text("utf-8")
