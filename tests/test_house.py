"""The house rules that a reader can check by running something: see CONTRIBUTING.md."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import factory

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted([*(ROOT / "factory").rglob("*.py"), *(ROOT / "serve").rglob("*.py")])
HEAVY = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "vllm")
TORCH_ROOMS = ("factory.model", "factory.starter", "serve.engines")
READMES = ("README.md", "README.zh.md")


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def project() -> dict[str, Any]:
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    table: dict[str, Any] = whole["project"]
    return table


def fresh(code: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that has imported nothing yet."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}",
            *arguments,
        ],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_commands_before_any_work_need_no_client_and_no_server() -> None:
    done = fresh(
        "import runpy\n"
        "for name in ('httpx', 'openai', 'fastapi', 'uvicorn', 'torch', 'transformers'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv = ['factory', 'check', 'personas/concise.yaml']\n"
        "runpy.run_module('factory', run_name='__main__')"
    )
    assert done.returncode == 0, done.stderr
    assert "ready to build" in done.stdout


def test_no_module_outside_the_torch_rooms_imports_torch() -> None:
    light = [
        name
        for name in map(dotted, MODULES)
        if not name.startswith(TORCH_ROOMS) and not name.endswith("__main__")
    ]
    done = fresh(
        "import importlib\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        f"    if found := [heavy for heavy in {HEAVY!r} if heavy in sys.modules]:\n"
        "        sys.exit(f'{name} imports {found}')\n"
        "print('light')",
        *light,
    )
    assert done.stdout.strip() == "light", done.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("--help", 0),
        ("check {root}/personas/concise.yaml", 0),
        ("plan {root}/personas/concise.yaml", 0),
        ("init fresh", 0),
        ("show", 2),  # nothing was built
        ("schema", 0),
        ("plugins", 0),
    ],
)
def test_command_runs_without_torch(command: str, code: int, tmp_path: Path) -> None:
    done = fresh(
        "from factory.cli import main\n"
        "sys.argv[0] = 'factory'\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        f"    found = [heavy for heavy in {HEAVY!r} if heavy in sys.modules]\n"
        "    sys.exit(f'imported {found}' if found else end.code)",
        *command.format(root=ROOT).split(),
        cwd=tmp_path,
    )
    assert done.returncode == code, done.stdout + done.stderr


def test_modules_hold_one_room_each() -> None:
    drawers = {"utils", "util", "common", "helpers", "helper", "misc", "manager"}
    assert [name for name in map(dotted, MODULES) if drawers & set(name.split("."))] == []
    lines = {dotted(file): len(file.read_text("utf-8").splitlines()) for file in MODULES}
    assert {name: count for name, count in lines.items() if count > 350} == {}


def test_entry_points_resolve() -> None:
    table = project()
    groups = {"scripts": table["scripts"], **table["entry-points"]}
    for group, points in groups.items():
        for name, target in points.items():
            module, _, attribute = target.partition(":")
            found = getattr(importlib.import_module(module), attribute)
            assert callable(found), f"{group}: {name} = {target}"
            if group != "scripts":
                assert found.name == name, f"{target} calls itself {found.name}"


def test_version_is_one_and_in_the_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert factory.__version__ in headings


@pytest.mark.parametrize("name", READMES)
def test_readme_commands_exist(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    shown = re.findall(r"^\s*(?:\$ )?make ([a-z]+)", text, re.MULTILINE)
    assert {"demo", "test"} <= set(shown)
    assert set(shown) <= targets
    commands = set(
        re.findall(
            r"^  ([a-z]+) ",
            fresh("from factory.cli import main; main()", "--help").stdout,
            re.MULTILINE,
        )
    )
    used = re.findall(r"^\s*(?:\$ )?(?:\.venv/bin/)?factory ([a-z]+)", text, re.MULTILINE)
    assert used
    assert set(used) <= commands


def test_constraints_pin_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", pin) for pin in pins)
    pinned = {normal(pin.split("==")[0]) for pin in pins}
    table = project()
    wanted = [*table["dependencies"], *chain(*table["optional-dependencies"].values())]
    names = {normal(re.split(r"[\[<>=!~ ]", requirement)[0]) for requirement in wanted}
    assert names - {"persona-factory"} <= pinned  # an extra may name another one of ours


def test_every_import_is_a_declared_dependency() -> None:
    imported = {
        name
        for file in MODULES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        for name in imports(node)
    }
    third_party = imported - sys.stdlib_module_names - {"factory", "serve", "vllm"}
    table = project()
    wanted = [*table["dependencies"], *table["optional-dependencies"]["otel"]]
    declared = {normal(re.split(r"[\[<>=!~ ]", item)[0]) for item in wanted}
    # Part of another distribution's own interface.
    declared |= {"annotated-types", "markupsafe", "pydantic-core"}
    origins = packages_distributions()
    assert {n for n in third_party if not declared & set(map(normal, origins[n]))} == set()


def imports(node: ast.AST) -> list[str]:
    """Top-level packages that an import statement names."""
    match node:
        case ast.Import():
            return [alias.name.split(".")[0] for alias in node.names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module.split(".")[0]]
    return []


def normal(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
