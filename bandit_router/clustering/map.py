"""The map of meaning: one space at several resolutions, grown by River, with lineage.

Every resolution places a prompt by itself; a prompt's *path* is the cluster that holds it at
each, coarsest first. Ids are handed out once, over all resolutions, in order of birth; 0 is
the whole map. An id that has died leads to its heir: the cluster that it merged into, or the
coarser cluster that it faded into.
"""

from __future__ import annotations

from array import array
from typing import Any

import msgspec
import numpy as np

from ..config import ClustererSettings
from ..embedding.base import Projection
from ..exceptions import ConfigError
from ..types import LineageEvent, Vector
from .level import DbstreamLevel, Level, Turnover
from .matrix import Array
from .slots import SlotLevel

WHOLE = 0
"""The id of the whole map."""

Path = tuple[int, ...]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A live cluster: its resolution, what holds it one level up, where and how heavy it is."""

    id: int
    level: int
    parent: int
    weight: float
    center: Array


class ClusterMap:
    """Places of meaning that grow with the traffic.

    Parameters
    ----------
    settings
        Radii, bound, half-life, and River's class for the finest level.
    projection
        Takes embeddings into the map's space; None lets the map live in theirs.
    first_id
        The first id to hand out: one above every id that a map before this one has used.
    """

    def __init__(
        self, settings: ClustererSettings, projection: Projection | None = None, first_id: int = 1
    ) -> None:
        self.projection = projection
        self.levels: list[Level] = _levels(settings)
        self._next_id = first_id
        self._first_id = first_id
        self._heirs = array("q")  # per id from first_id: 0 alive, else heir + 1 negated
        self._level_of = array("b")

    @property
    def restorable(self) -> bool:
        """Whether `state` is enough to go on from."""
        return all(level.restorable for level in self.levels)

    def project(self, vector: Vector) -> Array:
        """Return `vector` in the map's space, float64."""
        if self.projection is None:
            return vector.astype(np.float64)
        return self.projection.apply(vector)

    def locate(self, z: Array) -> Path:
        """Return the clusters that hold `z`, coarsest first; changes nothing.

        Where `z` would open a cluster, that cluster's id to be is foretold. An entry is 0
        where a level has learnt nothing yet.
        """
        path = []
        unborn = self._next_id
        for level in self.levels:
            found = level.locate(z)
            if found is None and level.grows:
                found, unborn = unborn, unborn + 1
            path.append(WHOLE if found is None else found)
        return tuple(path)

    def learn(self, z: Array, seq: int, time: float) -> list[LineageEvent]:
        """Learn one vector at every level; return what became of clusters."""
        events: list[LineageEvent] = []
        for depth, level in enumerate(self.levels):
            turnover = level.learn(z, self._new_id)
            self._level_of.extend([depth] * len(turnover.born))
            events += self._follow(turnover, depth, z, seq, time)
        return events

    def heir(self, id_: int) -> int:
        """Return the live cluster that holds the evidence of `id_` now (0: the whole map).

        An id that this map never handed out, or handed out before it was rebuilt, leads to 0.
        """
        while id_ >= self._first_id:
            if id_ >= self._next_id:
                return WHOLE
            fate = self._heirs[id_ - self._first_id]
            if fate == 0:
                return id_
            id_ = -fate - 1
        return WHOLE

    def places(self) -> list[Place]:
        """Return every live cluster, coarsest level first."""
        found: list[Place] = []
        above: tuple[Any, Array] | None = None
        for depth, level in enumerate(self.levels):
            ids, centers, weights = level.view()
            for id_, center, weight in zip(ids.tolist(), centers, weights.tolist(), strict=True):
                parent = WHOLE if above is None else _nearest(above, center)
                found.append(
                    Place(id=id_, level=depth, parent=parent, weight=weight, center=center)
                )
            if len(ids):
                above = (ids, centers)
        return found

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {
            "next_id": self._next_id,
            "first_id": self._first_id,
            "heirs": np.array(self._heirs, dtype=np.int64),
            "level_of": np.array(self._level_of, dtype=np.int32),
            "levels": [level.state() for level in self.levels],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._next_id = state["next_id"]
        self._first_id = state["first_id"]
        self._heirs = array("q", state["heirs"].tolist())
        self._level_of = array("b", state["level_of"].tolist())
        for level, inner in zip(self.levels, state["levels"], strict=True):
            level.load(inner)

    @property
    def next_id(self) -> int:
        """The id that the next cluster to be born will have."""
        return self._next_id

    def _new_id(self) -> int:
        self._next_id += 1
        self._heirs.append(0)
        return self._next_id - 1

    def _follow(
        self, turnover: Turnover, depth: int, z: Array, seq: int, time: float
    ) -> list[LineageEvent]:
        """Note deaths and heirs; return the lineage of one level's turnover."""
        events = []

        def note(what: Any, cluster: int, other: int, cause: str) -> None:
            events.append(
                LineageEvent(
                    seq=seq,
                    time=time,
                    what=what,
                    cluster=cluster,
                    other=other,
                    level=depth,
                    cause=cause,
                )
            )

        for id_ in turnover.born:
            note("born", id_, self._parent(depth, z), "a prompt that no cluster held")
        for id_, heir in turnover.merged:
            self._heirs[id_ - self._first_id] = -(heir + 1)
            note("merged", id_, heir, "the bound on live clusters")
        for id_ in turnover.faded:
            # Its evidence is in every coarser cluster that held its prompts already.
            self._heirs[id_ - self._first_id] = -(WHOLE + 1)
            note("faded", id_, WHOLE, "no prompt came for long")
        return events

    def _parent(self, depth: int, z: Array) -> int:
        found = self.levels[depth - 1].locate(z) if depth else None
        return WHOLE if found is None else found


def _levels(settings: ClustererSettings) -> list[Level]:
    *coarse, finest = settings.resolutions
    bound, half_life = settings.max_clusters, settings.half_life
    levels: list[Level] = [DbstreamLevel(radius, half_life, bound) for radius in coarse]
    if settings.name != "dbstream":
        return [*levels, SlotLevel(settings.name, dict(settings.params), bound)]
    for key in settings.params:
        where = f"clusterer.params.{key}"
        raise ConfigError(
            f"{where}: dbstream is set by clusterer.resolutions, half_life and max_clusters", where
        )
    return [*levels, DbstreamLevel(finest, half_life, bound)]


def _nearest(level: tuple[Any, Array], center: Array) -> int:
    ids, centers = level
    return int(ids[int(((centers - center) ** 2).sum(axis=1).argmin())])
