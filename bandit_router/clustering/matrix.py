"""The matrix of micro-clusters: centres, weights and times in contiguous arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

_COLUMNS = ("_ids", "_centers", "_norms", "_weights", "_updated")


class CenterMatrix:
    """Live micro-clusters as rows, in ascending order of id.

    Parameters
    ----------
    features
        Names of the columns: the keys of River's feature dicts.

    Attributes
    ----------
    ids
        Shape (size,).
    centers
        Shape (size, dimension).
    weights, updated
        Weight when last touched, and that time; shape (size,).
    """

    def __init__(self, features: list[Any]) -> None:
        self.features = features
        self.size = 0
        self._ids = np.empty(16, dtype=np.int64)
        self._centers = np.empty((16, len(features)))
        self._norms = np.empty(16)
        self._weights = np.empty(16)
        self._updated = np.empty(16)

    @property
    def ids(self) -> Rows:
        """Ids, ascending."""
        return self._ids[: self.size]

    @property
    def centers(self) -> Array:
        """Centres; alter them through `move` only."""
        return self._centers[: self.size]

    @property
    def weights(self) -> Array:
        """Weights as of `updated`."""
        return self._weights[: self.size]

    @property
    def updated(self) -> Array:
        """Times of the last touch."""
        return self._updated[: self.size]

    def append(self, id_: int, center: Array, weight: float, time: float) -> None:
        """Add a micro-cluster; `id_` must be above every id present."""
        if self.size == len(self._ids):
            for name in _COLUMNS:
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.empty_like(column)]))
        row = self.size
        self.size += 1
        self._ids[row] = id_
        self._weights[row] = weight
        self._updated[row] = time
        self.move(np.array([row]), center[None, :])

    def move(self, rows: Rows, centers: Array) -> None:
        """Set the centres of `rows`."""
        self._centers[rows] = centers
        self._norms[rows] = np.einsum("ij,ij->i", centers, centers)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Drop the rows where `mask` is False; the order of the others stays."""
        kept = int(mask.sum())
        for name in _COLUMNS:
            column = getattr(self, name)
            column[:kept] = column[: self.size][mask]
        self.size = kept

    def row_of(self, id_: int) -> int:
        """Return the row of a live id.

        Raises
        ------
        KeyError
            If there is none.
        """
        row = int(np.searchsorted(self.ids, id_))
        if row == self.size or self._ids[row] != id_:
            raise KeyError(id_)
        return row

    def within(self, x: Array, radius: float) -> tuple[Rows, Array]:
        """Rows closer to `x` than `radius`, ascending, and their distances."""
        rough, slack = self._rough(x)
        rows = np.flatnonzero(rough < radius * radius + slack)
        distances = self._exact(rows, x)
        near = distances < radius
        return rows[near], distances[near]

    def nearest(self, x: Array) -> tuple[int, float]:
        """The row closest to `x` (the first of equals) and its distance."""
        rough, slack = self._rough(x)
        rows = np.flatnonzero(rough <= rough.min() + slack)
        distances = self._exact(rows, x)
        best = int(distances.argmin())
        return int(rows[best]), float(distances[best])

    def _rough(self, x: Array) -> tuple[Array, float]:
        # |c|^2 - 2cx + |x|^2 is one matrix-vector product. It loses digits near zero, so it
        # only prunes, with a slack above its rounding; `_exact` decides.
        norms = self._norms[: self.size]
        square = float(x @ x)
        return norms - 2.0 * (self.centers @ x) + square, 1e-9 * (square + float(norms.max()))

    def _exact(self, rows: Rows, x: Array) -> Array:
        difference = self._centers[rows] - x
        out: Array = np.sqrt(np.einsum("ij,ij->i", difference, difference))
        return out
