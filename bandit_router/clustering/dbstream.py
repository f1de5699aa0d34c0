"""DBSTREAM on one matrix: River's algorithm and results, at a fraction of its cost."""

from __future__ import annotations

import math
from operator import itemgetter
from typing import Any

import numpy as np
from river import cluster
from river.cluster.dbstream import DBSTREAMMicroCluster

from .attract import TIE
from .calendar import Calendar
from .collapse import prevent_collapse, river_distance
from .density import connect, forget, label, pairs_of
from .matrix import Array, CenterMatrix, Rows
from .rows import as_river, gather

_CROSSOVER = 2000  # below this many numbers or so, dicts are faster than arrays


class DBSTREAM(cluster.DBSTREAM):  # type: ignore[misc]
    """`river.cluster.DBSTREAM` with its centres in one contiguous matrix.

    Weights, shared densities, centres and predictions are those of River 0.26.1 to 1e-9, ids
    included, as long as `max_micro_clusters` is None. As soon as an observation brings other
    features than the first did, River's own code takes over, at its own speed.

    Parameters
    ----------
    clustering_threshold, fading_factor, cleanup_interval, intersection_factor, minimum_weight
        As in River.
    max_micro_clusters
        Most micro-clusters alive at once; when one more is born the closest two are merged.

    References
    ----------
    Hahsler and Bolaños (2016), Clustering Data Streams Based on Shared Density between
    Micro-Clusters, IEEE TKDE 28(6); `river.cluster.DBSTREAM`.

    Examples
    --------
    >>> from bandit_router.clustering import DBSTREAM
    >>> model = DBSTREAM(clustering_threshold=1.5)
    >>> for x in [(1, 0.5), (1, 0.6), (4, 2.0)]:
    ...     model.learn_one(dict(enumerate(x)))
    >>> model.predict_one({0: 1, 1: 1}), model.predict_one({0: 5, 1: 2})
    (0, 1)
    """

    _tick = 1  # what an observation moves the clock by
    _keeps_density = True

    def __init__(
        self,
        clustering_threshold: float = 1.0,
        fading_factor: float = 0.01,
        cleanup_interval: float = 2,
        intersection_factor: float = 0.3,
        minimum_weight: float = 1.0,
        max_micro_clusters: int | None = None,
    ) -> None:
        super().__init__(
            clustering_threshold=clustering_threshold,
            fading_factor=fading_factor,
            cleanup_interval=cleanup_interval,
            intersection_factor=intersection_factor,
            minimum_weight=minimum_weight,
        )
        self.max_micro_clusters = max_micro_clusters
        self._time_stamp: float = 0
        self._nearest = -1  # the row nearest to the last observation, if it has drawn any
        # Where nothing fades as the calendars expect it to, River's own code does it all.
        self._stay_plain = fading_factor < 0 or intersection_factor > 1
        self._plain: dict[int, DBSTREAMMicroCluster] | None = None if max_micro_clusters else {}
        self._start([])

    def _start(self, features: list[Any]) -> None:
        """Begin an empty matrix of these features."""
        self._matrix = CenterMatrix(features)
        self._values = itemgetter(*features) if len(features) > 1 else None
        self._fading: Calendar[int] = Calendar()
        self._fading_pairs: Calendar[tuple[int, int]] = Calendar()
        self._macro: CenterMatrix | None = None

    # -- as River's dicts while they are few, else as a matrix ----------------------------------

    @property
    def _micro_clusters(self) -> dict[int, DBSTREAMMicroCluster]:
        return as_river(self._matrix) if self._plain is None else self._plain

    @_micro_clusters.setter
    def _micro_clusters(self, value: dict[int, DBSTREAMMicroCluster]) -> None:
        if value:  # only River's constructor assigns, and it assigns {}
            raise AttributeError("micro-clusters cannot be assigned")

    def _into_matrix(self) -> None:
        assert self._plain is not None
        self._start(self._matrix.features)
        for id_, micro in self._plain.items():
            center = np.fromiter(micro.center.values(), np.float64)
            self._matrix.append(id_, center, micro.weight, micro.last_update)
            self._plan(id_, micro.weight, micro.last_update)
        for i, row in self.s.items():
            for j, value in row.items():
                if value:
                    self._plan_pair(i, j, value, self.s_t[i][j])
        self._plain = None

    # -- learning -------------------------------------------------------------------------------

    def learn_one(self, x: dict[Any, float], w: Any = None) -> None:
        """Learn one observation, a dict of features."""
        if not self._matrix.features:
            self._start(list(x))
        if self._plain is not None:
            self._learn_plainly(x)
            return
        vector = self._as_array(x)
        if vector is not None:
            self.learn_vector(vector)
        elif self.max_micro_clusters:
            raise ValueError("with max_micro_clusters every x must have the same features")
        else:
            self._plain, self._stay_plain = self._micro_clusters, True
            self._learn_plainly(x)

    def _learn_plainly(self, x: dict[Any, float]) -> None:
        assert self._plain is not None
        features = self._matrix.features
        if not self._stay_plain and list(x) != features:
            self._stay_plain = x.keys() != set(features)
            x = {feature: x[feature] for feature in features} if not self._stay_plain else x
        super().learn_one(dict(x))
        few = _CROSSOVER // (22 + len(features))
        if len(self._plain) > few and not self._stay_plain:
            self._into_matrix()

    def learn_vector(self, x: Array) -> None:
        """Learn one observation, shape (dimension,)."""
        if not self._matrix.features:
            self._start(list(range(len(x))))
        if self._plain is not None:
            self._learn_plainly(dict(zip(self._matrix.features, x.tolist(), strict=True)))
            return
        self._absorb(x)
        if self._time_stamp % self.cleanup_interval == 0:
            self._cleanup()
        if self.max_micro_clusters:
            while self._matrix.size > self.max_micro_clusters:
                self._merge_closest()
        elif self._matrix.size < _CROSSOVER // (44 + 2 * len(x)):
            self._plain = self._micro_clusters
        self.clustering_is_up_to_date = False

    def _as_array(self, x: dict[Any, float]) -> Array | None:
        """The values of `x`, or None if its features are not those of the matrix."""
        features = self._matrix.features
        n = len(features)
        if len(x) != n:
            return None
        if list(x) == features:
            return np.fromiter(x.values(), np.float64, n)
        try:
            values = (x[features[0]],) if self._values is None else self._values(x)
        except KeyError:
            return None
        return np.array(values, dtype=np.float64)

    def _new_id(self) -> int:
        ids = self._matrix.ids
        return int(ids[-1]) + 1 if len(ids) else 0

    def _absorb(self, x: Array) -> None:
        """Algorithm 1 of Hahsler and Bolaños, as River's `_update` has it."""
        t, matrix = self._time_stamp, self._matrix
        threshold, fading = self.clustering_threshold, self.fading_factor
        drawn, self._nearest = matrix.attract(x, threshold, fading, float(t))
        if drawn < 0:
            self._attract(x, *self._neighbours(x), t)
        elif not drawn:
            self._open(x, t)
        elif drawn > 1 and self._keeps_density:
            self._share_density(matrix.drawn(drawn), t)
        self._time_stamp = t + self._tick

    def _open(self, x: Array, t: float) -> None:
        """Begin a micro-cluster."""
        id_ = self._new_id()
        self._matrix.append(id_, x, 1.0, t)
        self._plan(id_, 1.0, t)

    def _neighbours(self, x: Array) -> tuple[list[int], list[float]]:
        """Rows closer than the threshold as River has it, ascending, and their distances."""
        matrix, threshold = self._matrix, self.clustering_threshold
        if not matrix.size:
            return [], []
        candidates, rough = matrix.within(x, threshold)
        rows, distances = [], []
        for row, distance in zip(candidates.tolist(), rough.tolist(), strict=True):
            if abs(distance - threshold) <= TIE * threshold:
                distance = river_distance(x, matrix.centers[row])
            if distance < threshold:
                rows.append(row)
                distances.append(distance)
        return rows, distances

    def _attract(self, x: Array, rows: list[int], distances: list[float], t: float) -> None:
        """Draw centres to `x` where a distance equals the threshold but for rounding."""
        if not rows:
            self._open(x, t)
            return
        matrix, sigma = self._matrix, self.clustering_threshold / 3
        weights, updated = matrix.weights, matrix.updated
        pulls = [math.exp(-(d * d) / (2 * (sigma * sigma))) for d in distances]
        for row in rows:
            weights[row] = weights[row] * 2 ** (-self.fading_factor * (t - updated[row])) + 1
            updated[row] = t
        if len(rows) == 1:
            center = matrix.centers[rows[0]]
            matrix.move_one(rows[0], center + pulls[0] * (x - center))
            return
        which = np.array(rows)
        old = matrix.centers[which]
        new = old + np.array(pulls)[:, None] * (x - old)
        if self._keeps_density:
            self._share_density(which, t)
        prevent_collapse(old, new, self.clustering_threshold)
        matrix.move(which, new)

    def _share_density(self, rows: Rows, t: float) -> None:
        ids = self._matrix.ids[rows].tolist()
        for position, i in enumerate(ids[:-1]):
            row = self.s.setdefault(i, {})
            times = self.s_t.setdefault(i, {})
            for j in ids[position + 1 :]:
                before = row.get(j)
                if before:
                    row[j] = before * 2 ** (-self.fading_factor * (t - times[j])) + 1
                else:
                    row[j] = 1
                    self._plan_pair(i, j, 1, t)
                times[j] = t

    # -- fading ---------------------------------------------------------------------------------

    def _plan(self, id_: int, weight: float, updated: float) -> None:
        """Note when a micro-cluster may have become weak, if nothing touches it till then."""
        if self.fading_factor > 0:
            lasts = self.cleanup_interval + math.log2(max(weight, 1e-300)) / self.fading_factor
            self._fading.put(id_, math.floor(updated + lasts))

    def _plan_pair(self, i: int, j: int, value: float, updated: float) -> None:
        threshold = self._weak_density
        if self.fading_factor > 0 and threshold > 0:
            lasts = math.log2(value / threshold) / self.fading_factor
            self._fading_pairs.put((i, j), math.floor(updated + lasts))

    @property
    def _weak_density(self) -> float:
        return float(self.intersection_factor * 2 ** (-self.fading_factor * self.cleanup_interval))

    def _cleanup(self) -> None:
        """Algorithm 2 of Hahsler and Bolaños, as River's `_cleanup` has it.

        River looks at everything; here the calendars say what may have faded by now.
        """
        if self._plain is not None:
            super()._cleanup()
            return
        t, fading = self._time_stamp, self.fading_factor
        weak_weight = 2 ** (-fading * self.cleanup_interval)
        matrix = self._matrix
        weak = []
        for id_ in self._fading.due(t):
            row = matrix.row_of(id_)
            weight, updated = float(matrix.weights[row]), float(matrix.updated[row])
            if weight * 2 ** (-fading * (t - updated)) < weak_weight:
                weak.append(row)
            else:
                self._plan(id_, weight, updated)
        if weak:
            self._remove(weak)
        self._fade_pairs(t, fading, self._weak_density)

    def _remove(self, rows: list[int]) -> None:
        """Let the micro-clusters of these rows die."""
        matrix = self._matrix
        self._forget(matrix.ids[rows].tolist())
        mask = np.ones(matrix.size, dtype=np.bool_)
        mask[rows] = False
        matrix.keep(mask)

    def _fade_pairs(self, t: float, fading: float, threshold: float) -> None:
        for i, j in self._fading_pairs.due(t):
            row = self.s.get(i)
            if row is None or not row.get(j):
                continue
            times = self.s_t[i]
            if row[j] * 2 ** (-fading * (t - times[j])) < threshold:
                row[j] = times[j] = 0
            else:
                self._plan_pair(i, j, row[j], times[j])

    def _forget(self, ids: list[int]) -> None:
        for i in ids:
            self.s.pop(i, None)
            self.s_t.pop(i, None)
            for j in self.s:
                if j >= i:
                    break  # River's: it takes the keys to be ascending
                self.s[j].pop(i, None)
                self.s_t[j].pop(i, None)

    # -- macro-clusters -------------------------------------------------------------------------

    def predict_one(self, x: dict[Any, float], w: Any = None) -> int:
        """Return the macro-cluster that `x` falls into; 0 before anything is learnt."""
        self._recluster()
        vector = self._as_array(x) if self._macro is not None else None
        if self._macro is None or vector is None:
            return int(super().predict_one(x))
        if not self._macro.size:
            return 0
        return int(self._macro.ids[self._macro.nearest(vector)[0]])

    def nearest_micro_cluster(self, x: Array) -> tuple[int, float]:
        """Return id and distance of the micro-cluster closest to `x`, shape (dimension,)."""
        matrix = self._matrix
        if self._plain is not None:
            matrix = CenterMatrix(matrix.features)
            for id_, micro in self._plain.items():
                matrix.append(id_, np.fromiter(micro.center.values(), np.float64), 1.0, 0.0)
        row, distance = matrix.nearest(x)
        return int(matrix.ids[row]), distance

    def _recluster(self) -> None:
        """Algorithm 3 of Hahsler and Bolaños, as River has it, with centres as rows."""
        if self._plain is not None:
            self._macro = None
            super()._recluster()
        elif not self.clustering_is_up_to_date:
            matrix = self._matrix
            if matrix.size:
                weights = dict(zip(matrix.ids.tolist(), matrix.weights.tolist(), strict=True))
                shared = connect(self.s, weights, self.minimum_weight, self.intersection_factor)
                self._macro = gather(matrix, label(weights, shared, self.minimum_weight))
                self._n_clusters = self._macro.size
            self.clustering_is_up_to_date = True

    @property
    def _clusters(self) -> dict[int, DBSTREAMMicroCluster]:
        return self._plain_macro if self._macro is None else as_river(self._macro)

    @_clusters.setter
    def _clusters(self, value: dict[int, DBSTREAMMicroCluster]) -> None:
        self._plain_macro = value

    @property
    def _centers(self) -> dict[int, dict[Any, float]]:
        return {name: cluster.center for name, cluster in self._clusters.items()}

    @_centers.setter
    def _centers(self, value: dict[int, dict[Any, float]]) -> None:
        """Derived: see the getter."""

    # -- the bound ------------------------------------------------------------------------------

    def _merge_closest(self) -> None:
        matrix = self._matrix
        a, b = matrix.closest_pair()
        _, merged = self._merge(int(matrix.ids[a]), int(matrix.ids[b]))
        matrix.keep(matrix.ids != merged)

    def _merge(self, a: int, b: int) -> tuple[int, int]:
        """Merge two micro-clusters into the heavier (of equals the older): (heir, merged).

        The merged row stays until the caller drops it.
        """
        matrix, t = self._matrix, self._time_stamp
        rows = [matrix.row_of(a), matrix.row_of(b)]
        faded = 2 ** (-self.fading_factor * (t - matrix.updated[rows]))
        weights = matrix.weights[rows] * faded
        if (-weights[1], b) < (-weights[0], a):
            rows, weights, a, b = rows[::-1], weights[::-1], b, a
        total = float(weights.sum())
        center = (weights @ matrix.centers[rows]) / total if total else matrix.centers[rows[0]]
        matrix.move_one(rows[0], center)
        matrix.weights[rows[0]], matrix.updated[rows[0]] = total, t
        self._fading.drop(b)
        self._merge_density(a, b, t)
        return a, b

    def _merge_density(self, heir: int, merged: int, t: float) -> None:
        """Give the shared densities of `merged` to `heir`, faded to time `t`."""
        if not self.s:
            return
        pairs = pairs_of(merged, self.s, self.s_t)
        forget(merged, self.s)
        forget(merged, self.s_t)
        for other, value, time in pairs:
            if other == heir:
                continue
            i, j = sorted((heir, other))
            row, times = self.s.setdefault(i, {}), self.s_t.setdefault(i, {})
            added = value * 2 ** (-self.fading_factor * (t - time))
            before = row.get(j, 0.0) * 2 ** (-self.fading_factor * (t - times.get(j, t)))
            row[j], times[j] = before + added, t
            if row[j]:
                self._plan_pair(i, j, row[j], t)
