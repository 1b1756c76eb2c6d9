"""The `factory` command: parse, one call, print. No logic, and nothing heavy at import."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from factory.errors import INTERRUPTED, FactoryError

app = typer.Typer(
    help="From a persona file to a tested, released chat model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
keys = typer.Typer(help="Make, list and revoke keys of the endpoint.", no_args_is_help=True)
app.add_typer(keys, name="keys")

PersonaFile = Annotated[Path, typer.Argument(help="Persona file (YAML).", metavar="FILE")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Override a field, e.g. --set tune.rank=8.")
]
Rpm = Annotated[int | None, typer.Option(help="Most requests a minute, for one key.", min=1)]
Tpm = Annotated[int | None, typer.Option(help="Most tokens a minute, for one key.", min=1)]
Streams = Annotated[int | None, typer.Option(help="Most answers at once, for one key.", min=1)]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("persona-factory"))
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Set what every command shares."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Threads that wait by spinning starve each other as soon as anything else runs on the machine:
    # on two shared cores training was five times slower. This many rounds keep the speed of a quiet
    # machine and lose little on a busy one. Read by OpenMP when torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "50000")
    if debug:
        os.environ["FACTORY_DEBUG"] = "1"


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the new persona.")],
    language: Annotated[str, typer.Option(help="Two-letter code of the answers.")] = "en",
) -> None:
    """Write a commented persona file NAME.yaml to start from."""
    from factory.commands import init

    init(name, language)


@app.command()
def check(file: PersonaFile, set_: Sets = None) -> None:
    """Report every problem of a persona file and its data at once; nothing is built."""
    from factory.commands import check

    check(file, set_ or [])


@app.command()
def plan(file: PersonaFile, set_: Sets = None) -> None:
    """Show the hyperparameters a build would use, with reasons, time and memory."""
    from factory.commands import plan

    plan(file, set_ or [])


@app.command()
def build(
    files: Annotated[list[Path], typer.Argument(help="Persona files (YAML).", metavar="FILE")],
    set_: Sets = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
) -> None:
    """Turn persona files into tested, released models."""
    from factory.commands import build

    raise typer.Exit(build(files, set_ or [], until))


@app.command()
def review(
    name: Annotated[str, typer.Argument(help="Persona.")],
    again: Annotated[bool, typer.Option(help="Also show pairs that were decided.")] = False,
) -> None:
    """Accept, edit or drop the pairs a teacher wrote, one by one."""
    from factory.commands import review

    review(name, again)


@app.command("eval")
def evaluate(
    ref: Annotated[str, typer.Argument(help="NAME or NAME@N.", metavar="NAME")],
    against: Annotated[
        str,
        typer.Option(
            help="What it must not be worse than, beside its base: promoted, base, NAME@N, a model"
            " folder, URL[#MODEL], or a record's file (.json)."
        ),
    ] = "promoted",
    model: Annotated[
        str | None,
        typer.Option(help="Judge this model folder or NAME@N in the release's place."),
    ] = None,
    bless: Annotated[
        Path | None, typer.Option(help="Write a record (.json) to compare with later.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the scorecard.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a pull request's summary.")] = None,
) -> None:
    """Gate a release again; exit code 0 pass, 10 regression, 11 inconclusive, 12 invalid."""
    from factory.evaluating import evaluate

    written = {"json": json, "junit": junit, "markdown": markdown}
    evaluate(ref, against, model, bless, written)


@app.command()
def compare(
    name: Annotated[str, typer.Argument(help="Persona.")],
    against: Annotated[
        str, typer.Option(help="base, prompted, previous, or NAME@N of a release.")
    ] = "base",
    count: Annotated[int, typer.Option(help="Most questions.", min=1)] = 15,
) -> None:
    """Judge answers blind, side by side: which is more relevant, right, in the persona's voice?"""
    from factory.evaluating import compare

    compare(name, against, count)


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="Persona; all if left out.")] = None,
) -> None:
    """Show runs, verdicts, releases, and where things are."""
    from factory.commands import show

    show(name)


