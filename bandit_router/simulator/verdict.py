"""Is routing worth it on a log? Against the best constant model, and the best blind mix.

The best of several policies is picked on the same log that judges it, so its interval is widened
for the number that were compared (Bonferroni). The best constant model and the best mix are
picked there too, which flatters *them*: the comparison errs against routing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import linprog

from .ope import Array, Evaluation, Interval, doubly_robust, mean_interval
from .overlap import FEW, Overlap

_ROUNDING = 1e-9

Gain = tuple[float, tuple[float, float]]
"""A difference of means, and its interval."""


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

    def gain(policy: str, mix: Mapping[str, float], level: float) -> Gain:
        reference = sum(share * terms[name] for name, share in mix.items())
        return mean_interval(terms[policy] - reference, sound(interval), level=level)

    value = {name: float(t.mean()) for name, t in terms.items()}
    cost = {name: float(_terms(b).mean()) for name, b in bills.items() if b is not None}
    return compared(value, cost, gain, support, policies, models)


def compared(
    value: Mapping[str, float],
    cost: Mapping[str, float],
    gain_of: Callable[[str, Mapping[str, float], float], Gain],
    support: Mapping[str, Overlap],
    policies: Sequence[str],
    models: Sequence[str],
) -> dict[str, Any]:
    """Return what `worth_it` does, of the means of all policies.

    Parameters
    ----------
    gain_of
        A policy's gain over a mix of others, and its interval at a level.
    """
    constants = [m for m in models if support[f"fixed:{m}"].verdict != "none"] or list(models)
    constant = max(constants, key=lambda name: value[f"fixed:{name}"])
    routing = [name for name in policies if not name.startswith("fixed:")] or list(policies)
    possible = [name for name in routing if support[name].verdict != "none"] or routing
    best = max(possible, key=lambda name: value[name])
    level = 1.0 - 0.05 / len(possible)

    def gain_over(mix: Mapping[str, float]) -> tuple[float, list[float | None]]:
        fixed = {f"fixed:{model}": share for model, share in mix.items()}
        gain, bounds = gain_of(best, fixed, level)
        return gain, [float(b) if np.isfinite(b) else None for b in bounds]

    gain, (low, high) = gain_over({constant: 1.0})
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
    if cost:
        out["cost_usd"] = cost[best]
        out["best_constant_cost_usd"] = cost[f"fixed:{constant}"]
        earned = np.array([value[f"fixed:{m}"] for m in constants])
        price = np.array([cost[f"fixed:{m}"] for m in constants])
        weights = best_mix(earned, price, cost[best])
        over, bounds = gain_over(dict(zip(constants, weights.tolist(), strict=True)))
        out["best_mix"] = {
            "weights": {m: float(w) for m, w in zip(constants, weights, strict=True) if w > 1e-6},
            "value": float(earned @ weights),
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


def sound(interval: Interval) -> Interval:
    """Return how a gain is bounded: of a difference of terms no bound of ours covers the range."""
    return "normal" if interval == "bernstein" else interval
