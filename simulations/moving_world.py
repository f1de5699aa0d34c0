"""A moving world: how soon each policy notices, and what it costs.

    python -m simulations.moving_world tables/ulab14,tables/pareto_val

Shipped defaults, one pass of at most 6,000 steps (a change comes half-way, a new arm after a
third), four seeds, cost weight 0.1 where a table has costs. For every scenario and policy:
utility, and what it is of the same policy's where nothing changes; the best arm's share of the
traffic just before the change and in the 48ths of the stream after it; and the utility from 500
decisions after the change on, as a share of the best single model's in the changed world. Writes
``moving_<table>.json`` and ``.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bandit_router.simulator import make_world, read_table, simulate
from bandit_router.simulator.hindsight import utilities
from bandit_router.simulator.worlds import best_arm

from .harness import grid, keep, parser_of

POLICIES = ("thompson", "global-thompson", "linucb", "linucb-forgetting")
SCENARIOS = ("stationary", "degrade", "price", "new-arm", "retire", "delay", "noise")
STEPS, BINS = 6000, 48
WEIGHT = 0.1
SETTLED = 500  # decisions after a change
CHANGE = {"degrade": BINS // 2, "price": BINS // 2, "retire": BINS // 2, "new-arm": BINS // 3}


def study(folder: Path, weight: float | None, seeds: int, most: int, out: Path) -> dict[str, Any]:
    """Return every scenario's figures; each is written as soon as it is there."""
    table = read_table(folder)
    if weight is None:
        weight = WEIGHT if table.has_cost else 0.0
    best = table.names[best_arm(table, weight)]
    steps = min(most, len(table.prompts))
    settled = min(-(-SETTLED * BINS // steps), BINS // 4)
    found: dict[str, Any] = {
        "table": table.name,
        "cost_weight": weight,
        "steps": steps,
        "seeds": seeds,
        "best_arm": best,
        "decisions_in_a_48th": steps / BINS,
    }
    usual: dict[str, float] = {}
    for scenario in SCENARIOS:
        if scenario == "price" and not table.has_cost:
            continue
        result = simulate(
            [folder], POLICIES, steps=steps, seeds=seeds, cost_weight=weight, scenario=scenario
        )
        if result.get("interrupted"):
            raise KeyboardInterrupt
        world = make_world(table, scenario, 0, steps, weight)
        changed = utilities(world.phases[-1], weight, table.reference_cost_usd)
        optimum = float(np.nanmax(np.nanmean(changed, axis=0)))
        found[scenario] = {}
        for name, played in result["tables"][0]["policies"].items():
            usual.setdefault(name, played["utility"])
            figures = {
                "utility": played["utility"],
                "of_stationary": played["utility"] / usual[name],
            }
            if scenario in CHANGE:
                at = CHANGE[scenario]
                share = played["arm_share"][best]
                figures["share_before"] = share[at - 1]
                figures["share_after"] = share[at : at + settled + 1]
                later = float(np.mean(played["curve"][at + settled :]))
                figures["settled_of_best_single"] = later / optimum
            found[scenario][name] = figures
        keep(out, f"moving_{table.name}", found, markdown(found))
    return found


def markdown(found: dict[str, Any]) -> str:
    """Return the figures as a table."""
    part = found["decisions_in_a_48th"]
    rows = []
    for scenario in SCENARIOS:
        for name, figures in found.get(scenario, {}).items():
            after = figures.get("share_after", [])
            rows.append(
                (
                    scenario,
                    name,
                    f"{figures['utility']:.4f}",
                    f"{figures['of_stationary']:.3f}",
                    f"{figures['share_before']:.2f}" if after else "",
                    " ".join(f"{share:.2f}" for share in after),
                    f"{figures['settled_of_best_single']:.3f}" if after else "",
                )
            )
    head = (
        "scenario",
        "policy",
        "utility",
        "of stationary",
        f"{found['best_arm']} before",
        f"after, by {part:.0f} decisions",
        "settled, of best single",
    )
    return (
        f"### {found['table']}, cost weight {found['cost_weight']:g}\n\n"
        f"{found['steps']:,} steps, {found['seeds']} seeds.\n\n{grid(head, rows)}"
    )


def main() -> None:
    """Run the study."""
    parser = parser_of(__doc__, seeds=4)
    parser.add_argument("--cost-weight", type=float, help="[0.1 where there are costs]")
    parser.add_argument("--steps", type=int, default=STEPS, help="at most")
    args = parser.parse_args()
    for folder in args.tables:
        print(markdown(study(folder, args.cost_weight, args.seeds, args.steps, args.out)))


if __name__ == "__main__":
    main()
