"""What is written is true: doctests run, and the README names what there is."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bandit_router
from bandit_router.cli import main
from bandit_router.policies import NAMES

ROOT = Path(__file__).parent.parent
DOCS = "\n".join(
    path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
)
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(bandit_router.__path__, "bandit_router.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError as error:  # a module for an extra that is not installed
        pytest.skip(str(error))
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_is_in_the_docs(command: str) -> None:
    assert f"`bandit-router {command}" in DOCS


@pytest.mark.parametrize("policy", NAMES)
def test_every_policy_is_in_the_docs(policy: str) -> None:
    assert f"`{policy}`" in DOCS


def test_importing_loads_nothing_heavy() -> None:
    code = "import bandit_router, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "sentence_transformers", "transformers", "sklearn", "pandas", "aiohttp"}
    assert not heavy & set(loaded.stdout.split())


def test_the_help_loads_no_numbers() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from bandit_router.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0; print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "scipy", "msgspec", "sqlite3", "aiohttp", "river"}
    assert not heavy & set(loaded.stdout.split())


def test_only_the_public_names_are_exported() -> None:
    assert set(bandit_router.__all__) == {"Decision", "Feedback", "Model", "Router"}


def test_every_promise_leads_to_its_test() -> None:
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    written = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in written, name
    for path in re.findall(r"\]\(\.\./(tests/\S+?)\)", text):
        assert (ROOT / path).is_file(), path
