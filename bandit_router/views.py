"""The map and the posteriors as data: what `/clusters` and `/models` show."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from .bandits.belief import Array, Belief
from .clustering import Place
from .clustering.names import RegionNames
from .policies import Policy, ThompsonPolicy

Z95 = 1.959964
"""Half width of a 95 % interval, in standard deviations of a Gaussian."""


class ArmView(msgspec.Struct, frozen=True, kw_only=True):
    """What is believed of an arm at one place.

    `evidence` is the weight of feedback there; `quality_interval` holds 95 % of the posterior
    of its mean quality. Costs in US dollars, latencies in milliseconds; None: unknown.
    """

    model: str
    evidence: float
    quality: float
    quality_interval: tuple[float, float]
    cost_usd: float | None = None
    latency_ms: float | None = None


class ClusterView(msgspec.Struct, frozen=True, kw_only=True):
    """A live cluster: the finest are micro-clusters, the coarsest regions.

    `parent` is the nearest cluster of the next coarser level (0: the whole map), `weight` the
    prompts that it has absorbed, faded to now, `best` the arm of the highest mean quality.
    `position` are the first two coordinates of its centre in the map's space (principal
    components, so that it stays put while the map grows). A region's `label` are words that
    several of its recent prompts have and others' have not (None: not known, or
    `clusterer.names` is not on); `examples` are a few of its prompts, only where
    `store.keep_prompts` is on too.
    """

    id: int
    level: int
    parent: int
    weight: float
    evidence: float
    best: str | None
    arms: tuple[ArmView, ...]
    position: tuple[float, float] = (0.0, 0.0)
    label: str | None = None
    examples: tuple[str, ...] = ()


def interval(mean: float, sd: float) -> tuple[float, float]:
    """Return the 95 % interval of a quality, clipped to [0, 1]."""
    middle = 0.0 if mean < 0.0 else 1.0 if mean > 1.0 else mean  # a call less: as `_unit` has it
    low, high = middle - Z95 * sd, middle + Z95 * sd
    return (0.0 if low < 0.0 else low), (1.0 if high > 1.0 else high)


def _unit(value: float) -> float:
    return 0.0 if value < 0.0 else 1.0 if value > 1.0 else value


def arm_views(policy: Policy, arms: list[str], place: Place | None = None) -> tuple[ArmView, ...]:
    """Return what `policy` believes of `arms` at a place (None: over the whole map).

    () without a posterior.
    """
    if not isinstance(policy, ThompsonPolicy):
        return ()
    posterior = policy.posterior
    belief = posterior.at(policy.survey(None) if place is None else policy.within(place))
    return tuple(
        _arm(arm, belief, posterior.index[arm], float(belief.evidence[posterior.index[arm]]))
        for arm in arms
        if arm in posterior.index
    )


def cluster_views(
    policy: Policy, arms: list[str], only: int | None = None, names: RegionNames | None = None
) -> Iterator[ClusterView]:
    """Yield every live cluster, coarsest first (or the one of id `only`, if it lives)."""
    if not isinstance(policy, ThompsonPolicy) or policy.map is None:
        return
    places = policy.map.places()
    labels = names.labels() if names else {}
    for place in places:
        if only is not None and place.id != only:
            continue
        views = arm_views(policy, arms, place)
        best = max(views, key=lambda view: view.quality).model if views else None
        evidence = float(policy.posterior.evidence(place.id).sum())
        yield ClusterView(
            id=place.id,
            level=place.level,
            parent=place.parent,
            weight=place.weight,
            evidence=evidence,
            best=best,
            arms=views,
            position=_position(place.center),
            label=labels.get(place.id),
            examples=names.examples(place.id) if names else (),
        )


def _position(center: Array) -> tuple[float, float]:
    x, y = np.pad(center[:2], (0, max(0, 2 - len(center))))
    return float(x), float(y)


def _arm(name: str, belief: Belief, i: int, evidence: float) -> ArmView:
    quality = float(belief.quality[i])
    return ArmView(
        model=name,
        evidence=evidence,
        quality=_unit(quality),
        quality_interval=interval(quality, float(np.sqrt(belief.quality_var[i]))),
        cost_usd=float(belief.cost[i]) if np.isfinite(belief.cost[i]) else None,
        latency_ms=float(belief.latency[i]) if np.isfinite(belief.latency[i]) else None,
    )
