"""Where a prompt lies on the map: the clusters that hold it, and those around."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ..compiled import compiled
from .nearest import Array, Rows


def finest(path: Sequence[int]) -> int:
    """Return the finest cluster of a path; 0, the whole map, if it has none."""
    for id_ in reversed(path):
        if id_:
            return id_
    return 0


class Surroundings(msgspec.Struct, frozen=True, gc=False):
    """A place on the map, as one array that machine code writes and reads.

    Attributes
    ----------
    levels
        How many resolutions the map has.
    dimension
        Of the map's space; 0 without a place.
    words
        `levels`; how many clusters there is room for; the path; then what `parts` has. Floats lie
        among whole numbers as they are: an array less to make and to hand over at every decision.
    """

    levels: int
    dimension: int
    words: Rows

    @classmethod
    def of(
        cls, path: Sequence[int], starts: Sequence[int], ids: Sequence[int], kernel: Array, z: Array
    ) -> Surroundings:
        """Return the surroundings of these `parts`."""
        clusters = np.array([len(path), len(ids), *path, *starts, *ids], np.int64)
        numbers = np.concatenate([kernel, z]).view(np.int64)
        return cls(len(path), len(z), np.concatenate([clusters, numbers]))

    @classmethod
    def inside(cls, path: Sequence[int], z: Array | None = None) -> Surroundings:
        """Return the inside of the clusters of a path, with nothing around."""
        ids = [id_ for id_ in path if id_]
        starts = np.cumsum([0, *(id_ != 0 for id_ in path)]).tolist()
        return cls.of(path, starts, ids, np.ones(len(ids)), np.zeros(0) if z is None else z)

    @property
    def path(self) -> tuple[int, ...]:
        """The cluster that holds the prompt at each level, coarsest first; 0 where none does."""
        return path_of(self)


def path_of(here: Surroundings) -> tuple[int, ...]:
    """Return the path of a place; to a decision a property would cost half as much again."""
    return tuple(here.words[2 : here.levels + 2].tolist())


@compiled
def parts(words: Rows) -> tuple[Rows, Rows, Array, Array]:
    """Return what `Surroundings` are made of, as views.

    Returns
    -------
    starts
        Shape (levels + 1,): the clusters of level ``l`` are ``starts[l]`` to ``starts[l + 1]``.
    ids
        The clusters around, shape (n,): level after level, nearest first.
    kernel
        How much the evidence of each says of the prompt, shape (n,): 1 for the nearest of a level,
        ``exp(-(d^2 - d_nearest^2) / (2 bandwidth^2))`` for the others.
    z
        The prompt in the map's space, shape (dimension,); empty where there is no map.
    """
    levels, room = words[0], words[1]
    starts, ids = words[levels + 2 : 2 * levels + 3], words[2 * levels + 3 :]
    numbers, around = ids[room:].view(np.float64), starts[levels]
    return starts, ids[:around], numbers[:around], numbers[room:]


NOWHERE = Surroundings.inside(())
"""Where everything is without a map."""
