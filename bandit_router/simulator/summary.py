"""From runs to the numbers that are printed: means over seeds, intervals, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from .hindsight import utilities
from .play import Played
from .tables import Array, RoutingTable
from .worlds import World

BINS = 48
MOST_CLUSTERS = 20


def summarise(
    table: RoutingTable,
    runs_by_seed: Mapping[int, Played],
    oracle: Mapping[int, Played],
    first_pass: int,
) -> dict[str, Any]:
    """Return one policy's figures; the keys are the contract of `simulate --json`.

    Parameters
    ----------
    runs_by_seed
        Of the seeds that were finished, at least one.
    oracle
        The task-oracle's runs on the same streams.
    first_pass
        Length of one pass; the stream may be shorter.
    """
    runs = list(runs_by_seed.values())
    by_seed = np.array([run.utility.mean() for run in runs])
    quarters = np.mean([binned(run.utility, 4) for run in runs], axis=0)
    regret = [oracle[seed].utility - run.utility for seed, run in runs_by_seed.items()]
    return {
        "utility": float(by_seed.mean()),
        "utility_ci": t_interval(by_seed),
        "utility_by_seed": by_seed.tolist(),
        "utility_first_pass": float(np.mean([run.utility[:first_pass].mean() for run in runs])),
        "utility_by_quarter": quarters.tolist(),
        "curve": np.mean([binned(run.utility, BINS) for run in runs], axis=0).tolist(),
        "curve_by_seed": [binned(run.utility, BINS).tolist() for run in runs],
        "regret_curve_by_seed": [binned(r, BINS).tolist() for r in regret],
        "arm_share": {
            name: np.mean(
                [binned((run.arm == column).astype(float), BINS) for run in runs], axis=0
            ).tolist()
            for column, name in enumerate(table.names)
        },
        "quality": float(np.mean([run.quality.mean() for run in runs])),
        "cost_usd": float(np.mean([run.cost.mean() for run in runs])),
        "cost_by_seed": [float(run.cost.mean()) for run in runs],
        "regret_task_oracle": float(np.mean([r.mean() for r in regret])),
        "decide_us_p50": _median([run.decide_us for run in runs]),
        "update_us_p50": _median([run.update_us for run in runs]),
    }


def by_cluster(
    table: RoutingTable, world: World, run: Played, cost_weight: float
) -> list[dict[str, Any]] | None:
    """Return the busiest regions of one run: what each arm earns there, and its traffic there.

    `utility` is over all prompts of the region, whichever arm they went to; `share` over the
    second half of the stream. None for a policy without a map.
    """
    if run.cluster is None:
        return None
    late = np.arange(world.steps) >= world.steps // 2
    every = utilities(world.phases[-1], cost_weight, table.reference_cost_usd)
    ids, count = np.unique(run.cluster, return_counts=True)
    out = []
    for id_ in ids[np.argsort(-count, kind="stable")][:MOST_CLUSTERS]:
        here = run.cluster == id_
        rows = world.order[here]
        tasks, often = np.unique([table.tasks[row] for row in rows], return_counts=True)
        arms = run.arm[here & late]
        utility = [_known_mean(column) for column in every[rows].T]
        out.append(
            {
                "cluster": int(id_),
                "prompts": len(rows),
                "task": str(tasks[often.argmax()]),
                "task_share": float(often.max() / len(rows)),
                "utility": dict(zip(table.names, utility, strict=True)),
                "share": {
                    name: float((arms == column).mean()) if len(arms) else 0.0
                    for column, name in enumerate(table.names)
                },
            }
        )
    return out


def _known_mean(values: Array) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def binned(values: Array, bins: int) -> Array:
    """Return the means of `bins` equal parts; a part without steps repeats the one before."""
    out = np.zeros(bins)
    last = float(values[0])
    for i, part in enumerate(np.array_split(values, bins)):
        last = float(part.mean()) if len(part) else last
        out[i] = last
    return out


def t_interval(values: Array) -> list[float | None]:
    """Return the 95 % Student t interval of the mean; [None, None] from one value."""
    if len(values) < 2:
        return [None, None]
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return [float(values.mean() - half), float(values.mean() + half)]


def text(result: dict[str, Any]) -> str:
    """Return what `simulate` found as tables for a terminal."""
    parts = [_table_text(table) for table in result["tables"]]
    if result.get("interrupted"):
        parts.append("Interrupted: only the runs that were finished are counted.")
    return "\n\n".join(parts)


def _table_text(table: dict[str, Any]) -> str:
    ranked = sorted(table["policies"].items(), key=lambda item: -item[1]["utility"])
    titles = {name: _title(name, found, table["seeds"]) for name, found in ranked}
    width = max([20, *map(len, titles.values())])
    lines = [
        f"{table['table']}: {table['prompts']:,} prompts x {len(table['models'])} models, "
        f"{table['steps']:,} steps, {table['seeds']} seeds, cost weight {table['cost_weight']:g}, "
        f"{table['scenario']}, {table['embedder']}",
        "",
        f"{'policy':{width}} {'utility':>8} {'95 % interval':>18} {'last quarter':>13} "
        f"{'quality':>8} {'cost USD':>10} {'regret':>8}  mostly",
    ]
    for name, found in ranked:
        low, high = found["utility_ci"]
        bounds = "" if low is None else f"{low:.4f} to {high:.4f}"
        shares = {arm: float(np.mean(share)) for arm, share in found["arm_share"].items()}
        arms = sorted(shares, key=lambda arm: -shares[arm])[:2]
        mostly = ", ".join(f"{arm} {shares[arm]:.0%}" for arm in arms)
        lines.append(
            f"{titles[name]:{width}} {found['utility']:8.4f} {bounds:>18} "
            f"{found['utility_by_quarter'][3]:13.4f} {found['quality']:8.4f} "
            f"{found['cost_usd']:10.3g} {found['regret_task_oracle']:8.4f}  {mostly}"
        )
    return "\n".join(lines)


def _title(name: str, found: dict[str, Any], seeds: int) -> str:
    """Return a policy's name, with how many seeds it has played where not all are finished."""
    played = len(found["utility_by_seed"])
    return name if played == seeds else f"{name} ({played} seed{'s' * (played > 1)})"


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
