"""Asking a log: what would another policy have earned, and is routing worth it here?

Learning policies are evaluated as they would have learnt: going through the log in order, each
states its probabilities for a decision, then learns from what the log really tried there. So
does the model of the rewards, our own posterior. Nothing is judged by what came after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from ..config import Settings
from ..exceptions import InvalidInput
from .archives import Archive, check_shadows
from .log_arrays import prepare
from .logs import Logged, read_log
from .ope import (
    ESTIMATORS,
    INTERVALS,
    NOTHING,
    Clip,
    Estimate,
    Evaluation,
    Interval,
    dm,
    dr,
    mean_interval,
)
from .overlap import MOSTLY, Overlap, overlap
from .partitions import Partitions, is_parquet
from .passes import SHADOW, constant, shadowed
from .plan import Plan, send
from .standing import RewardModel, check_reward_model
from .streamed import replay_parts
from .survey import PlainLog
from .targets import as_json, check, cost_of, value_of, with_weight
from .verdict import worth_it

DEFAULT = ("thompson", "global-thompson", "random")


def replay(
    path: Path,
    policies: Sequence[str] = DEFAULT,
    *,
    embedder: str = "minilm",
    clip: str = "none",
    interval: Interval = "normal",
    cost_weight: float = 0.0,
    reward_model: RewardModel = "posterior",
    settings: Settings | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Estimate policies on a log.

    Parameters
    ----------
    path
        See `simulator.logs`. A folder of Parquet files, or one of many rows, is gone through part
        by part, in memory that does not grow with it; see `simulator.streamed`.
    policies
        Names that `make_policy` knows; every ``fixed:MODEL`` is evaluated anyway for the verdict.
        ``shadow:STRATEGY`` is what a shadow of our service said at the time, on the decisions
        that it was asked about (all policies are then evaluated on these).
    clip
        What is done to large importance weights; see `ope.Clip`.
    interval
        ``normal``, ``bootstrap`` or ``bernstein``; see `ope.ratio_interval`.
    cost_weight
        The value of a decision is ``reward - cost_weight * cost / reference_cost``.
    reward_model
        Of the direct method, and within the doubly robust estimate. ``posterior``: ours, which
        goes through the log decision by decision. ``means``: what each model has earned on
        average so far; see `standing.RunningMeans`.
    settings
        What the policies run with, their defaults otherwise.

    Returns
    -------
    dict
        The object that ``replay --json`` prints.

    Raises
    ------
    InvalidInput, StoreError
        If the log or a name cannot be used.
    """
    clipping = Clip.parse(clip)
    if interval not in INTERVALS:
        raise InvalidInput(f"interval is {interval!r}; give {', '.join(INTERVALS)}", "interval")
    check_reward_model(reward_model)
    settings = settings or Settings()
    if is_parquet(path) and (parts := Partitions(path)).many:
        log_of = Archive if parts.archive else PlainLog
        with closing(log_of(parts, policies)) as source:
            return replay_parts(
                source,
                policies,
                embedder=embedder,
                clip=clip,
                interval=interval,
                cost_weight=cost_weight,
                reward_model=reward_model,
                settings=settings,
                progress=progress,
            )
    everything = _shadowed(read_log(path), policies)
    wanted = list(dict.fromkeys(policies))
    check(wanted, [name for row in everything for name in (*row.eligible, row.model)])
    log, notes = prepare(path, everything, embedder, progress)
    if cost_weight and not log.has_cost:
        raise InvalidInput(f"{path} has no costs: a cost weight means nothing here", "cost_weight")
    check(wanted, log.models)  # again: of some models no decision may be left
    settings = with_weight(settings, cost_weight, log.reference_cost_usd)
    plan = Plan.of(
        wanted,
        settings,
        reward_model=reward_model,
        placed=log.vectors is not None,
        propensities=log.propensity is not None,
    )
    sent = send(log, settings, plan, progress)
    targets = sent.targets | {f"fixed:{m}": constant(log, c) for c, m in enumerate(log.models)}
    for name in wanted:
        if name.startswith(SHADOW):
            targets[name] = shadowed(log, name.removeprefix(SHADOW))
    model, lived = sent.model, sent.lived
    seen = {n: value_of(log, t, model, cost_weight, clipping) for n, t in targets.items()}
    bills = {n: cost_of(log, t, model, clipping) for n, t in targets.items()}
    support = {name: overlap(s, log.models, log.logging) for name, s in seen.items()}
    return {
        "log": {
            "decisions": len(everything),
            "with_feedback": sum(row.reward is not None for row in everything),
            "ess_warning": any(support[name].verdict != "good" for name in wanted),
            "models": list(log.models),
            "cost_weight": cost_weight,
            "clip": clip,
            "interval": interval,
            "reward_model": reward_model,
            "notes": notes,
        },
        "policies": {
            name: {
                "estimators": _estimates(seen[name], support[name], interval, lived.get(name)),
                "cost_usd": None if bills[name] is None else as_json(_cost(bills[name])),
                "overlap": msgspec.to_builtins(support[name]),
            }
            for name in wanted
        },
        "worth_it": worth_it(seen, bills, support, wanted, log.models, interval),
    }


def _shadowed(rows: list[Logged], policies: Sequence[str]) -> list[Logged]:
    """Return the decisions that every shadow among the policies was asked about."""
    known = dict.fromkeys(strategy for row in rows for strategy in row.shadows)
    wanted = [name.removeprefix(SHADOW) for name in policies if name.startswith(SHADOW)]
    check_shadows(wanted, known)
    return [row for row in rows if all(strategy in row.shadows for strategy in wanted)]


def _cost(seen: Evaluation | None) -> Estimate:
    assert seen is not None
    return dm(seen) if seen.propensity is None else dr(seen)


def _estimates(
    seen: Evaluation, support: Overlap, interval: Interval, lived: list[int] | None
) -> dict[str, dict[str, Any]]:
    """Return every estimate, nothing where the log never made most of the policy's choices."""
    if seen.propensity is None:
        return {"dm": as_json(dm(seen, interval))}
    nothing = support.unseen > MOSTLY or support.ess == 0
    found = {
        name: NOTHING if nothing and name != "dm" else estimate(seen, interval)
        for name, estimate in ESTIMATORS.items()
    }
    if lived is not None:
        terms = seen.reward[lived]
        kept = Estimate(*mean_interval(terms), float(len(terms))) if lived else NOTHING
        found["replay"] = kept
    return {name: as_json(estimate) for name, estimate in found.items()}
