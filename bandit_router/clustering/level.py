"""One resolution of the map: a clusterer whose clusters keep an identity of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .dbstream import DBSTREAM
from .matrix import Array, Rows

NewId = Callable[[], int]


@dataclass(slots=True)
class Turnover:
    """What one observation did to a level: ids born, `(merged, heir)` pairs, ids faded."""

    born: list[int] = field(default_factory=list)
    merged: list[tuple[int, int]] = field(default_factory=list)
    faded: list[int] = field(default_factory=list)


class Level(Protocol):
    """What the map asks of a clusterer.

    Attributes
    ----------
    grows
        Whether a vector that no cluster holds opens one of its own.
    radius
        How far from its centre a cluster holds a prompt.
    restorable
        Whether `state` is enough to go on from; if not, it only proves that two folds agree
        and a restart folds the whole log.
    steady
        Whether what `live` returned stays true until there is a turnover.
    """

    grows: bool
    radius: float
    restorable: bool
    steady: bool

    def locate(self, z: Array) -> int | None:
        """Return the id of the cluster that holds `z`, or None; changes nothing."""
        ...

    def holder(self, z: Array) -> int | None:
        """Return what `locate` does of the vector that was learnt last, sooner perhaps."""
        ...

    def closest(self, z: Array) -> int | None:
        """Return the cluster whose centre is closest, however far; None if there is none."""
        ...

    def live(self) -> tuple[Rows, Array]:
        """Ids (ascending) and centres of the live clusters, not to be written to."""
        ...

    def center(self, id_: int, default: Array) -> Array:
        """Return the centre of a cluster, or `default` if it does not live."""
        ...

    def learn(self, z: Array, new_id: NewId, time: float = 0.0) -> Turnover | None:
        """Learn one vector of the map's space, shape (dimension,), at `time` (seconds).

        Returns
        -------
        Turnover or None
            What became of clusters; None if centres were drawn nearer and that is all.
        """
        ...

    def view(self) -> tuple[Rows, Array, Array]:
        """Ids (ascending), centres and weights (faded to now) of the live clusters."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        ...


class DbstreamLevel(DBSTREAM):
    """DBSTREAM as a level: ids never return, and nothing dies unnoticed.

    River hands out ``max + 1``, so the id of a dead micro-cluster can come back; here ids come
    from the map's own counter. Shared densities are not kept: what River's macro-clusters are
    for, the map's coarser levels do, with identities that last.

    Parameters
    ----------
    radius
        Largest distance of a prompt to the centre of its micro-cluster.
    half_life
        Prompts after which an unvisited micro-cluster has lost half its weight. One that was
        visited only once lives as long, so that a rare topic survives until it returns.
    max_clusters
        Bound on live micro-clusters.
    timed
        Whether `half_life` is in seconds instead: then a silent night lets topics fade, and a
        crowded minute does not.
    """

    grows = True
    restorable = True
    steady = True
    _keeps_density = False

    def __init__(
        self, radius: float, half_life: float, max_clusters: int, timed: bool = False
    ) -> None:
        super().__init__(
            clustering_threshold=radius,
            fading_factor=1.0 / half_life,
            cleanup_interval=max(2, round(half_life)),
            max_micro_clusters=max_clusters,
        )
        self.radius = radius
        self.half_life = half_life
        self.max_clusters = max_clusters
        self.timed = timed
        if timed:  # the clock counts, not the step
            self._tick = 0
        self._next: NewId = lambda: 0
        self._turnover: Turnover | None = None

    def locate(self, z: Array) -> int | None:
        """Return the nearest micro-cluster within the radius."""
        if not self._matrix.size:
            return None
        id_, distance = self.nearest_micro_cluster(z)
        return id_ if distance < self.clustering_threshold else None

    def holder(self, z: Array) -> int | None:
        """Return the one that was nearest when `z` was learnt, unless rows are others since."""
        if self._turnover is not None or self._nearest < 0:
            return self.locate(z)
        return self._matrix.id_of(self._nearest)

    def closest(self, z: Array) -> int | None:
        """Return the micro-cluster whose centre is closest."""
        return self.nearest_micro_cluster(z)[0] if self._matrix.size else None

    def live(self) -> tuple[Rows, Array]:
        """Ids and centres; see `Level`."""
        return self._matrix.live

    def center(self, id_: int, default: Array) -> Array:
        """Return the centre of a micro-cluster; see `Level`."""
        try:
            found: Array = self._matrix.centers[self._matrix.row_of(id_)]
        except KeyError:
            return default
        return found

    def learn(self, z: Array, new_id: NewId, time: float = 0.0) -> Turnover | None:
        """Learn one vector; see `Level`."""
        self._next, self._turnover = new_id, None
        if self.timed:
            self._time_stamp = max(float(self._time_stamp), time)
        self.learn_vector(z)
        if self.timed:
            self._cleanup()
        return self._turnover

    def view(self) -> tuple[Rows, Array, Array]:
        """Ids, centres and faded weights."""
        matrix = self._matrix
        fading = 2.0 ** (-self.fading_factor * (self._time_stamp - matrix.updated))
        return matrix.ids.copy(), matrix.centers.copy(), matrix.weights * fading

    def state(self) -> dict[str, Any]:
        """Return centres, weights and times."""
        matrix = self._matrix
        return {
            "steps": self._time_stamp,
            "ids": matrix.ids,
            "centers": matrix.centers,
            "weights": matrix.weights,
            "updated": matrix.updated,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._time_stamp = state["steps"]
        centers = state["centers"]
        self._start(list(range(centers.shape[1])))
        for id_, center, weight, updated in zip(
            state["ids"].tolist(),
            centers,
            state["weights"].tolist(),
            state["updated"].tolist(),
            strict=True,
        ):
            self._matrix.append(id_, center, weight, updated)
            self._plan(id_, weight, updated)

    def _new_id(self) -> int:
        born = self._next()
        self._noted().born.append(born)
        return born

    def _cleanup(self) -> None:
        before = self._matrix.ids.copy()
        super()._cleanup()
        if faded := np.setdiff1d(before, self._matrix.ids).tolist():
            self._noted().faded += faded

    def _merge(self, a: int, b: int) -> tuple[int, int]:
        heir, merged = super()._merge(a, b)
        self._noted().merged.append((merged, heir))
        return heir, merged

    def _noted(self) -> Turnover:
        """Return what is noted of the observation in hand."""
        if self._turnover is None:
            self._turnover = Turnover()
        return self._turnover
