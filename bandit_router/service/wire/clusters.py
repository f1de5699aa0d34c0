"""The map as data."""

from __future__ import annotations

from ...types import LineageEvent
from ...views import ClusterView
from .bounds import Answer


class ClustersAnswer(Answer, frozen=True, kw_only=True):
    """Every live cluster, coarsest level first, and the terms that utility is composed with."""

    clusters: list[ClusterView]
    cost_weight: float
    reference_cost_usd: float


class LineageAnswer(Answer, frozen=True, kw_only=True):
    """What became of clusters, oldest first; `next` is the `after` of the next page, if any."""

    lineage: list[LineageEvent]
    next: int | None
