"""`tune --study postgresql://...`: machines share one search."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import bandit_router.service.demo

TABLE = Path(bandit_router.service.demo.__file__).parent / "table"
COMMAND = [sys.executable, "-c", "from bandit_router.cli import main; main()", "tune", "--json"]


def test_two_machines_at_once_share_a_study(url: str, tmp_path: Path) -> None:
    arguments = ["--table", str(TABLE), "--policy", "global-thompson", "--steps", "30"]
    arguments += ["--seeds", "1", "--trials", "3", "--processes", "1", "--study", url]
    machines = [
        subprocess.Popen(
            [*COMMAND, *arguments, "--out", str(tmp_path / f"{number}.toml")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(2)
    ]
    found = []
    for machine in machines:
        out, err = machine.communicate(timeout=120)
        assert machine.returncode == 0, err.decode()
        found.append(json.loads(out))
    assert found[0]["study"] == found[1]["study"]
    assert max(one["trials"] for one in found) == 6
    # Whoever comes later goes on from the trials of both, and has the best of them.
    later = ["--trials", "1", "--out", str(tmp_path / "later.toml")]
    done = subprocess.run(
        [*COMMAND, *arguments, *later], capture_output=True, check=True, timeout=120
    )
    last = json.loads(done.stdout)
    assert last["trials"] == 7
    assert last["search"]["tuned"] >= max(one["search"]["tuned"] for one in found)
