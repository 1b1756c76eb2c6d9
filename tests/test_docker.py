"""What `docker/` names is there and means the same in the code, the Makefile and the command line.

No Docker engine is needed: the files are read, and what can be run of them (install steps as `make` prints
them, the health check) is run.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from factory.cli import app
from serve.connect.clients import settings
from serve.engines import vllm_launch
from serve.listening import DRAIN, GRACE
from tests.serve.conftest import endpoint, make_release

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = ("build", "serve")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction of a Dockerfile."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its arguments, flags such as `--from=` included; an exec form as its list."""
        if self.text.startswith("["):
            return list(json.loads(self.text))
        return shlex.split(self.text)


def stages(name: str) -> list[list[Step]]:
    """The stages of a Dockerfile, each beginning with its FROM."""
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text("utf-8")
    kept = "\n".join(line for line in text.splitlines() if line and not line.startswith("#"))
    found: list[list[Step]] = []
    for line in re.sub(r"\s*\\\n\s*", " ", kept).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append(Step(word, rest))
    return found


def only(stage: list[Step], name: str) -> Step:
    """The single instruction of this name."""
    (step,) = [step for step in stage if step.name == name]
    return step


def environment(stage: list[Step]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in only(stage, "ENV").words)


def compose(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "docker" / name)
    return loaded


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose("compose.yaml")["services"][name]
    return found


def parsed(arguments: list[str]) -> dict[str, Any]:
    """A command line as the `factory` command reads it; raises for an unknown command or flag."""
    group: Any = typer.main.get_command(app)
    command = group.commands[arguments[0]]
    values, rest, _ = command.make_parser(typer.Context(command)).parse_args(arguments[1:])
    assert rest == []
    return dict(values)


def port() -> int:
    """The port that `factory serve` listens on if it is not told another."""
    group: Any = typer.main.get_command(app)
    (option,) = [p for p in group.commands["serve"].params if p.name == "port"]
    return int(option.default)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_base_image_has_the_oldest_python_that_the_project_takes(name: str) -> None:
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    images = {stage[0].words[0] for stage in stages(name)}
    assert images == {f"python:{oldest}-slim-bookworm"}


def test_both_images_are_installed_in_the_same_way() -> None:
    assert stages("build")[0] == stages("serve")[0]
    assert stages("build")[1][1:3] == stages("serve")[1][1:3]  # system packages and user; the copy


