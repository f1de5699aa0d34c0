"""Names in the prose of the documentation are names there are: links, options, settings, paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_public_names import public_names

from bandit_router.config import Settings
from bandit_router.service.page import ROUTES

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.M | re.S)
OTHERS = {"--extra-index-url", "--build-arg", "--help", "--version", "--minutes"}
"""Of pip, of docker, of every command, of the soak."""


def each(kind: str) -> set[str]:
    return {name.removeprefix(kind) for name in public_names() if name.startswith(kind)}


OPTIONS = {name.split()[-1] for name in each("command ")} | OTHERS
SETTINGS = each("setting ")
PATHS = {re.sub(r"\{\w+\}", "{}", path) for path in each("http ")} | {
    f"{route.method} {re.sub(r'{[^}]+}', '{}', route.path)}" for route in ROUTES
}


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def code(page: Path) -> Iterator[str]:
    yield from (" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose(page)))


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings, as GitHub and mkdocs make them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).strip().lower() for title in titles]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith(("https:", "http:", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        generated = target.parent == ROOT / "docs" / "reference" and target.suffix == ".md"
        assert target.exists() or generated, link
        if anchor and target.exists():
            assert anchor in anchors(target), link


@pages
def test_options_are_taken_by_some_command(page: Path) -> None:
    for words in code(page):
        if words.startswith(("--", "bandit-router ")):
            for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", words):
                assert option in OPTIONS or "--cb_" in words, words  # the last are VW's


@pages
def test_settings_are_settings(page: Path) -> None:
    tables = {name.split(".")[0] for name in SETTINGS}
    for words in code(page):
        if found := re.match(r"\[+([a-z_.]+)\]+(?: ([a-z_]+)\b)?", words):
            table, key = found.groups()
            assert table.split(".")[0] in tables, words
            assert key is None or f"{table}.{key}" in SETTINGS, words
        elif (found := re.fullmatch(r"([a-z_]+)\.([a-z_]+)(?: ?= ?.*)?", words)) and (
            found[1] in tables and found[2] not in ("csv", "py", "toml", "db")
        ):
            assert f"{found[1]}.{found[2]}" in SETTINGS, words
    names = {f"BANDIT_ROUTER_{name.replace('.', '_').upper()}" for name in SETTINGS}
    for variable in re.findall(r"\bBANDIT_ROUTER_[A-Z_]+[A-Z]\b", page.read_text("utf-8")):
        assert variable in {*names, "BANDIT_ROUTER_FAST"}, variable


@pages
def test_endpoints_are_served(page: Path) -> None:
    for words in code(page):
        if found := re.match(r"(GET|POST|PUT|PATCH|DELETE) (/[\w/{}.-]*)", words):
            path = re.sub(r"\{\w+\}|\b(NAME|ID)\b", "{}", found[2]).removesuffix("...")
            assert any(f"{found[1]} {path}" == known for known in PATHS), words


@pages
def test_modules_and_files_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for module in re.findall(r"python -m\s+((?:simulations|bandit_router)[\w.]*)", text):
        file = ROOT / module.replace(".", "/")
        assert file.with_suffix(".py").is_file() or (file / "__main__.py").is_file(), module
    for path in re.findall(
        r"`((?:tests|simulations|docs|bandit_router|notebooks)/[\w./-]+)`", text
    ):
        assert (ROOT / path).exists(), path


def test_limits_are_the_defaults() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = page[page.index("| `[server]` | default |") :].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+)", table, re.M)
    assert len(rows) > 5
    for key, limit in rows:
        assert getattr(Settings().server, key) == float(limit.replace(",", "")), key
