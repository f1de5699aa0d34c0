"""Rows of a matrix as River's micro-clusters, and gathered into macro-clusters."""

from __future__ import annotations

from river.cluster.dbstream import DBSTREAMMicroCluster

from .matrix import CenterMatrix


def as_river(matrix: CenterMatrix) -> dict[int, DBSTREAMMicroCluster]:
    """Return the rows as River's micro-clusters, by id."""
    columns = (matrix.ids, matrix.centers, matrix.updated, matrix.weights)
    return {
        id_: DBSTREAMMicroCluster(
            x=dict(zip(matrix.features, center, strict=True)),
            last_update=int(updated),
            weight=weight,
        )
        for id_, center, updated, weight in zip(*(c.tolist() for c in columns), strict=True)
    }


def gather(matrix: CenterMatrix, members: dict[int, list[int]]) -> CenterMatrix:
    """Return each group of micro-clusters (their ids, by label) as one weighted row."""
    out = CenterMatrix(matrix.features)
    for name, ids in members.items():
        rows = [matrix.row_of(id_) for id_ in ids]
        center, weight = matrix.centers[rows[0]], float(matrix.weights[rows[0]])
        for row in rows[1:]:
            other = float(matrix.weights[row])
            center = (center * weight + matrix.centers[row] * other) / (weight + other)
            weight += other
        out.append(name, center, weight, float(matrix.updated[rows[0]]))
    return out
