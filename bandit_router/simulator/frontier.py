"""What quality a policy buys for what it spends: the same streams at several cost weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .run import simulate
from .tables import RoutingTable, read_table

WEIGHTS = (0.0, 0.03, 0.1, 0.3, 1.0)


def sweep(
    result: dict[str, Any],
    tables: Sequence[Path],
    weights: Sequence[float] = WEIGHTS,
    *,
    models: str = "all",
    **options: Any,
) -> None:
    """Add each table's ``frontier`` to a result of `simulate`.

    Parameters
    ----------
    result
        Its policies are played again at every weight; those that ignore cost are not.
    models, options
        What `simulate` was given beside tables, policies, cost weight and budget.

    Notes
    -----
    ``frontier`` is ``{"models": {NAME: point}, "policies": {NAME: [point]}}``, a point being
    ``{"cost_usd", "quality"}`` and for a policy ``"cost_weight"``. A table without costs has
    none. An interrupt keeps the weights that were finished.
    """
    for folder, found in zip(tables, result["tables"], strict=False):
        table = read_table(Path(folder)).select(models)
        if not table.has_cost:
            continue
        points = {name: [_point(p, found["cost_weight"])] for name, p in found["policies"].items()}
        found["frontier"] = {"models": _models(table), "policies": points}
        movable = [n for n in points if n != "random" and not n.startswith("fixed:")]
        for weight in weights if movable else ():
            if weight == found["cost_weight"] or result.get("interrupted"):
                continue
            try:
                again = simulate([folder], movable, models=models, cost_weight=weight, **options)
            except KeyboardInterrupt:  # between two runs
                result["interrupted"] = True
                continue
            for name, p in again["tables"][0]["policies"].items():
                points[name].append(_point(p, weight))
            if again.get("interrupted"):
                result["interrupted"] = True
        for line in points.values():
            line.sort(key=lambda point: point["cost_weight"])


def _point(found: dict[str, Any], weight: float) -> dict[str, float]:
    return {
        "cost_weight": weight,
        "cost_usd": found["cost_usd"],
        "quality": found["quality"],
    }


def _models(table: RoutingTable) -> dict[str, dict[str, float]]:
    quality, cost = np.nanmean(table.quality, axis=0), table.cost.mean(axis=0)
    return {
        name: {"cost_usd": float(c), "quality": float(q)}
        for name, q, c in zip(table.names, quality, cost, strict=True)
    }
