"""The rooms of the house: imports point down this list only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import bandit_router

PACKAGE = Path(bandit_router.__file__).parent

TOP_TO_BOTTOM = """
    __main__ cli commands
    service precompile bench simulator providers store explain
    router told rollout fold eligibility strategies sessions views accounts memory sources crowd
    codec shapes policies bandits clustering embedding page_hinkley
    config types vectors candidates exceptions handed compiled cores absent
"""
ROOMS = TOP_TO_BOTTOM.split()
CORE = ROOMS[ROOMS.index("router") :]
APART = {"client", "__init__"}  # the first imports nothing of ours, the second only re-exports


def imports(path: Path) -> Iterator[list[str]]:
    """Every module that a file imports, also within functions, as the parts of its name."""
    package = [PACKAGE.name, *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = base + (node.module or "").split(".") if node.module else base
            yield from ([*module, alias.name] for alias in node.names)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files() -> list[tuple[str, Path]]:
    return [(room_of(path), path) for path in sorted(PACKAGE.rglob("*.py"))]


def test_every_room_is_in_the_list() -> None:
    assert {room for room, _ in files()} == {*ROOMS, *APART}


def test_imports_point_down() -> None:
    for room, path in files():
        for module in imports(path):
            if module[0] != PACKAGE.name or room == "__init__" or len(module) < 2:
                continue
            assert room != "client", f"{path.name} imports {'.'.join(module)}"
            if module[1] != room and module[1] in ROOMS:
                assert ROOMS.index(module[1]) > ROOMS.index(room), (
                    f"{path.relative_to(PACKAGE)} imports {'.'.join(module)}"
                )


def test_the_core_neither_talks_nor_asks_the_time() -> None:
    outside = {"aiohttp", "httpx", "httpx2", "requests", "socket", "sqlite3", "sqlite_utils"}
    for room, path in files():
        if room in CORE and room not in ("embedding", "compiled"):  # an endpoint; a cache on disk
            found = {module[0] for module in imports(path)}
            assert not found & (outside | {"random", "time", "datetime", "secrets"}), path
