"""Every way to choose an arm, behind one small interface."""

from __future__ import annotations

from ..clustering import ClusterMap
from ..config import Settings, nearest
from ..embedding.base import Projection
from ..exceptions import ConfigError
from .base import Choice, Context, Expectation, Lesson, Outside, Policy, typical_cost
from .failover import FailoverPolicy
from .features import FeaturesPolicy
from .forest import ForestPolicy
from .judge import JudgePolicy
from .kmeans import KMeansPolicy
from .length import LengthPolicy
from .lints import LinTSPolicy
from .linucb import ForgettingLinUCBPolicy, LinUCBPolicy
from .mab import MABWiserPolicy, MABWiserTSPolicy
from .pareto import ParetoBanditPolicy
from .simple import FixedPolicy, RandomPolicy
from .thompson import ThompsonPolicy
from .vw import VWPolicy

NAMES = (
    "thompson",
    "global-thompson",
    "linucb",
    "linucb-forgetting",
    "lints",
    "random",
    "fixed:MODEL",
    "failover",
    "llm-judge",
    "length",
    "features",
    "forest",
    "kmeans",
    "vw",
    "mabwiser",
    "mabwiser-lints",
    "paretobandit",
)
"""What `make_policy` knows."""

__all__ = [
    "NAMES",
    "Choice",
    "Context",
    "Expectation",
    "FixedPolicy",
    "Lesson",
    "LinTSPolicy",
    "LinUCBPolicy",
    "Outside",
    "Policy",
    "RandomPolicy",
    "ThompsonPolicy",
    "make_policy",
    "typical_cost",
]


def make_policy(
    name: str,
    settings: Settings,
    projection: Projection | None = None,
    first_cluster: int = 1,
    *,
    key: str = "bandit.strategy",
) -> Policy:
    """Return the policy of this name, knowing no arm yet.

    Parameters
    ----------
    name
        One of `NAMES`.
    projection
        Into the map's space, for policies with a map.
    first_cluster
        The first cluster id that its map may hand out.
    key
        The setting that names it, for the error.

    Raises
    ------
    ConfigError
        If there is no such policy.
    MissingExtra
        If it is that of another package which is not installed.
    """
    if name == "thompson":
        map_ = ClusterMap(settings.clusterer, projection, first_cluster)
        return ThompsonPolicy(settings.bandit, map_)
    if name == "global-thompson":
        return ThompsonPolicy(settings.bandit, None)
    if name == "linucb":
        return LinUCBPolicy(settings.bandit, projection)
    if name == "linucb-forgetting":
        return ForgettingLinUCBPolicy(settings.bandit, projection)
    if name == "lints":
        return LinTSPolicy(settings.bandit, projection)
    if name == "random":
        return RandomPolicy()
    if name == "failover":
        return FailoverPolicy()
    if name == "llm-judge":
        return JudgePolicy(settings.llm_judge)
    if name == "length":
        return LengthPolicy()
    if name == "features":
        return FeaturesPolicy(settings.bandit.rules)
    if name == "forest":
        return ForestPolicy(settings.bandit, projection)
    if name == "kmeans":
        return KMeansPolicy(settings.bandit, projection)
    if name == "vw":
        return VWPolicy(projection)
    if name == "mabwiser":
        return MABWiserPolicy(projection)
    if name == "mabwiser-lints":
        return MABWiserTSPolicy(projection)
    if name == "paretobandit":
        return ParetoBanditPolicy(projection, settings.budget)
    if name.startswith("fixed:"):
        return FixedPolicy(name.removeprefix("fixed:"))
    kind = name.partition(":")[0]
    raise ConfigError(f"{key}: no strategy {name!r}{nearest(kind, NAMES)}", key)
