"""`simulate --engine ray` gives the numbers of one machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bandit_router.cli import main

TIMES = ("decide_us_p50", "update_us_p50")


def played(tables: str, *options: str) -> dict[str, Any]:
    # A process of its own: a Ray cluster belongs to the process that began it.
    command = [sys.executable, "-c", "from bandit_router.cli import main; main()", "simulate"]
    arguments = ["--table", tables, "--policy", "global-thompson,random", "--embedder", "none"]
    arguments += ["--steps", "60", "--seeds", "2", "--json", *options]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    for table in found["tables"]:
        for policy in table["policies"].values():
            for name in TIMES:
                policy.pop(name)
    return found


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a Ray node needs two cores to start in time")
def test_the_numbers_are_those_of_one_machine(folder: Path) -> None:
    two = f"{folder},{folder}"
    assert played(two, "--engine", "ray") == played(two)


def test_without_ray_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ["simulate", "--table", str(folder), "--policy", "random", "--embedder", "none"]
    result = CliRunner().invoke(main, [*arguments, "--steps", "10", "--engine", "ray", "--json"])
    assert result.exit_code == 1
    assert "pip install 'bandit-router[ray]'" in result.stdout
