"""How regret grows over longer and longer streams: against the best single model of hindsight.

    python -m simulations.regret tables/routellm2,tables/pareto_val

Four passes over each table, four seeds, shipped defaults, quality only. `regret` is what the best
single model would have had more by a 64th, a 32nd, ... of the stream and by its end, in utility;
below 0 the map has won more than learning cost. `exponent` is that of the power of time that fits
those that are above 0: below 1 is sublinear. Writes ``regret.json`` and ``.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bandit_router.simulator import read_table
from bandit_router.simulator.run import Job

from .harness import as_shipped, grid, keep_rows, on_all_cores, parser_of
from .learning import OURS

BEST = "best-single"
PASSES = 4
PARTS = tuple(2**n for n in range(6, -1, -1))


def played(job: Job, task: tuple[str, int], tick: Callable[[int], object]) -> list[float]:
    """Return the utility summed up by each part of the stream."""
    total = np.cumsum(job.run(*task, tick).utility)
    return [float(total[job.steps // part - 1]) for part in PARTS]


def study(folder: Path, seeds: int) -> dict[str, Any]:
    """Return the figures of one table."""
    table = read_table(folder)
    job = as_shipped(table, PASSES, 0.0, progress=True)
    tasks = [(name, seed) for name in (BEST, OURS) for seed in range(seeds)]
    steps = job.steps * len(tasks)
    found = np.array(on_all_cores(played, job, tasks, label=table.name, steps=steps))
    regret = (found[:seeds] - found[seeds:]).mean(axis=0)
    at = [job.steps // part for part in PARTS]
    above = regret > 0
    exponent = None
    if above.sum() > 1:
        exponent = float(np.polyfit(np.log(np.array(at)[above]), np.log(regret[above]), 1)[0])
    return {
        "table": table.name,
        "cost_weight": 0.0,
        "seeds": seeds,
        "steps": at,
        "regret": regret.tolist(),
        "exponent": exponent,
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table."""
    head = ("table", *(f"1/{part}" for part in PARTS[:-1]), "whole stream (steps)", "exponent")
    lines = [
        (
            row["table"],
            *(f"{value:.1f}" for value in row["regret"][:-1]),
            f"{row['regret'][-1]:.1f} ({row['steps'][-1]:,})",
            "" if row["exponent"] is None else f"{row['exponent']:.2f}",
        )
        for row in rows
    ]
    return f"Regret of {OURS} against {BEST}, {rows[0]['seeds']} seeds.\n\n{grid(head, lines)}"


def main() -> None:
    """Run the study."""
    args = parser_of(__doc__, seeds=4).parse_args()
    rows = []
    for folder in args.tables:
        rows.append(study(folder, args.seeds))
        keep_rows(args.out, "regret", rows, markdown)
    print(markdown(rows))


if __name__ == "__main__":
    main()
