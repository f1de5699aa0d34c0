"""A moving world: how soon each policy notices, and what it costs.

    python -m simulations.moving_world tables/ulab14 --out simulations/results/moving_ulab14.json
    python -m simulations.moving_world tables/pareto_val --cost-weight 0.1

Shipped defaults, one pass of at most 6,000 steps (a change comes half-way, a new arm after a
third), four seeds. For every scenario and policy: utility, and what it is of the same policy's
where nothing changes; the best arm's share of the traffic just before the change and in the
48ths of the stream after it; and the utility from 500 decisions after the change on, as a share
of the best single model's in the changed world.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from bandit_router.simulator import make_world, read_table, simulate
from bandit_router.simulator.hindsight import utilities
from bandit_router.simulator.worlds import best_arm

POLICIES = ("thompson", "global-thompson", "linucb", "linucb-forgetting")
SCENARIOS = ("stationary", "degrade", "price", "new-arm", "retire", "delay", "noise")
STEPS, BINS = 6000, 48
SETTLED = 500  # decisions after a change
CHANGE = {"degrade": BINS // 2, "price": BINS // 2, "retire": BINS // 2, "new-arm": BINS // 3}


def study(folder: Path, weight: float, seeds: int, most: int = STEPS) -> dict[str, Any]:
    """Return every scenario's figures."""
    table = read_table(folder)
    best = table.names[best_arm(table, weight)]
    out: dict[str, Any] = {"table": table.name, "cost_weight": weight, "best_arm": best}
    steps = min(most, len(table.prompts))
    settled = min(-(-SETTLED * BINS // steps), BINS // 4)
    out["decisions_in_a_48th"] = steps / BINS
    usual: dict[str, float] = {}
    for scenario in SCENARIOS:
        if scenario == "price" and not table.has_cost:
            continue
        result = simulate(
            [folder],
            POLICIES,
            steps=steps,
            seeds=seeds,
            cost_weight=weight,
            scenario=scenario,
        )
        out[scenario] = {}
        world = make_world(table, scenario, 0, steps, weight)
        changed = utilities(world.phases[-1], weight, table.reference_cost_usd)
        optimum = float(np.nanmax(np.nanmean(changed, axis=0)))
        for name, found in result["tables"][0]["policies"].items():
            usual.setdefault(name, found["utility"])
            figures = {
                "utility": found["utility"],
                "of_stationary": found["utility"] / usual[name],
            }
            if scenario in CHANGE:
                at = CHANGE[scenario]
                share = found["arm_share"][best]
                figures["share_before"] = share[at - 1]
                figures["share_after"] = share[at : at + settled + 1]
                later = float(np.mean(found["curve"][at + settled :]))
                figures["settled_of_best_single"] = later / optimum
            out[scenario][name] = figures
            print(scenario, name, json.dumps(figures), flush=True)
    return out


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--cost-weight", type=float, default=0.0)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=STEPS, help="at most")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = study(args.table, args.cost_weight, args.seeds, args.steps)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
