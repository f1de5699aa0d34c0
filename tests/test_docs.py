"""The code in the documentation runs, and the figures in it are those of the studies."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from bandit_router.cli import main
from bandit_router.config import parse_config

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?P<reason><!-- not run:[^>]*-->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A block of code; one after `<!-- not run: why -->` is not run."""

    language: str
    code: str
    line: int
    run: bool


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        if found["language"] in languages:
            line = text.count("\n", 0, found.start("code")) + 1
            yield Block(found["language"], found["code"], line, found["reason"] is None)


def having(*languages: str) -> list[object]:
    found = [page for page in PAGES if any(block.run for block in blocks(page, *languages))]
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in found]


@pytest.mark.parametrize("page", having("python"))
def test_python_in_the_docs_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks of a page run one after another, in one namespace."""
    if page.name == "README.md":
        pytest.skip("it takes the weights and a service: see the tests of both")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        if block.run:
            padded = "\n" * (block.line - 1) + block.code  # an error names the page's line
            exec(compile(padded, str(page), "exec"), names)


@pytest.mark.parametrize("page", having("toml"))
def test_settings_in_the_docs_are_valid(page: Path) -> None:
    for block in blocks(page, "toml"):
        if block.run:
            parse_config(tomllib.loads(block.code))


@pytest.mark.parametrize("page", having("bash", "sh"))
def test_commands_in_the_docs_exist_and_take_their_options(page: Path) -> None:
    for block in blocks(page, "bash", "sh"):
        for line in block.code.replace("\\\n", " ").splitlines():
            if words := command_line(line):
                check_options(words)


def command_line(line: str) -> list[str]:
    """Return the words after `bandit-router`, or none if that is not what the line runs."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # the rest of a text in quotes
        return []
    return words[1:] if words and Path(words[0]).name == "bandit-router" else []


def check_options(words: list[str]) -> None:
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]!r}"
        command, words = found, words[1:]
    command.make_parser(context).parse_args(list(words))  # refuses what it does not know


@pytest.mark.minilm
def test_the_tutorial_runs(tmp_path: Path) -> None:
    """Every command of the tutorial, in order, against a real service with the demo fleet."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    serve = [
        sys.executable,
        "-m",
        "bandit_router",
        "serve",
        "--demo",
        "--port",
        "0",
        "--db",
        "x.db",
    ]
    with subprocess.Popen(
        serve, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            assert service.stdout is not None
            url = re.search(r"http://\S+", service.stdout.readline())
            assert url
            code = [b.code for b in blocks(ROOT / "docs" / "tutorial.md", "bash") if b.run]
            script = "set -eu\n" + "\n".join(code)
            script = re.sub(r"(http://)?localhost:8080", url[0], script)
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        finally:
            service.kill()
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status":"recorded"' in done.stdout.replace(" ", "")
    assert "error" not in done.stdout, done.stdout


def test_the_figures_of_the_comparison_are_those_of_the_studies() -> None:
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    rows = (ROOT / "simulations" / "results" / "learning.md").read_text(encoding="utf-8").strip()
    assert rows in page, "put simulations/results/learning.md into docs/compare.md again"
