"""Cold start: what the first decisions are worth, before there is much to know.

    python -m simulations.cold_start tables/ulab14,tables/pareto_val

The first 500 steps of a table, fifty seeds, shipped defaults, beside the bandit without a map;
cost weights 0 and, where a table has costs, 0.1. `lead` is seed by seed, with its standard error.
Writes ``cold_start.json`` and ``.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bandit_router.simulator import read_table, simulate

from .harness import grid, keep_rows, parser_of

OURS, OTHER = "thompson", "global-thompson"
WEIGHTS = (0.0, 0.1)
STEPS = 500


def study(folder: Path, weight: float, seeds: int) -> dict[str, Any]:
    """Return the figures of one table at one cost weight."""
    result = simulate([folder], [OURS, OTHER], steps=STEPS, seeds=seeds, cost_weight=weight)
    if result.get("interrupted"):
        raise KeyboardInterrupt
    table = result["tables"][0]
    by_seed = {name: found["utility_by_seed"] for name, found in table["policies"].items()}
    lead = np.subtract(by_seed[OURS], by_seed[OTHER])
    return {
        "table": table["table"],
        "cost_weight": weight,
        "steps": table["steps"],
        "seeds": seeds,
        **{name: table["policies"][name]["utility"] for name in (OURS, OTHER)},
        "lead": float(lead.mean()),
        "lead_standard_error": float(lead.std(ddof=1) / np.sqrt(seeds)) if seeds > 1 else None,
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table."""
    lines = [
        (
            row["table"],
            f"{row['cost_weight']:g}",
            f"{row[OURS]:.4f}",
            f"{row[OTHER]:.4f}",
            f"{row['lead']:+.4f}"
            + (
                "" if row["lead_standard_error"] is None else f" ± {row['lead_standard_error']:.4f}"
            ),
        )
        for row in rows
    ]
    said = f"The first {rows[0]['steps']} steps, {rows[0]['seeds']} seeds."
    return f"{said}\n\n{grid(('table', 'cost weight', OURS, OTHER, 'lead'), lines)}"


def main() -> None:
    """Run the study."""
    args = parser_of(__doc__, seeds=50).parse_args()
    rows = []
    for folder in args.tables:
        for weight in WEIGHTS if read_table(folder).has_cost else WEIGHTS[:1]:
            rows.append(study(folder, weight, args.seeds))
            keep_rows(args.out, "cold_start", rows, markdown)  # what comes later may be cut off
    print(markdown(rows))


if __name__ == "__main__":
    main()
