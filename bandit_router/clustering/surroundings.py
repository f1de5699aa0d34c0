"""Where a prompt lies on the map: the clusters that hold it, and those around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .matrix import Array, Rows

MOST = 16
"""Clusters of one level that are looked at, at the most."""


@dataclass(frozen=True, slots=True)
class Near:
    """The clusters of one level around a prompt, nearest first.

    Attributes
    ----------
    ids
        Shape (n,), n at most `MOST`.
    kernel
        How much the evidence of each says of the prompt, shape (n,): 1 for the nearest,
        ``exp(-(d^2 - d_nearest^2) / (2 bandwidth^2))`` for the others.
    """

    ids: Rows
    kernel: Array


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A place on the map.

    Attributes
    ----------
    z
        The prompt in the map's space, shape (dimension,); empty where there is no map.
    path
        The cluster that holds it at each level, coarsest first; 0 where none does.
    near
        What lies around, a level each.
    """

    z: Array
    path: tuple[int, ...]
    near: tuple[Near, ...]

    @classmethod
    def inside(cls, path: Sequence[int], z: Array | None = None) -> Surroundings:
        """Return the inside of the clusters of a path, with nothing around."""
        near = tuple(Near(np.array([i] if i else [], np.int64), np.ones(int(i != 0))) for i in path)
        return cls(np.zeros(0) if z is None else z, tuple(path), near)


NOWHERE = Surroundings(np.zeros(0), (), ())
"""Where everything is without a map."""


def kernel(distances: Array, bandwidth: float) -> Array:
    """Return the weights of clusters at `distances`, nearest first, beside that of the nearest.

    Shapes (n,). With a bandwidth of 0 only the nearest counts.
    """
    out = np.zeros(len(distances))
    if bandwidth > 0:
        squares = distances * distances
        np.exp((squares[:1] - squares) / (2.0 * bandwidth * bandwidth), out=out)
    out[:1] = 1.0
    return out
