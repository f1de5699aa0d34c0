"""The map of meaning: one space at several resolutions, grown by River, with lineage.

Every resolution places a prompt by itself; a prompt's *path* is the cluster that holds it at
each, coarsest first. Ids are handed out once, over all resolutions, in order of birth; 0 is
the whole map. An id that has died leads to its heir: the cluster that it merged into, or the
parent that it faded into (see `lineage`).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import msgspec
import numpy as np

from ..config import ClustererSettings
from ..embedding.base import Projection
from ..exceptions import ConfigError
from ..handed import Handed
from ..types import LineageEvent, Vector
from .drift import ShareWatch
from .level import DbstreamLevel, Level, Turnover
from .lineage import WHOLE, Lineage
from .matrix import Array
from .nearest import HANDED, OF_A_LEVEL, room_for, survey
from .slots import SlotLevel
from .surroundings import Surroundings

_NEARER = 0.8
"""A cluster changes its parent for one that is nearer than the old one by this factor."""

_EVERY = 8
"""Prompts from one look at whether a cluster should change its parent to the next."""

Path = tuple[int, ...]
_WORD = np.dtype(np.int64)
_NONE = Projection(np.zeros(0), np.zeros((0, 0), np.float32))


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
        self._radii = np.array([level.radius for level in self.levels], np.float64)
        self._room = room_for(len(self.levels))
        self.lineage = Lineage(first_id)
        self._new_ids = [partial(self.lineage.new_id, depth) for depth in range(len(self.levels))]
        self._shares = ShareWatch()
        self._steady = all(level.steady for level in self.levels)
        self._live: Handed | None = None  # what `survey` goes by; None: look again

    def __getstate__(self) -> dict[str, Any]:
        """Leave out views: of a copy they would be arrays of their own."""
        return {**self.__dict__, "_live": None}

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
        unborn = self.lineage.next_id
        for level in self.levels:
            found = level.locate(z)
            if found is None and level.grows:
                found, unborn = unborn, unborn + 1
            path.append(WHOLE if found is None else found)
        return tuple(path)

    def survey(self, vector: Vector, bandwidth: float) -> Surroundings:
        """Return where `vector` lies: its path, as `locate` gives it, and the clusters around.

        Parameters
        ----------
        bandwidth
            How far, as a distance, evidence of other clusters reaches; see `Surroundings`.
        """
        projection = self.projection
        if projection is None:
            return self._look(vector, bandwidth, False, len(vector))
        return self._look(vector, bandwidth, True, len(projection.components))

    def around(self, z: Array, bandwidth: float) -> Surroundings:
        """Return what `survey` does of a place in the map's space, shape (dimension,)."""
        return self._look(z, bandwidth, False, len(z))

    def _look(self, vector: Any, bandwidth: float, projected: bool, dimension: int) -> Surroundings:
        words = np.empty(self._room + dimension, _WORD)
        live = self._live or self._hand_over()
        survey(live.words, projected, vector, self.lineage.next_id, bandwidth, words)
        return Surroundings(len(self.levels), dimension, words)

    def _hand_over(self) -> Handed:
        """Let machine code see the clusters that live now."""
        projection = self.projection or _NONE
        levels = [array for level in self.levels for array in level.live()]
        arrays = (self._radii, projection.components, projection.mean, *levels)
        self._live = Handed(arrays, HANDED + OF_A_LEVEL * len(self.levels))
        return self._live

    def learn(self, z: Array, seq: int, time: float) -> list[LineageEvent]:
        """Learn one vector at every level; return what became of clusters."""
        lineage = self.lineage
        lineage.begin(seq, time)
        if not self._steady:
            self._live = None
        look = self._shares.seen % _EVERY == 0
        for depth, level in enumerate(self.levels):
            turnover = level.learn(z, self._new_ids[depth], time)
            if turnover is not None:
                self._live = None
                self._follow(depth, turnover, z)
            if depth and look:
                self._draw(depth, z)
        if self._shares.count(self.levels[0].holder(z)):
            for moved in self._shares.moves(self.levels[0].live()[0].tolist()):
                lineage.drifted(*moved)
        return lineage.events

    def _follow(self, depth: int, turnover: Turnover, z: Array) -> None:
        """Note what became of the clusters of a level."""
        level, lineage = self.levels[depth], self.lineage
        for id_ in turnover.born:
            lineage.born(id_, self._parent_for(depth, level.center(id_, z)))
        for id_, heir in turnover.merged:
            lineage.merged(id_, heir)
        for id_ in turnover.faded:
            for child in lineage.faded(id_):
                held = level.locate(self.levels[depth + 1].center(child, z))
                lineage.moved(child, WHOLE if held is None else held, "its parent faded")

    def heir(self, id_: int) -> int:
        """Return the live cluster that `id_` has come to (0: the whole map); see `Lineage`."""
        return self.lineage.heir(id_)

    def places(self) -> list[Place]:
        """Return every live cluster, coarsest level first."""
        return [
            Place(
                id=id_, level=depth, parent=self.lineage.parent(id_), weight=weight, center=center
            )
            for depth, level in enumerate(self.levels)
            for id_, center, weight in zip(*_lists(level), strict=True)
        ]

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {
            "lineage": self.lineage.state(),
            "shares": self._shares.state(),
            "levels": [level.state() for level in self.levels],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.lineage.load(state["lineage"])
        self._shares.load(state["shares"])
        self._live = None
        for level, inner in zip(self.levels, state["levels"], strict=True):
            level.load(inner)

    @property
    def next_id(self) -> int:
        """The id that the next cluster to be born will have."""
        return self.lineage.next_id

    def _parent_for(self, depth: int, center: Array) -> int:
        """The cluster of the next coarser level that is nearest to `center`."""
        found = self.levels[depth - 1].closest(center) if depth else None
        return WHOLE if found is None else found

    def _draw(self, depth: int, z: Array) -> None:
        """Give the cluster that holds `z` another parent, if that has become much nearer."""
        level, above = self.levels[depth], self.levels[depth - 1]
        id_ = level.holder(z)
        if id_ is None:
            return
        center = level.center(id_, z)
        parent, old = self._parent_for(depth, center), self.lineage.parent(id_)
        if parent in (old, WHOLE):
            return
        if old == WHOLE or _apart(above.center(parent, z), center) < _NEARER * _apart(
            above.center(old, z), center
        ):
            self.lineage.drawn(id_, parent)


def _lists(level: Level) -> tuple[list[int], Array, list[float]]:
    ids, centers, weights = level.view()
    return ids.tolist(), centers, weights.tolist()


def _apart(a: Array, b: Array) -> float:
    difference = a - b
    return math.sqrt(difference.dot(difference))  # as numpy's norm has it, for a third


def _levels(settings: ClustererSettings) -> list[Level]:
    *coarse, finest = settings.resolutions
    bound, half_life = settings.max_clusters, settings.half_life
    timed = settings.fading == "time"
    levels: list[Level] = [DbstreamLevel(radius, half_life, bound, timed) for radius in coarse]
    if settings.name != "dbstream":
        return [*levels, SlotLevel(settings.name, dict(settings.params), bound)]
    for key in settings.params:
        where = f"clusterer.params.{key}"
        raise ConfigError(
            f"{where}: dbstream is set by clusterer.resolutions, half_life and max_clusters", where
        )
    return [*levels, DbstreamLevel(finest, half_life, bound, timed)]
