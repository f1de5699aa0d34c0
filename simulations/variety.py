"""Tables that nobody tuned anything to: random parts of tables, ours beside the others.

    python -m simulations.variety tables/ulab14,tables/mmlupro --parts 36

Each part has 2 to 8 of a table's models, at least three of its tasks, 400, 1,000 or 2,500 of the
prompts and, where there are costs, a cost weight of 0, 0.1 or 0.3; all drawn from the number of the
part. Two passes, six seeds, shipped defaults; `lead` is over the best of the others on that part,
seed by seed. Writes ``variety.json`` and ``.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandit_router.simulator import read_table
from bandit_router.simulator.run import Job
from bandit_router.simulator.tables import RoutingTable

from .harness import as_shipped, grid, keep, on_all_cores, parser_of
from .learning import OTHERS, OURS, WEIGHTS

PROMPTS = (400, 1_000, 2_500)
FEWEST_TASKS, MOST_MODELS = 3, 8


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a table, and how it is played."""

    of: str
    tasks: int
    cost_weight: float
    job: Job


def part(table: RoutingTable, number: int) -> Part:
    """Return the part of a table that a number stands for."""
    rng = np.random.default_rng(number)
    models = int(rng.integers(2, min(MOST_MODELS, len(table.names)) + 1))
    names = sorted(set(table.tasks))
    tasks = set(
        rng.permutation(names)[: rng.integers(min(FEWEST_TASKS, len(names)), len(names) + 1)]
    )
    rows = [i for i, task in enumerate(table.tasks) if task in tasks]
    some = np.sort(rng.permutation(rows)[: rng.choice(PROMPTS)])
    chosen = ",".join(rng.permutation(table.names)[:models])
    few = table.rows(some).select(chosen)
    weight = float(rng.choice(WEIGHTS)) if few.has_cost else 0.0
    job = as_shipped(few, 2, weight, progress=False)
    return Part(table.name, len(tasks), weight, job)


def played(parts: list[Part], task: tuple[int, str, int], tick: Callable[[int], object]) -> float:
    """Return the mean utility of a policy on a part, with a seed."""
    number, policy, seed = task
    return float(parts[number].job.run(policy, seed, tick).utility.mean())


def compared(number: int, of: Part, by_seed: dict[str, list[float]]) -> dict[str, Any]:
    """Return the row of one part."""
    means = {name: float(np.mean(found)) for name, found in by_seed.items()}
    best = max(OTHERS, key=means.__getitem__)
    lead = np.subtract(by_seed[OURS], by_seed[best])
    return {
        "part": number,
        "table": of.of,
        "models": len(of.job.table.names),
        "tasks": of.tasks,
        "prompts": len(of.job.table.prompts),
        "cost_weight": of.cost_weight,
        "seeds": len(lead),
        **means,
        "best_of_others": best,
        "lead": float(lead.mean()),
        "lead_standard_error": float(lead.std(ddof=1) / np.sqrt(len(lead))),
        "worst_seed": min(by_seed[OURS]) - means[OURS],
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table, under what they come to."""
    names = (OURS, *OTHERS)
    behind = sum(row["lead"] + row["lead_standard_error"] < -0.003 for row in rows)
    means = ", ".join(f"{name} {np.mean([row[name] for row in rows]):.4f}" for name in names)
    said = (
        f"{len(rows)} parts, {rows[0]['seeds']} seeds; means: {means}. Ours is the best on "
        f"{sum(row['lead'] > 0 for row in rows)}, and behind the best of the others by more than "
        f"0.003 and a standard error on {behind}."
    )
    head = ("part", "table", "models", "tasks", "prompts", "cost weight", *names, "lead")
    lines = [
        (
            *(row[key] for key in ("part", "table", "models", "tasks", "prompts")),
            f"{row['cost_weight']:g}",
            *(f"{row[name]:.4f}" for name in names),
            f"{row['lead']:+.4f} ± {row['lead_standard_error']:.4f}",
        )
        for row in rows
    ]
    return f"{said}\n\n{grid(head, lines)}"


def main() -> None:
    """Run the study."""
    parser = parser_of(__doc__, seeds=6)
    parser.add_argument("--parts", type=int, default=36, help="[36]")
    args = parser.parse_args()
    tables = [read_table(folder) for folder in args.tables]
    parts = [part(tables[number % len(tables)], number) for number in range(args.parts)]
    tasks = [
        (number, name, seed)
        for number in range(args.parts)
        for name in (OURS, *OTHERS)
        for seed in range(args.seeds)
    ]
    steps = sum(parts[number].job.steps for number, _, _ in tasks)
    found = on_all_cores(played, parts, tasks, label="parts", steps=steps)
    utility = dict(zip(tasks, found, strict=True))
    rows = [
        compared(
            number,
            of,
            {n: [utility[number, n, s] for s in range(args.seeds)] for n in (OURS, *OTHERS)},
        )
        for number, of in enumerate(parts)
    ]
    said = markdown(rows)
    keep(args.out, "variety", rows, said)
    print(said)


if __name__ == "__main__":
    main()
