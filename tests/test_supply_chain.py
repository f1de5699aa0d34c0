"""What is installed is pinned, and nothing that is read is run."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import bandit_router

ROOT = Path(bandit_router.__file__).parents[1]
UNSAFE = {"pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}


def requirements() -> Iterator[str]:
    """The names of every dependency: of the package, its extras, and those who work on it."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = said["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for group in [*groups, *said["dependency-groups"].values()]:
        for line in group:
            if isinstance(line, str):
                yield re.split(r"[\[<>=~! ;]", line)[0].lower().replace("_", "-")


def test_every_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("#")[0].split(";")[0].strip() for line in lines]
    loose = [pin for pin in pins if pin and not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][^ *]*", pin)]
    assert not loose
    pinned = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    assert set(requirements()) <= pinned | {"bandit-router"}


def test_nothing_that_is_read_is_run() -> None:
    files = list(Path(bandit_router.__file__).parent.rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not UNSAFE & {name.name.partition(".")[0] for name in node.names}, file
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in UNSAFE, file
            elif isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("eval", "exec", "torch.load", "yaml.load"), file
                said = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert said.get("allow_pickle", "False") == "False", file
