"""What ours learns beside context-free and linear bandits, on every table and trade-off.

    python -m simulations.learning tables/ulab14,tables/mmlupro --out learning.json

Two passes over each table, ten seeds, cost weights 0, 0.1 and 0.3 where the table has costs,
shipped defaults. For every policy: mean utility, the worst seed's distance from it, the last
quarter, the first 500 steps; and ours beside the best of the others, seed by seed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from bandit_router.simulator import read_table, simulate

OURS = "thompson"
OTHERS = ("global-thompson", "linucb", "lints")
WEIGHTS = (0.0, 0.1, 0.3)


def row(table: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of one table at one cost weight."""
    policies = {
        name: {
            "utility": found["utility"],
            "worst_seed": min(found["utility_by_seed"]) - found["utility"],
            "last_quarter": found["utility_by_quarter"][3],
            "by_seed": found["utility_by_seed"],
        }
        for name, found in table["policies"].items()
    }
    best = max(OTHERS, key=lambda name: policies[name]["utility"])
    lead = np.array(policies[OURS]["by_seed"]) - np.array(policies[best]["by_seed"])
    return {
        "table": table["table"],
        "cost_weight": table["cost_weight"],
        "steps": table["steps"],
        "seeds": table["seeds"],
        "policies": policies,
        "best_of_others": best,
        "lead": float(lead.mean()),
        "lead_standard_error": float(lead.std(ddof=1) / np.sqrt(len(lead))),
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table."""
    lines = [
        f"| table | cost weight | {OURS} (worst seed) | {' | '.join(OTHERS)} | lead |",
        "|---" * (len(OTHERS) + 4) + "|",
    ]
    for found in rows:
        policies = found["policies"]
        others = " | ".join(f"{policies[name]['utility']:.4f}" for name in OTHERS)
        lines.append(
            f"| {found['table']} | {found['cost_weight']:g} | {policies[OURS]['utility']:.4f} "
            f"({policies[OURS]['worst_seed']:+.3f}) | {others} | "
            f"{found['lead']:+.4f} ± {found['lead_standard_error']:.4f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", help="folders, comma-separated")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = []
    for folder in map(Path, args.tables.split(",")):
        table = read_table(folder)
        for weight in WEIGHTS if table.has_cost else WEIGHTS[:1]:
            result = simulate(
                [folder],
                [OURS, *OTHERS],
                steps=2 * len(table.prompts),
                seeds=args.seeds,
                cost_weight=weight,
            )
            rows.append(row(result["tables"][0]))
    print(markdown(rows))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n")
        args.out.with_suffix(".md").write_text(markdown(rows) + "\n")


if __name__ == "__main__":
    main()
