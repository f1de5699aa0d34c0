"""Every way to route, on every table and trade-off: who leads, and where ours does not.

    python -m simulations.policies tables/ulab14,tables/pareto_val

Shipped defaults, one pass, ten seeds, cost weights 0, 0.1 and 0.3 where a table has costs. 500
labelled prompts are left out of everyone's stream for the policies that are fitted (`forest`,
`kmeans`). The judge is simulated with its stated error rate, its cost charged. Peers play if
the extra `peers` is installed. Writes ``policies.json``, ``policies.md``, learning curves of each
table at weight 0 and, where there are costs, the cost-quality frontier.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bandit_router.policies import NAMES
from bandit_router.simulator import plots, read_table, simulate
from bandit_router.simulator.frontier import sweep
from bandit_router.simulator.hindsight import HINDSIGHT

from .harness import keep_rows, parser_of

PEERS = {"vw": "vowpalwabbit", "mabwiser": "mabwiser", "paretobandit": "pareto_bandit"}
WEIGHTS = (0.0, 0.1, 0.3)
TRAIN = 500
DRAWN = ("thompson", "global-thompson", "linucb", "lints", "random", "best-single", "task-oracle")
KEPT = (
    "utility",
    "utility_ci",
    "utility_by_seed",
    "utility_by_quarter",
    "quality",
    "cost_usd",
    "regret_task_oracle",
    "decide_us_p50",
    "update_us_p50",
)


def contestants() -> list[str]:
    """Return every policy that can play here."""
    return [
        name
        for name in (*NAMES, *HINDSIGHT)
        if not name.startswith("fixed:") and (name not in PEERS or find_spec(PEERS[name]))
    ]


def play(folder: Path, weight: float, seeds: int, steps: int | None) -> dict[str, Any]:
    """Return `simulate`'s object of one table."""
    result = simulate(
        [folder],
        contestants(),
        cost_weight=weight,
        seeds=seeds,
        steps=steps,
        train=min(TRAIN, len(read_table(folder).prompts) // 4),
    )
    if result.get("interrupted"):
        raise KeyboardInterrupt
    found: dict[str, Any] = result["tables"][0]
    return found


def draw(found: dict[str, Any], folder: Path, out: Path, seeds: int, steps: int | None) -> None:
    """Write the figures of one table."""
    some = {name: found["policies"][name] for name in DRAWN if name in found["policies"]}
    shown = found | {"policies": some}
    plots.save(plots.learning_curves(shown), out / f"policies-{found['table']}-learning")
    if read_table(folder).has_cost:
        sweep({"tables": [shown]}, [folder], seeds=min(seeds, 3), steps=steps, train=found["train"])
        plots.save(plots.frontier(shown), out / f"policies-{found['table']}-frontier")


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return one table of utilities a routing table and weight, best first; lead of ours."""
    lines = []
    for row in rows:
        lines += [
            f"### {row['table']}, cost weight {row['cost_weight']:g}",
            "",
            f"{row['steps']:,} steps, {row['seeds']} seeds, {row['models']} models.",
            "",
            "| policy | utility | 95 % | ours less it | quality | cost USD | regret |",
            "|---|---|---|---|---|---|---|",
        ]
        ours = np.array(row["policies"]["thompson"]["utility_by_seed"])
        ranked = sorted(row["policies"].items(), key=lambda item: -item[1]["utility"])
        for name, found in ranked:
            low, high = found["utility_ci"]
            bounds = "" if low is None else f"{low:.4f} to {high:.4f}"
            lead = "" if name == "thompson" else f"{(ours - found['utility_by_seed']).mean():+.4f}"
            title = f"*{name}*" if name in HINDSIGHT else name
            lines.append(
                f"| {title} | {found['utility']:.4f} | {bounds} | {lead} | {found['quality']:.4f} "
                f"| {found['cost_usd']:.3g} | {found['regret_task_oracle']:.4f} |"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Run the study."""
    parser = parser_of(__doc__, seeds=10)
    parser.add_argument("--steps", type=int, help="of each stream [one pass]")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for folder in args.tables:
        for weight in WEIGHTS if read_table(folder).has_cost else WEIGHTS[:1]:
            found = play(folder, weight, args.seeds, args.steps)
            if not weight:
                draw(found, folder, args.out, args.seeds, args.steps)
            rows.append(
                {key: found[key] for key in ("table", "cost_weight", "steps", "seeds", "train")}
                | {"models": len(found["models"])}
                | {
                    "policies": {
                        name: {key: p[key] for key in KEPT} for name, p in found["policies"].items()
                    }
                }
            )
            keep_rows(args.out, "policies", rows, markdown)  # what comes later may be cut off
    print(markdown(rows))


if __name__ == "__main__":
    main()
