"""`--tenant` names the database of one tenant on every command that takes a database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from bandit_router.cli import main

CONFIG = """
[bandit]
strategy = "random"

[[models]]
name = "ours"

[tenants.acme]

[[tenants.acme.models]]
name = "theirs"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with a tenant, and a log."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(CONFIG)
    row = {"prompt": "hello", "model": "theirs", "reward": 1, "propensity": 0.5}
    (tmp_path / "log.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


def ran(line: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, [*line.split(), "--json"])
    assert result.exit_code == 0, result.stdout + result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_every_command_over_a_database_knows_it(folder: Path) -> None:
    found = ran("warm-start log.jsonl --config c.toml --db router.db --tenant acme")
    assert found == {"decisions": 1, "models_added": 0}  # the tenant's own models
    assert [file.name for file in folder.glob("*.db")] == ["router.acme.db"]
    ran("keys add app --db router.db --tenant acme")
    (key,) = ran("keys list --db router.db --tenant acme")["keys"]
    assert key["name"] == "app"
    assert ran("keys list --db router.acme.db")["keys"] == [key]
    ran("keys revoke app --db router.db --tenant acme")
    for line in (
        "route hello --db router.db --tenant acme",
        "route hello --config c.toml --db router.db --tenant acme",
    ):
        assert ran(line)["model"] == "theirs"
    assert ran("verify --db router.db --tenant acme")["agrees"]
    ran("export --db router.db --tenant acme --events events.jsonl")
    ran("import events.jsonl --db copy.db --tenant acme")
    assert (folder / "copy.acme.db").exists()
    ran("compact --db copy.db --tenant acme --keep-days 1")
    assert not (folder / "router.db").exists()
    assert not (folder / "copy.db").exists()


def test_without_a_database_the_tenants_own_models_are_routed(folder: Path) -> None:
    assert ran("route hello --config c.toml --tenant acme")["model"] == "theirs"
    assert ran("route hello --config c.toml")["model"] == "ours"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("verify --db router.db --tenant ../acme", 2, "'../acme' is no name for a tenant"),
        ("verify --db router.db --tenant acme", 1, "router.acme.db: there is no database"),
        ("keys list --db router.db --tenant acme", 1, "router.acme.db: there is no database"),
        ("compact --keep-days 1 --db router.db --tenant acme", 1, "router.acme.db: there is no"),
        ("route hello --config c.toml --tenant acne", 2, "no [tenants.acne]; did you mean 'acme'"),
        ("warm-start log.jsonl --config c.toml --db a.db --tenant acne", 2, "did you mean"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, line: str, code: int, said: str) -> None:
    result = CliRunner().invoke(main, line.split())
    assert result.exit_code == code
    assert said in result.stderr
    assert not list(folder.glob("*.db"))


def test_no_command_over_a_database_lacks_it() -> None:
    """Only `serve` does: it serves all tenants."""

    def walk(command: click.Command, name: str) -> list[str]:
        if isinstance(command, click.Group):
            return [n for k, sub in command.commands.items() for n in walk(sub, f"{name} {k}")]
        options = {option.name for option in command.params}
        return [name] if "db" in options and "tenant" not in options else []

    assert walk(main, "bandit-router") == ["bandit-router serve"]