def test_what_is_copied_is_what_an_installation_needs() -> None:
    copies = [step.words for step in stages("serve")[0] if step.name == "COPY"]
    sources = {source for *names, _ in copies for source in names}
    assert all((ROOT / source).exists() for source in sources)
    project = PROJECT["project"]
    needed = {"Makefile", "pyproject.toml", "constraints.txt", project["readme"]}
    packages = {p.rstrip("*") for p in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert sources == needed | set(project["license-files"]) | packages
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == sources
    assert not any(
        fnmatch(source, rule.removeprefix("**/")) for source in sources for rule in rules[1:]
    )


@pytest.mark.parametrize("hardware", ["cpu", "gpu"])
def test_the_install_steps_are_those_of_make(hardware: str) -> None:
    install = stages("serve")[0]
    (step,) = [step for step in install if "make install " in step.text]
    command = step.words[step.words.index("make") :]
    given = dict(word.split("=", 1) for word in command[2:])
    assert all(f"$({name})" in MAKEFILE for name in given)
    declared = {step.text.partition("=")[0] for step in install if step.name == "ARG"}
    assert set(re.findall(r"\$(\w+)", step.text)) == declared == {"HARDWARE", "TORCH_INDEX"}
    assert f"serve-{hardware}" in PROJECT["project"]["optional-dependencies"]
    assert given["EXTRAS"] in PROJECT["project"]["optional-dependencies"]

    values = {"$HARDWARE": hardware, "$TORCH_INDEX": "http://127.0.0.1/cpu"}
    filled = [f"{name}={values.get(value, value)}" for name, value in given.items()]
    printed = subprocess.run(
        ["make", "--dry-run", "--always-make", "install", *filled],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    torch = printed.index("'torch==")
    assert "http://127.0.0.1/cpu" in printed[printed.rindex("\n", 0, torch) : torch]
    extra = printed.index('--editable ".[${serve:+$serve,}otel]"')
    drop = printed.index("uninstall --yes torchvision torchaudio torchcodec")
    assert torch < extra < drop
    assert f"serve=serve-{hardware}" in printed
    for guarded in (torch, drop):  # these two are for a CPU only
        line = printed[printed.rindex("\n", 0, guarded) : guarded]
        assert re.search(rf"\[ {hardware} = [cg]pu \]", line)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_image_runs_as_a_user_who_owns_nothing_but_the_volume(name: str) -> None:
    final = stages(name)[-1]
    assert int(only(final, "USER").text) > 0
    home = environment(final)["FACTORY_HOME"]
    assert only(final, "VOLUME").text == only(final, "WORKDIR").text == home
    assert any(f"--owner factory {home}" in step.text for step in final if step.name == "RUN")
    (copied,) = [step.words for step in final if step.name == "COPY"]
    workdir = only(stages(name)[0], "WORKDIR").text
    assert copied == ["--from=install", workdir, workdir]  # an editable install stays where it is
    assert environment(final)["PATH"].split(":")[0] == f"{workdir}/.venv/bin"
    assert "BIN := .venv/bin" in MAKEFILE


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_process_is_the_command_itself(name: str) -> None:
    final = stages(name)[-1]
    entry, command = only(final, "ENTRYPOINT"), only(final, "CMD")
    assert entry.text.startswith("[") and command.text.startswith("[")
    assert entry.words[0] in PROJECT["project"]["scripts"]


def test_the_server_listens_where_the_image_says() -> None:
    final = stages("serve")[-1]
    assert parsed(only(final, "CMD").words)["host"] == "0.0.0.0"
    assert int(only(final, "EXPOSE").text) == port()


def test_every_variable_of_the_images_is_read_by_something() -> None:
    read = {"PATH", "HOME", "USER", "PYTHONUNBUFFERED", "HF_HOME", "HF_HUB_OFFLINE"}  # by others
    code = "".join(file.read_text("utf-8") for file in (ROOT / "factory").glob("*.py"))
    for name in DOCKERFILES:
        ours = set(environment(stages(name)[-1])) - read
        assert ours and all(f'"{variable}"' in code for variable in ours)


def test_the_health_check_tells_a_running_endpoint_from_none(
    factory_home: Path, tiny_llama: Path
) -> None:
    command = only(stages("serve")[-1], "HEALTHCHECK").text.partition("CMD ")[2]
    python, *arguments = json.loads(command)
    assert python == "python"

    def check(where: int) -> int:
        moved = [argument.replace(str(port()), str(where)) for argument in arguments]
        done = subprocess.run([sys.executable, *moved], capture_output=True, check=False)
        return done.returncode

    make_release(factory_home, tiny_llama)
    with endpoint(factory_home, "brief", engine="echo", key="secret") as url:
        where = int(url.rpartition(":")[2])
        assert check(where) == 0
    assert check(where) != 0


def test_compose_builds_and_starts_the_endpoint() -> None:
    one = service("endpoint")
    folder = ROOT / "docker"
    context = (folder / one["build"]["context"]).resolve()
    assert context == ROOT and (context / one["build"]["dockerfile"]).is_file()
    declared = {step.text.partition("=")[0] for step in stages("serve")[0] if step.name == "ARG"}
    gpu = compose("compose.gpu.yaml")["services"]["endpoint"]
    assert set(one["build"]["args"]) | set(gpu["build"]["args"]) <= declared
    assert gpu["gpus"] == "all"

    assert (
        parsed(shlex.split(one["command"].replace("${PERSONAS:-}", "concise")))["host"] == "0.0.0.0"
    )
    (mount,) = one["volumes"]
    assert mount.rpartition(":")[2] == environment(stages("serve")[-1])["FACTORY_HOME"]
    assert mount.startswith("${FACTORY_HOME:-../out}")  # beside this file; `factory` makes ./out
    code = (ROOT / "factory" / "serving.py").read_text("utf-8")
    assert all(f'"{variable}"' in code for variable in one["environment"])


def test_compose_does_not_start_without_a_key() -> None:
    for name, variable in (("endpoint", "FACTORY_API_KEY"), ("open-webui", "OPENAI_API_KEYS")):
        assert service(name)["environment"][variable].startswith("${FACTORY_API_KEY:?")


def test_the_endpoint_can_write_nowhere_but_where_it_must() -> None:
    one = service("endpoint")
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"] and "cap_add" not in one
    assert one["security_opt"] == ["no-new-privileges:true"]
    (scratch,) = one["tmpfs"]
    where, _, options = scratch.partition(":")
    assert where == environment(stages("serve")[-1])["HOME"]
    assert {"exec", "mode=1777"} == set(options.split(","))
    assert not one["user"].startswith(("0", "root"))


def test_what_compose_publishes_only_this_machine_reaches() -> None:
    published = [p for name in ("endpoint", "open-webui") for p in service(name)["ports"]]
    assert published == [f"127.0.0.1:{port()}:{port()}", "127.0.0.1:3000:8080"]


def test_answers_may_finish_before_docker_kills() -> None:
    grace = int(service("endpoint")["stop_grace_period"].removesuffix("s"))
    assert grace > DRAIN + GRACE + vllm_launch.GRACE


def test_open_webui_is_connected_as_factory_connect_says(
    factory_home: Path, tiny_llama: Path
) -> None:
    ui = service("open-webui")
    assert ui["depends_on"] == {"endpoint": {"condition": "service_healthy"}}
    assert ui["environment"]["OPENAI_API_BASE_URLS"] == f"http://endpoint:{port()}/v1"
    make_release(factory_home, tiny_llama)
    with endpoint(factory_home, "brief", engine="echo", key="secret") as url:
        text = settings("open-webui", url=url, persona=None, key="secret", show_key=False)
    told = dict(line.split("=", 1) for line in text.splitlines() if line[:1].isupper())
    del told["DEFAULT_MODELS"]  # compose does not know which personas there are
    assert set(ui["environment"]) == set(told)
    same = set(told) - {"OPENAI_API_BASE_URLS", "OPENAI_API_KEYS"}
    assert {name: ui["environment"][name] for name in same} == {name: told[name] for name in same}
