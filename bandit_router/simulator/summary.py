"""From runs to the numbers that are printed: means over seeds, intervals, curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from .play import Played
from .tables import Array, RoutingTable

BINS = 48


def summarise(
    table: RoutingTable, runs: Sequence[Played], oracle: Sequence[Played], first_pass: int
) -> dict[str, Any]:
    """Return one policy's figures; the keys are the contract of `simulate --json`.

    Parameters
    ----------
    runs
        One per seed.
    oracle
        The task-oracle's runs on the same streams.
    first_pass
        Length of one pass; the stream may be shorter.
    """
    by_seed = np.array([run.utility.mean() for run in runs])
    quarters = np.mean([binned(run.utility, 4) for run in runs], axis=0)
    regret = np.mean([(o.utility - r.utility).mean() for r, o in zip(runs, oracle, strict=True)])
    return {
        "utility": float(by_seed.mean()),
        "utility_ci": t_interval(by_seed),
        "utility_by_seed": by_seed.tolist(),
        "utility_first_pass": float(np.mean([run.utility[:first_pass].mean() for run in runs])),
        "utility_by_quarter": quarters.tolist(),
        "curve": np.mean([binned(run.utility, BINS) for run in runs], axis=0).tolist(),
        "arm_share": {
            name: np.mean(
                [binned((run.arm == column).astype(float), BINS) for run in runs], axis=0
            ).tolist()
            for column, name in enumerate(table.names)
        },
        "quality": float(np.mean([run.quality.mean() for run in runs])),
        "cost_usd": float(np.mean([run.cost.mean() for run in runs])),
        "cost_by_seed": [float(run.cost.mean()) for run in runs],
        "regret_task_oracle": float(regret),
        "decide_us_p50": _median([run.decide_us for run in runs]),
        "update_us_p50": _median([run.update_us for run in runs]),
    }


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
    return "\n\n".join(_table_text(table) for table in result["tables"])


def _table_text(table: dict[str, Any]) -> str:
    lines = [
        f"{table['table']}: {table['prompts']:,} prompts x {len(table['models'])} models, "
        f"{table['steps']:,} steps, {table['seeds']} seeds, cost weight {table['cost_weight']:g}, "
        f"{table['scenario']}, {table['embedder']}",
        "",
        f"{'policy':20} {'utility':>8} {'95 % interval':>18} {'last quarter':>13} "
        f"{'quality':>8} {'cost USD':>10} {'regret':>8}  mostly",
    ]
    ranked = sorted(table["policies"].items(), key=lambda item: -item[1]["utility"])
    for name, found in ranked:
        low, high = found["utility_ci"]
        bounds = "" if low is None else f"{low:.4f} to {high:.4f}"
        shares = {arm: float(np.mean(share)) for arm, share in found["arm_share"].items()}
        arms = sorted(shares, key=lambda arm: -shares[arm])[:2]
        mostly = ", ".join(f"{arm} {shares[arm]:.0%}" for arm in arms)
        lines.append(
            f"{name:20} {found['utility']:8.4f} {bounds:>18} "
            f"{found['utility_by_quarter'][3]:13.4f} {found['quality']:8.4f} "
            f"{found['cost_usd']:10.3g} {found['regret_task_oracle']:8.4f}  {mostly}"
        )
    return "\n".join(lines)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
