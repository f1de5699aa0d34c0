"""Shared density between micro-clusters: River's macro-clusters, and what a merge leaves."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

SharedDensity = dict[int, dict[int, float]]


def connect(
    s: SharedDensity, weights: Mapping[int, float], minimum: float, intersection: float
) -> SharedDensity:
    """Return the alpha-connected neighbours of each micro-cluster, as River has them."""
    out: SharedDensity = {}
    for i, row in s.items():
        weight = weights.get(i)
        if weight is None or weight <= minimum:
            continue
        for j, shared in row.items():
            other = weights.get(j)
            if other is None or other <= minimum:
                continue
            value = shared / ((weight + other) / 2)
            if value > intersection:
                out.setdefault(i, {})[j] = value
    return out


def label(
    weights: Mapping[int, float], neighbours: SharedDensity, minimum: float
) -> dict[int, list[int]]:
    """Return the micro-clusters of each macro-cluster, as River's variant of DBSCAN has them."""
    labels: dict[int, int] = {}
    count = -1
    for index, weight in weights.items():
        if index in labels or weight < minimum:
            continue
        count += 1
        labels[index] = count
        seeds = deque(neighbours.get(index, ()))
        while seeds:
            seed = seeds.popleft()
            if seed not in labels:
                labels[seed] = count
                seeds.extend(n for n in neighbours.get(seed, ()) if n not in labels)
    members: dict[int, list[int]] = {}
    for index in weights:  # in the order of the micro-clusters
        if index in labels:
            members.setdefault(labels[index], []).append(index)
    return dict(sorted(members.items()))


def pairs_of(id_: int, s: SharedDensity, s_t: SharedDensity) -> list[tuple[int, float, float]]:
    """Return the shared densities of one micro-cluster: the other, the value, its time."""
    found = [(j, value, s_t[id_][j]) for j, value in s.get(id_, {}).items()]
    found += [(i, row[id_], s_t[i][id_]) for i, row in s.items() if id_ in row]
    return found


def forget(id_: int, s: SharedDensity) -> None:
    """Take every entry of a micro-cluster out of `s`, in place."""
    s.pop(id_, None)
    for row in s.values():
        row.pop(id_, None)
