"""What each command does: put the pieces together and print. The only place that talks to the console."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from factory.errors import (
    FactoryError,
    Inconclusive,
    InstrumentInvalid,
    Regression,
    UsageError,
)


class _Console(Console):
    """Falls silent where nobody reads on (`| head`): work and exit code stay what they are."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        lost, nowhere = os.fstat(sys.stdout.fileno()), os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stderr, sys.stdout):  # with 2>&1 both are the same pipe
            if os.path.samestat(os.fstat(stream.fileno()), lost):
                os.dup2(nowhere, stream.fileno())


console = _Console(highlight=False)

WORST = (1, 2, 12, 10, 11, 0)
"""Exit codes by gravity, for several personas at once."""
VERDICTS = {"REGRESSION": Regression, "INCONCLUSIVE": Inconclusive, "INVALID": InstrumentInvalid}


def init(name: str, language: str) -> None:
    """Write NAME.yaml; never overwrite."""
    from factory.artifacts import write_text
    from factory.init import render

    text = render(name, language)  # first, for it refuses a name that no file could have
    file = Path(f"{name}.yaml")
    try:
        if file.exists():
            raise UsageError(
                "this file exists already", where=str(file), hint="choose another name"
            )
        write_text(file, text)
    except OSError as error:
        raise UsageError(
            "this file cannot be written",
            where=str(file),
            got=error.strerror,
            hint="go to a folder that you may write to, and run the same command again",
        ) from error
    console.print(f"wrote {file}\n  next: edit it, then `factory check {file}`")


def check(file: Path, overrides: Sequence[str]) -> None:
    """Load, read and curate the data in a throw-away folder, prove the chat format."""
    from tempfile import TemporaryDirectory

    from factory.examples import examples
    from factory.intake import opened
    from factory.load import warnings
    from factory.pairs.review import load as load_review
    from factory.persona import system_prompt
    from factory.pipeline import dataset
    from factory.report.tables import data_summary
    from factory.store import Store, home
    from factory.suite.checks import FEWEST

    spec, base, files = opened(file, overrides, weights=False)
    notes = [*warnings(spec), *base.format.preflight()]
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        own = spec.model_copy(update={"teacher": None})  # nothing is paid for here
        data = dataset(partial(_made, store), own, base, files, load_review(home(), spec.name))
        report = data.report()
        for name in report["splits"]:
            examples(base, data.split(name), system_prompt(spec))
    console.print(data_summary(report))
    hopeless = report["splits"]["test"] < FEWEST and not spec.teacher
    if hopeless:
        notes.append(
            f"{report['splits']['test']} held-out rows: a build needs {FEWEST} to reach a verdict,"
            " which takes about 40 rows of data"
        )
    if spec.teacher:
        notes.append(f"the teacher adds {spec.distill.pairs} pairs to these rows when you build")
    else:
        notes += report["advice"]
    for note in notes:
        console.print(f"note: {note}", markup=False)
    ready = "no mistakes, but too little data for a verdict" if hopeless else "ready to build"
    console.print(f"{file}: {ready}; next: `factory plan {file}`", markup=False)


def _made(store: Any, stage: Any, config: Any, **inputs: Any) -> Any:
    key = store.key(stage, config, inputs)
    return store.find(stage, key) or store.make(stage, key, config, inputs, lambda **_: None)


def plan(file: Path, overrides: Sequence[str]) -> None:
    """Curate for real (it is cheap and kept), then show what tuning would do."""
    from factory.hardware import GIB, detect
    from factory.intake import opened
    from factory.pairs.review import load as load_review
    from factory.persona import system_prompt
    from factory.pipeline import dataset
    from factory.report import plan_table
    from factory.report.words import duration
    from factory.stages import tune
    from factory.store import Store, home

    spec, base, files = opened(file, overrides, weights=True)
    prompt = system_prompt(spec)
    store = Store(home())
    if spec.teacher and not _show_teaching(store, spec, base, files):
        console.print("hyperparameters are chosen once the pairs are written", markup=False)
        return
    data = dataset(partial(_made, store), spec, base, files, load_review(home(), spec.name))
    heard = tune.inputs(spec)
    questions = len(tune.unasked(heard["asks"], data))
    chosen = tune.plan_for(spec.tune, base, data, prompt, questions)
    console.print(plan_table(chosen.entries()))
    inputs = {"data": data, "base": base, "prompt": prompt, **heard}
    done = store.find(tune.STAGE, store.key(tune.STAGE, spec.tune, inputs))
    console.print(
        f"{chosen.updates} updates on {detect()}: about {duration(chosen.seconds)} and"
        f" {chosen.memory / GIB:.1f} GiB"
        + (
            " (already trained, will be reused)"
            if done
            else "; the time to merge and judge comes on top"
        ),
        markup=False,
    )


def _show_teaching(store: Any, spec: Any, base: Any, files: Sequence[Any]) -> bool:
    """Print what the teacher will be asked; whether its pairs are there already."""
    from factory.persona import system_prompt
    from factory.report.asking import teaching_plan
    from factory.stages import distill, gather

    rows = _made(store, gather.STAGE, None, name=spec.name, seeds=spec.seeds, files=files)
    given = distill.inputs(spec, base)
    prompt = system_prompt(spec)
    key = store.key(distill.STAGE, spec.distill, {"rows": rows, "prompt": prompt, **given})
    done = store.find(distill.STAGE, key) is not None
    console.print(teaching_plan(spec, prompt, distill.plan(spec.distill, given), done))
    return done


