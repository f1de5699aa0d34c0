"""No public name disappears unannounced.

`public_names.txt` lists them. A name that goes is first announced in CHANGELOG.md, then taken out
there; new names are added by

    python tests/test_public_names.py
"""

from __future__ import annotations

import importlib
from pathlib import Path

import click
import msgspec

from bandit_router.cli import main
from bandit_router.config import Settings
from bandit_router.policies import NAMES
from bandit_router.service.app import OPERATIONS
from bandit_router.service.openapi import document
from bandit_router.types import Endpoint, Model

LIST = Path(__file__).with_name("public_names.txt")
MODULES = ("", ".clustering", ".embedding", ".policies", ".service", ".simulator", ".store")


def public_names() -> set[str]:
    names = {f"strategy {name}" for name in NAMES}
    for module in MODULES:
        loaded = importlib.import_module(f"bandit_router{module}")
        names |= {f"python bandit_router{module}.{name}" for name in loaded.__all__}
    names |= set(commands(main, "bandit-router"))
    names |= set(settings())
    api = document(OPERATIONS, version="")
    for path, operations in api["paths"].items():
        names |= {f"http {method.upper()} {path}" for method in operations}
    for name, schema in api["components"]["schemas"].items():
        names |= {f"json {name}.{field}" for field in schema.get("properties", {})}
    return names


def commands(command: click.Command, name: str) -> list[str]:
    if isinstance(command, click.Group):
        found = command.commands.items()
        return [line for word, child in found for line in commands(child, f"{name} {word}")]
    options = [option for parameter in command.params for option in parameter.opts]
    return [f"command {name}", *(f"command {name} {option}" for option in options)]


def settings() -> list[str]:
    out = []
    for table in msgspec.structs.fields(Settings):
        keys = getattr(table.type, "__struct_fields__", ())
        out += [f"setting {table.name}.{key}" for key in keys] or [f"setting {table.name}"]
    out += [f"setting models.{key}" for key in Model.__struct_fields__]
    return out + [f"setting models.endpoints.{key}" for key in Endpoint.__struct_fields__]


def test_no_public_name_has_disappeared() -> None:
    listed = set(LIST.read_text(encoding="utf-8").splitlines())
    assert listed
    assert not listed - public_names()


if __name__ == "__main__":
    LIST.write_text("\n".join(sorted(public_names())) + "\n", encoding="utf-8")
