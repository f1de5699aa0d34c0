"""What ours learns beside context-free and linear bandits, on every table and trade-off.

    python -m simulations.learning tables/ulab14,tables/mmlupro

Two passes over each table, ten seeds, cost weights 0, 0.1 and 0.3 where the table has costs,
shipped defaults. For every policy: mean utility, the worst seed's distance from it, the last
quarter; and ours beside the best of the others, seed by seed. Writes ``learning.json`` and
``.md``. Of rows that stand there already, from the same table, weight, steps and seeds, policies
named by ``--keep`` are taken over, not played again; rows of other tables stay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bandit_router.simulator import read_table, simulate

from .harness import grid, keep_rows, parser_of, standing

OURS = "thompson"
OTHERS = ("global-thompson", "linucb", "lints")
WEIGHTS = (0.0, 0.1, 0.3)


SAME = ("table", "cost_weight", "steps", "seeds")


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of one policy."""
    return {
        "utility": found["utility"],
        "worst_seed": min(found["utility_by_seed"]) - found["utility"],
        "last_quarter": found["utility_by_quarter"][3],
        "by_seed": found["utility_by_seed"],
    }


def compared(setting: dict[str, Any], policies: dict[str, Any]) -> dict[str, Any]:
    """Return the row of one table at one cost weight."""
    best = max(OTHERS, key=lambda name: float(policies[name]["utility"]))
    lead = np.array(policies[OURS]["by_seed"]) - np.array(policies[best]["by_seed"])
    doubt = float(lead.std(ddof=1) / np.sqrt(len(lead))) if len(lead) > 1 else None
    return setting | {
        "policies": {name: policies[name] for name in (OURS, *OTHERS)},
        "best_of_others": best,
        "lead": float(lead.mean()),
        "lead_standard_error": doubt,
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table."""
    lines = []
    for found in rows:
        policies, doubt = found["policies"], found["lead_standard_error"]
        ours = policies[OURS]
        lines.append(
            (
                found["table"],
                f"{found['cost_weight']:g}",
                f"{ours['utility']:.4f} ({ours['worst_seed']:+.3f})",
                *(f"{policies[name]['utility']:.4f}" for name in OTHERS),
                f"{found['lead']:+.4f}" + ("" if doubt is None else f" ± {doubt:.4f}"),
            )
        )
    return grid(("table", "cost weight", f"{OURS} (worst seed)", *OTHERS, "lead"), lines)


def known_of(out: Path, setting: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return what was found of some policies in the same setting before."""
    for found in standing(out, "learning") if names else ():
        if all(found[key] == setting[key] for key in SAME):
            return {name: found["policies"][name] for name in names if name in found["policies"]}
    return {}


def main() -> None:
    """Run the study."""
    parser = parser_of(__doc__, seeds=10)
    parser.add_argument("--steps", type=int, help="of each stream [two passes]")
    parser.add_argument("--keep", default="", help=f"of {', '.join(OTHERS)}")
    args = parser.parse_args()
    before = [name for name in args.keep.split(",") if name]
    cases = []
    for folder in args.tables:
        table = read_table(folder)
        for weight in WEIGHTS if table.has_cost else WEIGHTS[:1]:
            setting = {
                "table": table.name,
                "cost_weight": weight,
                "steps": args.steps or 2 * len(table.prompts),
                "seeds": args.seeds,
            }
            cases.append((folder, setting, known_of(args.out, setting, before)))
    rows = []
    for folder, setting, known in cases:
        asked = [name for name in (OURS, *OTHERS) if name not in known]
        result = simulate(
            [folder],
            asked,
            steps=setting["steps"],
            seeds=args.seeds,
            cost_weight=setting["cost_weight"],
        )
        if result.get("interrupted"):
            raise KeyboardInterrupt
        played = result["tables"][0]["policies"]
        rows.append(compared(setting, known | {n: figures(played[n]) for n in asked}))
        keep_rows(args.out, "learning", rows, markdown)
    print(markdown(rows))


if __name__ == "__main__":
    main()
