"""Where a prompt lies on the map: the clusters that hold it, and those around."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from .matrix import Array, Rows

MOST = 16
"""Clusters of one level that are looked at, at the most."""


def finest(path: Sequence[int]) -> int:
    """Return the finest cluster of a path; 0, the whole map, if it has none."""
    for id_ in reversed(path):
        if id_:
            return id_
    return 0


class Surroundings(msgspec.Struct, frozen=True, gc=False):
    """A place on the map.

    Attributes
    ----------
    z
        The prompt in the map's space, shape (dimension,); empty where there is no map.
    path
        The cluster that holds it at each level, coarsest first; 0 where none does.
    ids
        The clusters around, shape (n,): level after level, nearest first.
    kernel
        How much the evidence of each says of the prompt, shape (n,): 1 for the nearest of a level,
        ``exp(-(d^2 - d_nearest^2) / (2 bandwidth^2))`` for the others.
    starts
        Shape (levels + 1,): those of level ``l`` are ``starts[l]`` to ``starts[l + 1]``.
    """

    z: Array
    path: tuple[int, ...]
    ids: Rows
    kernel: Array
    starts: Rows

    @classmethod
    def inside(cls, path: Sequence[int], z: Array | None = None) -> Surroundings:
        """Return the inside of the clusters of a path, with nothing around."""
        held = [int(id_ != 0) for id_ in path]
        return cls(
            z=np.zeros(0) if z is None else z,
            path=tuple(path),
            ids=np.array([id_ for id_ in path if id_], np.int64),
            kernel=np.ones(sum(held)),
            starts=np.cumsum([0, *held]),
        )


NOWHERE = Surroundings.inside(())
"""Where everything is without a map."""
