"""Runs the studies again: `make studies TABLES=folder,...`.

    python -m simulations.run                                  # on the bundled table, ulab14
    python -m simulations.run tables/ulab14,tables/pareto_val
    python -m simulations.run --quick --only policies,off_policy

Each study is a script of its own with its settings at its top, runs in a process of its own, and
writes to `simulations/results` (`--quick`: a look with tiny settings, to `build/studies`). The
budgets are played on `pareto_val` only, the table of the paper that they come from.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BUNDLED = Path(__file__).parent / "tables" / "ulab14"
RESULTS = Path(__file__).parent / "results"
QUICK = Path("build/studies")


@dataclass(frozen=True)
class Setting:
    """What a run of the studies was asked for."""

    tables: list[Path]
    quick: bool

    def small(self, *options: str) -> list[str]:
        """Return options that make a study small, if it is to be."""
        return list(options) if self.quick else []

    @property
    def joined(self) -> str:
        """The tables with commas."""
        return ",".join(map(str, self.tables))


def policies(s: Setting) -> list[list[str]]:
    """(a) Every policy on every table."""
    return [[s.joined, *s.small("--seeds", "2", "--steps", "300")]]


def moving_world(s: Setting) -> list[list[str]]:
    """(b) The drift suite."""
    return [[s.joined, *s.small("--seeds", "1", "--steps", "480")]]


def budgets(s: Setting) -> list[list[str]]:
    """(c) Budgets against ParetoBandit, on its own data."""
    own = [t for t in s.tables if t.name == "pareto_val"]
    return [[str(t), *s.small("--seeds", "1", "--steps", "300")] for t in own]


def clusterers(s: Setting) -> list[list[str]]:
    """(d) The maps that clusterers draw."""
    return [[s.joined, *s.small("--limit", "400")]]


def off_policy(s: Setting) -> list[list[str]]:
    """(e) Whether off-policy intervals hold the truth."""
    return [[str(s.tables[0]), *s.small("--repetitions", "20", "--decisions", "500")]]


def embedders(s: Setting) -> list[list[str]]:
    """(f) What an embedder is worth."""
    return [[s.joined, *s.small("--seeds", "1")]]


def learning(s: Setting) -> list[list[str]]:
    """Ours beside other bandits over two passes."""
    return [[s.joined, *s.small("--seeds", "2", "--steps", "300")]]


def cold_start(s: Setting) -> list[list[str]]:
    """What the first decisions are worth."""
    return [[s.joined, *s.small("--seeds", "2")]]


def regret(s: Setting) -> list[list[str]]:
    """How regret grows."""
    return [[s.joined, *s.small("--seeds", "1")]]


def variety(s: Setting) -> list[list[str]]:
    """Random parts of tables."""
    return [[s.joined, *s.small("--seeds", "2", "--parts", "2")]]


def priors(s: Setting) -> list[list[str]]:
    """What guesses about new models are worth."""
    return [[s.joined, *s.small("--seeds", "2")]]


def intervals(s: Setting) -> list[list[str]]:
    """Whether posterior intervals hold the truth."""
    return [[s.joined, *s.small("--seeds", "1")]]


def over_http(s: Setting) -> list[list[str]]:
    """Whether a running service learns what the simulator learns."""
    return [[str(s.tables[0]), *s.small("--prompts", "60")]]


STUDIES: dict[str, Callable[[Setting], list[list[str]]]] = {
    study.__name__: study
    for study in (
        policies,
        moving_world,
        budgets,
        clusterers,
        off_policy,
        embedders,
        learning,
        cold_start,
        regret,
        variety,
        priors,
        intervals,
        over_http,
    )
}


def main() -> None:
    """Run what was asked for; end with 1 if a study failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", nargs="?", help="folders, comma-separated [the bundled ulab14]")
    parser.add_argument("--only", help=f"of {', '.join(STUDIES)}")
    parser.add_argument("--quick", action="store_true", help="tiny settings, to build/studies")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    tables = [Path(part) for part in (args.tables or str(BUNDLED)).split(",") if part]
    wanted = args.only.split(",") if args.only else list(STUDIES)
    for name in wanted:
        if name not in STUDIES:
            parser.error(f"no study {name!r}; there are {', '.join(STUDIES)}")
    for table in tables:
        if not table.is_dir():
            parser.error(f"{table} is no folder")
    out = args.out or (QUICK if args.quick else RESULTS)
    out.mkdir(parents=True, exist_ok=True)
    setting = Setting(tables, args.quick)
    failed = []
    for name in wanted:
        runs = STUDIES[name](setting)
        if not runs:
            print(f"{name}: none of these tables is for it", file=sys.stderr)
        for arguments in runs:
            command = [sys.executable, "-m", f"simulations.{name}", *arguments, "--out", str(out)]
            print("+", " ".join(command[1:]), file=sys.stderr, flush=True)
            if subprocess.run(command, cwd=Path.cwd(), check=False).returncode:
                failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(dict.fromkeys(failed))}")


if __name__ == "__main__":
    main()