def build(files: Sequence[Path], overrides: Sequence[str], until: str | None) -> int:
    """Build every persona; every file is read and checked before the first one is built."""
    from factory.pipeline import STAGES, stages_of
    from factory.store import home, require_disk

    if until is not None and until not in STAGES:
        raise UsageError("no such stage", where="--until", got=until, allowed=", ".join(STAGES))
    found = _opened(files, overrides)
    for file, (spec, base, _) in zip(files, found, strict=True):
        if until is not None and until not in stages_of(spec):
            raise UsageError(
                "this persona has no such stage, so the build would not stop",
                where=f"--until, {file}",
                got=until,
                allowed=", ".join(stages_of(spec)),
                hint="pairs are distilled only where there is a `teacher`",
            )
        base.format.preflight()
    require_disk(home(), sum(base.disk_needed for _, base, _ in found))
    codes = [0]
    for spec, base, data in found:
        try:
            _build_one(spec, base, data, until)
        except FactoryError as error:
            if len(found) == 1:
                raise
            console.print(str(error), markup=False, style="red")
            codes.append(error.exit_code)
    return next(code for code in WORST if code in codes)


def _opened(files: Sequence[Path], overrides: Sequence[str]) -> list[tuple[Any, Any, Any]]:
    """What `opened` gives for each persona; the mistakes of all of them at once."""
    from factory.intake import opened

    found, wrong = [], []
    for file in files:
        try:
            found.append(opened(file, overrides, weights=True, asks=True))
        except FactoryError as error:
            wrong.append(error)
    if len(wrong) > 1:
        raise UsageError("\n".join(map(str, wrong)))
    if wrong:
        raise wrong[0]
    return found


def _build_one(spec: Any, base: Any, files: Sequence[Any], until: str | None) -> None:
    from factory.pipeline import build as build_story
    from factory.pipeline import stages_of
    from factory.report import Display, terminal
    from factory.run import Run
    from factory.store import Store, home

    display = Display(stages_of(spec), title=f"{spec.name} on {base.label}", console=console)
    run = Run(Store(home()), spec, base, display, until)
    built = build_story(run, files)
    if built.report is None:
        console.print(f"stopped after {until}, as asked", markup=False)
        return
    console.print(terminal(built.report))
    console.print(f"report: {short(built.folder / 'report.html')}", markup=False)
    verdict = built.report.verdict
    if verdict == "PASS":
        return
    accepted = verdict == "INCONCLUSIVE" and spec.evaluate.inconclusive == "warn"
    if accepted and built.release is not None:
        console.print(
            f"warning: {spec.name} was released although the evidence did not decide, as"
            " `evaluate.inconclusive: warn` asks",
            markup=False,
        )
        return
    failure = VERDICTS[verdict]
    done = "released, but not promoted" if built.release is not None else "not released"
    raise failure(
        f"{spec.name} was {done}: {verdict}",
        got=built.report.scorecard["summary"],
        hint=f"read {short(built.folder / 'report.html')}",
    )


def short(path: Path) -> str:
    """A path as it is typed from here, if it lies below."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def review(name: str, again: bool) -> None:
    """Read a teacher's pairs one by one; what is decided holds for every later build."""
    from factory.report.reviewing import ask, newest
    from factory.store import home

    rows = newest(home(), name)
    done = ask(home(), name, rows, console, input, again)
    console.print(
        ", ".join(f"{what}: {count}" for what, count in done.items()),
        markup=False,
    )
    if done["edit"] or done["drop"]:
        console.print("next: build again; training starts from what you kept", markup=False)


def show(name: str | None) -> None:
    """What is in $FACTORY_HOME, by persona."""
    from difflib import get_close_matches

    from factory.report.tables import pages, personas, runs_table
    from factory.store import home

    root = home()
    wanted = name.partition("@")[0] if name else None
    table = runs_table(root, wanted)
    if table is None:
        close = get_close_matches(wanted or "", personas(root), 1)
        raise UsageError(
            "nothing was built yet" if name is None else f"nothing was built for {name!r}",
            where=str(root),
            hint=f"did you mean {close[0]}?"
            if close
            else "run `factory build personas/concise.yaml`",
        )
    console.print(table)
    for page in pages(root, wanted):
        console.print(f"report: {short(page)}", markup=False, soft_wrap=True)


def doctor() -> int:
    """Print every finding; 1 if any is bad."""
    from factory.doctor import examine
    from factory.report.tables import findings_table

    findings = examine()
    console.print(findings_table(findings))
    return int(any(finding.status == "bad" for finding in findings))


def schema() -> None:
    """Print the JSON Schema."""
    import json

    from factory.schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def plugins() -> None:
    """List plugins by kind."""
    from factory.plugins import names

    for kind in ("teachers", "graders", "engines"):
        found = names(kind)
        listed = ", ".join(f"{n} ({found[n].value})" for n in sorted(found)) or "none"
        console.print(f"{kind}: {listed}", markup=False)