@app.command()
def serve(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="NAME or NAME@N; every promoted release if left out.", metavar="NAME"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    engine: Annotated[
        str,
        typer.Option(help="auto, vllm, transformers, echo, or an OpenAI-compatible URL[#MODEL]."),
    ] = "auto",
    allow_ungated: Annotated[
        bool, typer.Option(help="Serve what has no PASS for its very files, marked as such.")
    ] = False,
    metrics_port: Annotated[
        int | None, typer.Option(help="Prometheus /metrics on 127.0.0.1.", min=0, max=65535)
    ] = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    streams: Streams = None,
    memory: Annotated[
        float | None,
        typer.Option(help="GiB that engines may take together; else all of them stay loaded."),
    ] = None,
    idle: Annotated[
        float | None,
        typer.Option(help="Unload an engine after so many seconds without a request; else never."),
    ] = None,
) -> None:
    """Serve releases over an OpenAI-compatible API.

    Keys: `factory keys` and $FACTORY_API_KEY; with any of them every client needs one.
    """
    from factory.serving import serve

    serve(
        names or [], host, port, engine, allow_ungated, metrics_port,
        (rpm, tpm, streams), memory, idle,
    )  # fmt: skip


@app.command()
def promote(ref: Annotated[str, typer.Argument(help="NAME (its newest) or NAME@N.")]) -> None:
    """Gate a release; if it passes, it is served.

    It is compared with the release that its name means now; a running endpoint follows.
    """
    from factory.serving import promote

    promote(ref)


@app.command()
def rollback(name: Annotated[str, typer.Argument(help="Persona.")]) -> None:
    """Serve the release that was served before.

    A running endpoint follows; answers that were begun end as they began.
    """
    from factory.serving import rollback

    rollback(name)


@app.command()
def chat(
    name: Annotated[str, typer.Argument(help="NAME or NAME@N.")],
    url: Annotated[str | None, typer.Option(help="Endpoint to talk to, and no other.")] = None,
    engine: Annotated[str, typer.Option(help="Engine, if it starts an endpoint.")] = "auto",
) -> None:
    """Talk to a release in the terminal.

    Where the endpoint wants a key, it is read from $FACTORY_API_KEY.
    """
    from factory.serving import chat

    chat(name, url, engine)


@app.command()
def connect(
    client: Annotated[
        str | None, typer.Argument(help="open-webui, python, ...; lists all if left out.")
    ] = None,
    url: Annotated[str, typer.Option(help="Running endpoint.")] = "http://127.0.0.1:8000",
    persona: Annotated[
        str | None, typer.Option(help="Persona to begin with; else the first one served.")
    ] = None,
    show_key: Annotated[
        bool, typer.Option("--show-key", help="Print the key ($FACTORY_API_KEY), too.")
    ] = False,
) -> None:
    """Print a chat UI's settings for the endpoint."""
    from factory.serving import connect

    connect(client, url, persona, show_key)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="A label, to tell keys apart.")] = "",
    persona: Annotated[
        list[str] | None,
        typer.Option(help="Persona it may talk to; repeat for more; all if left out."),
    ] = None,
    expires: Annotated[str | None, typer.Option(help="Lifetime: 12h, 30d, 52w.")] = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    streams: Streams = None,
) -> None:
    """Make a key and print it, once; a running endpoint takes it at once."""
    from factory.serving import create_key

    create_key(name, persona or [], expires, rpm, tpm, streams)


@keys.command("list")
def list_keys() -> None:
    """Show all keys: scope, limits, expiry; never the keys themselves."""
    from factory.serving import list_keys

    list_keys()


@keys.command("revoke")
def revoke_key(id: Annotated[str, typer.Argument(help="A key's id, or the whole key.")]) -> None:
    """End a key; a running endpoint refuses it at once."""
    from factory.serving import revoke_key

    revoke_key(id)


@app.command()
def doctor() -> None:
    """Say what is installed, what hardware was found, and what it means."""
    from factory.commands import doctor

    raise typer.Exit(doctor())


@app.command()
def schema() -> None:
    """Print the JSON Schema of the persona file, for editors."""
    from factory.commands import schema

    schema()


@app.command()
def plugins() -> None:
    """List installed teachers, graders and engines."""
    from factory.commands import plugins

    plugins()


def main() -> None:
    """Entry point: errors become messages and exit codes, Ctrl-C loses nothing."""
    for stream in (sys.stdout, sys.stderr):  # a pipe that only takes ASCII must not end a build
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        print("\ninterrupted; finished work is kept, the next run continues", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except FactoryError as error:
        if os.environ.get("FACTORY_DEBUG"):
            raise
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if isinstance(error, TyperException):  # a command line that does not parse
            show = getattr(error, "show", None)
            show() if show else print(error, file=sys.stderr)
            sys.exit(2)
        if os.environ.get("FACTORY_DEBUG"):
            raise
        print(f"unexpected {type(error).__name__}: {error}", file=sys.stderr)
        print(
            "  next:    run again with `factory --debug ...` and report what it prints",
            file=sys.stderr,
        )
        sys.exit(1)
