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
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT),
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}
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


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real service with the demo fleet."""
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
    folder = tmp_path_factory.mktemp("service")
    with subprocess.Popen(
        serve, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = re.search(r"http://\S+", process.stdout.readline())
            assert url
            yield url[0]
        finally:
            process.kill()


def at(url: str, code: str) -> str:
    return re.sub(r"(http://)?(localhost|127\.0\.0\.1):8080", url, code)


@pytest.mark.minilm
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a page's clients are never closed
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("page", having("python"))
def test_python_in_the_docs_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """The blocks of a page run one after another, in one namespace."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        code = block.code
        if not block.run:
            continue
        if ":8080" in code:
            code = at(request.getfixturevalue("service"), code)
        padded = "\n" * (block.line - 1) + code  # an error names the page's line
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
@pytest.mark.parametrize("page", ["tutorial", "drift"])
def test_a_page_can_be_followed(page: str, service: str, tmp_path: Path) -> None:
    """Every command of the page, in order, against a real service."""
    code = [b.code for b in blocks(ROOT / "docs" / f"{page}.md", "bash") if b.run]
    done = subprocess.run(
        ["bash", "-c", "set -eu\n" + at(service, "\n".join(code))],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout
    assert "error" not in done.stdout, done.stdout


def test_the_figures_of_the_comparison_are_those_of_the_studies() -> None:
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    rows = (ROOT / "simulations" / "results" / "learning.md").read_text(encoding="utf-8").strip()
    assert rows in page, "put simulations/results/learning.md into docs/compare.md again"


def test_every_page_is_in_the_contents() -> None:
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert str(page.relative_to(ROOT / "docs")) in contents, "name it under nav in mkdocs.yml"
