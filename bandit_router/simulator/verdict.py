"""Is routing worth it on a log? Against the best constant model, and the best blind mix.

The best of several policies is picked on the same log that judges it, so its interval is widened
for the number that were compared (Bonferroni). The best constant model and the best mix are
picked there too, which flatters *them*: the comparison errs against routing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linprog

from .ope import Array, Evaluation, Interval, doubly_robust, mean_interval
from .overlap import FEW, Overlap

_ROUNDING = 1e-9


def worth_it(
    seen: Mapping[str, Evaluation],
    bills: Mapping[str, Evaluation | None],
    support: Mapping[str, Overlap],
    policies: Sequence[str],
    models: Sequence[str],
    interval: Interval,
) -> dict[str, Any]:
    """Compare the best of the policies with the best constant model, on the same terms.

    Returns
    -------
    dict
        ``verdict`` is ``yes``, ``no`` (routing earns less) or ``unclear``; `gain` and `ci` are of
        `policy` over `best_constant`; ``best_mix`` the best lottery over models that costs no
        more than `policy` does, None without costs.
    """
    terms = {name: _terms(s) for name, s in seen.items()}
    constants = [m for m in models if support[f"fixed:{m}"].verdict != "none"] or list(models)
    constant = max(constants, key=lambda name: float(terms[f"fixed:{name}"].mean()))
    routing = [name for name in policies if not name.startswith("fixed:")] or list(policies)
    possible = [name for name in routing if support[name].verdict != "none"] or routing
    best = max(possible, key=lambda name: float(terms[name].mean()))
    level = 1.0 - 0.05 / len(possible)

    def gain_over(reference: Array) -> tuple[float, list[float | None]]:
        gain, bounds = mean_interval(terms[best] - reference, _sound(interval), level=level)
        return gain, [float(b) if np.isfinite(b) else None for b in bounds]

    gain, (low, high) = gain_over(terms[f"fixed:{constant}"])
    blind = support[best].verdict in ("none", "unknown") or support[best].ess < FEW
    sure = low is not None and high is not None and (low > _ROUNDING or high < -_ROUNDING)
    out: dict[str, Any] = {
        "verdict": "unclear" if blind or not sure else "yes" if gain > 0 else "no",
        "policy": best,
        "best_constant": constant,
        "gain": gain,
        "ci": [low, high],
        "best_mix": None,
    }
    cost = {name: float(_terms(b).mean()) for name, b in bills.items() if b is not None}
    if cost:
        out["cost_usd"] = cost[best]
        out["best_constant_cost_usd"] = cost[f"fixed:{constant}"]
        value = np.array([terms[f"fixed:{m}"].mean() for m in constants])
        price = np.array([cost[f"fixed:{m}"] for m in constants])
        weights = best_mix(value, price, cost[best])
        mixed = sum(w * terms[f"fixed:{m}"] for w, m in zip(weights, constants, strict=True))
        over, bounds = gain_over(np.asarray(mixed))
        out["best_mix"] = {
            "weights": {m: float(w) for m, w in zip(constants, weights, strict=True) if w > 1e-6},
            "value": float(value @ weights),
            "cost_usd": float(price @ weights),
            "gain": over,
            "ci": bounds,
        }
    return out


def best_mix(value: Array, cost: Array, ceiling: float) -> Array:
    """Return the lottery over models of the highest mean value within a mean cost.

    Where even the cheapest model costs more than the ceiling, it is that model.

    >>> best_mix(np.array([0.5, 0.9]), np.array([1.0, 3.0]), 2.0).tolist()
    [0.5, 0.5]
    """
    ceiling = max(ceiling, float(cost.min()))
    scale = float(cost.max()) or 1.0
    found = linprog(
        -value,
        A_ub=[cost / scale],
        b_ub=[ceiling / scale],
        A_eq=[np.ones(len(cost))],
        b_eq=[1.0],
    )
    return np.asarray(found.x, dtype=np.float64)


def _terms(seen: Evaluation) -> Array:
    return seen.direct if seen.propensity is None else doubly_robust(seen)


def _sound(interval: Interval) -> Interval:
    """A gain is a difference of terms, whose range no bound of ours covers."""
    return "normal" if interval == "bernstein" else interval
