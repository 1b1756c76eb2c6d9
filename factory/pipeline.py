"""The story: from a persona to a tested release, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from factory.artifacts import Adapter, Dataset, Model, Release, Scorecard, write_text
from factory.base import Base
from factory.pairs import review
from factory.pairs.review import Decisions
from factory.persona import system_prompt
from factory.releases import newest_promoted
from factory.report import BuildReport, html, markdown
from factory.report.comparing import people
from factory.run import Reached, Run
from factory.spec import Spec
from factory.stages import curate, distill, evaluate, gather, merge, release, tune
from factory.stages.gather import DataFile

STAGES = ("gather", "distill", "curate", "tune", "merge", "evaluate", "release")

Do = Callable[..., Any]
"""`do(stage, config, **inputs)` hands back the stage's artifact."""


def stages_of(spec: Spec) -> list[str]:
    """The stages this persona goes through: without a teacher nothing is distilled."""
    return [name for name in STAGES if name != "distill" or spec.teacher]


def dataset(
    do: Do, spec: Spec, base: Base, files: Sequence[DataFile], decisions: Decisions
) -> Dataset:
    """Gathered, distilled and curated rows; `do` finds or makes each artifact."""
    prompt = system_prompt(spec)
    rows = do(gather.STAGE, None, name=spec.name, seeds=spec.seeds, files=list(files))
    if spec.teacher:
        rows = do(
            distill.STAGE, spec.distill, rows=rows, prompt=prompt, **distill.inputs(spec, base)
        )
    data: Dataset = do(
        curate.STAGE, spec.curate, rows=rows, base=base, prompt=prompt, review=decisions,
        rules=spec.rules, language=spec.language, questions=spec.questions,
        random_seed=spec.random_seed,
    )  # fmt: skip
    return data


def story(run: Run, spec: Spec, base: Base, files: Sequence[DataFile]) -> None:
    """Every stage in order; each is found in the store, continued, or made."""
    prompt = system_prompt(spec)
    heard = {"rules": spec.rules, "language": spec.language, "questions": spec.questions}

    data = dataset(run.do, spec, base, files, review.load(run.store.root, spec.name))
    adapter = run.do(
        tune.STAGE, spec.tune, data=data, base=base, prompt=prompt, **tune.inputs(spec)
    )
    engines = merge.availability(spec.merge.engines)
    model = run.do(
        merge.STAGE,
        spec.merge,
        adapter=adapter,
        data=data,
        base=base,
        prompt=prompt,
        engines=engines,
    )
    scorecard = run.do(
        evaluate.STAGE, spec.evaluate, model=model, data=data, base=base, prompt=prompt,
        graders=evaluate.versions(spec.evaluate.graders), sampling=base.sampling(spec.serve),
        previous=newest_promoted(run.store.root, spec.name, but=model.digest),
        description=spec.description, voice=spec.voice, random_seed=spec.random_seed,
        language_check=spec.curate.language_check, **heard,
    )  # fmt: skip
    if scorecard.card()["verdict"] in release.RELEASED:
        papers = {"data": data, "adapter": adapter, "model": model, "scorecard": scorecard}
        run.publish(release.STAGE, spec.release, spec=spec, prompt=prompt, base=base, **papers)


@dataclass(frozen=True, slots=True)
class Built:
    """What a finished build hands to the command line."""

    report: BuildReport | None
    """None if the build stopped before there was a scorecard."""
    folder: Path
    release: Release | None


def build(run: Run, files: Sequence[DataFile]) -> Built:
    """Run the story under the persona's lock and write the report beside it.

    Raises:
        FactoryError: Whatever a stage raises; finished stages are kept.
    """
    with run.open(), run.display:
        with suppress(Reached):
            story(run, run.spec, run.base, files)
        report = _report(run)
        if report:
            write_text(run.folder / "report.md", markdown(report))
            write_text(run.folder / "report.html", html(report))
    published = run.made.get("release")
    return Built(report, run.folder, published if isinstance(published, Release) else None)


def _report(run: Run) -> BuildReport | None:
    match run.made:
        case {
            "curate": Dataset() as data,
            "tune": Adapter() as adapter,
            "merge": Model() as model,
            "evaluate": Scorecard() as scorecard,
        }:
            published = run.made.get("release")
            card, answers = scorecard.card(), scorecard.answers()
            said = people(run.store.root, run.spec.name, answers)
            return BuildReport(
                name=run.spec.name,
                description=run.spec.description,
                base=run.base.name,
                language=run.spec.language,
                verdict=card["verdict"],
                scorecard=card | {"versions": model.manifest.recorded["versions"], "people": said},
                answers=answers,
                dataset=data.report(),
                plan=adapter.plan(),
                curve=adapter.curve(),
                certificate=model.certificate(),
                metrics=adapter.metrics(),
                stages=run.stages,
                release={"number": published.manifest.stats["number"], "path": str(published.path)}
                if published
                else None,
                created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            )
    return None
