"""The clusterers' states as arrays and numbers, and back: no pickle."""

from __future__ import annotations

from typing import Any

import numpy as np
from river import stats
from river.cluster.clustream import CluStreamMicroCluster

from .kmeans import KMeans, STREAMKMeans
from .matrix import Array

State = dict[str, Any]


def means(model: KMeans | STREAMKMeans) -> State:
    """Return centres, and for STREAMKMeans the chunk in hand."""
    state: State = {"centers": np.array(model.center_rows)}
    if isinstance(model, STREAMKMeans):
        state["time"] = model.time_stamp
        state["chunk"] = _rows(model._temp_chunk.values())
    return state


def load_means(model: KMeans | STREAMKMeans, state: State) -> None:
    """Take over what `means` returned."""
    if isinstance(model, STREAMKMeans):
        model.time_stamp = state["time"]
        model._temp_chunk = {i: _features(row) for i, row in enumerate(state["chunk"])}
        model._kmeans.center_rows = state["centers"]
    else:
        model.center_rows = state["centers"]


def clustream(model: Any) -> State:
    """Return means and variances of every micro-cluster, and the clock."""
    found = list(model.micro_clusters.values())
    return {
        "time": model._timestamp,
        "initialized": model._initialized,
        "x": np.array([[_moments(var) for var in mc.var_x.values()] for mc in found]),
        "times": np.array([_moments(mc.var_time) for mc in found]),
    }


def load_clustream(model: Any, state: State) -> None:
    """Take over what `clustream` returned."""
    model._timestamp, model._initialized = state["time"], state["initialized"]
    for slot, (x, times) in enumerate(zip(state["x"], state["times"], strict=True)):
        micro = CluStreamMicroCluster(x={}, w=1.0, timestamp=0)
        micro.var_x = {feature: _var(row) for feature, row in enumerate(x)}
        micro.var_time = _var(times)
        model.micro_clusters[slot] = micro
        if slot == 0:
            model._matrix = type(model._matrix)(list(range(len(x))))
        model._renew(slot)


def denstream(model: Any) -> State:
    """Return the sums of every micro-cluster, and the clock."""
    found = model.occupants()
    keys = [*model.p_micro_clusters, *model.o_micro_clusters]
    buffer = getattr(model, "_init_buffer", ())
    return {
        "time": model.timestamp,
        "seen": model._n_samples_seen,
        "initialized": model.initialized,
        "potential": len(model.p_micro_clusters),
        "keys": np.array(keys, dtype=np.int64),
        "numbers": np.array(
            [[float(mc.N), mc.last_edit_time, mc.creation_time] for mc in found]
        ).reshape(-1, 3),
        "linear": _rows(mc.linear_sum for mc in found),
        "squared": _rows(mc.squared_sum for mc in found),
        "buffer": _rows(item.x for item in buffer),
    }


def load_denstream(model: Any, state: State, kind: Any) -> None:
    """Take over what `denstream` returned; micro-clusters are made of class `kind`."""
    model.timestamp, model._n_samples_seen = state["time"], state["seen"]
    model.initialized = state["initialized"]
    if model.initialized:
        del model._init_buffer
    for row in state["buffer"]:
        model._init_buffer.append(model.BufferItem(_features(row), state["time"], False))
    for i, key in enumerate(state["keys"].tolist()):
        n, edited, created = state["numbers"][i].tolist()
        micro = kind(x={}, timestamp=int(created), decaying_factor=model.decaying_factor)
        micro.N, micro.last_edit_time = int(n), int(edited)
        micro.linear_sum, micro.squared_sum = (
            _features(state[name][i]) for name in ("linear", "squared")
        )
        potential = i < state["potential"]
        (model.p_micro_clusters if potential else model.o_micro_clusters)[key] = micro


def as_kind(kind: Any, micro: Any) -> Any:
    """Return DenStream's micro-cluster as one of class `kind`."""
    out = kind(x=micro.x, timestamp=micro.creation_time, decaying_factor=micro.decaying_factor)
    for name in ("N", "last_edit_time", "linear_sum", "squared_sum"):
        setattr(out, name, getattr(micro, name))
    return out


def _moments(var: stats.Var) -> tuple[float, float, float]:
    return float(var.mean.n), float(var.mean._mean), float(var._S)


def _var(moments: Any) -> stats.Var:
    var = stats.Var()
    var.mean.n, var.mean._mean, var._S = (float(m) for m in moments)
    return var


def _rows(dicts: Any) -> Array:
    found = [list(d.values()) for d in dicts]
    return np.array(found, dtype=np.float64) if found else np.empty((0, 0))


def _features(row: Array) -> dict[int, float]:
    return dict(enumerate(row.tolist()))
