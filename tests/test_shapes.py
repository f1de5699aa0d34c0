"""A snapshot whose arrays are not as they must be is refused, whatever its digest says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from bandit_router import Router, codec
from bandit_router.config import parse_config
from bandit_router.exceptions import StoreError
from bandit_router.fold import FOLD_VERSION
from bandit_router.store import EventStore, restore
from bandit_router.types import Training

FREE = {"parents", "origins", "counts", "chunk", "buffer", "root", "centres"}
"""Arrays with an axis that no other array tells the size of."""

SHADOWS = ["linucb", "forest", "kmeans", "global-thompson"]
CASES = [
    {"budget": {"usd_per_day": 3.0}, "bandit": {"shadows": SHADOWS}},
    *({"clusterer": {"name": name}} for name in ("kmeans", "streamkmeans", "clustream")),
    {"clusterer": {"name": "denstream"}},
]


def lived(raw: dict[str, Any], steps: int = 40, dimension: int = 3) -> Router:
    config = parse_config({"models": [{"name": "a"}, {"name": "b", "similar_to": "a"}], **raw})
    router = Router(config.models, settings=config.settings, embedder="none")
    rng = np.random.default_rng(0)
    known = rng.normal(size=(8, dimension)).astype(np.float32)
    training = Training.of(("a", "b"), known, rng.random((8, 2)), rng.random((8, 2)))
    router.apply(router.change("trained", msgspec.structs.asdict(training)))
    for step in range(steps):
        decision = router.route("hi", vector=rng.normal(size=dimension), time=step)
        router.feedback(decision.decision_id, float(step % 2), cost_usd=0.001, latency_ms=9.0)
    return router


def arrays(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, np.ndarray):
        yield path, value
    elif isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from arrays(one, (*path, key))


def others(name: str, held: Any) -> Iterator[Any]:
    """Yield what must not stand in the place of an array."""
    yield from (held.astype("<f4"), held[None], held.tolist(), None)
    if name not in FREE:
        yield from (np.delete(held, 0, axis) for axis in range(held.ndim) if held.shape[axis])
        yield from (np.concatenate([held, held], axis) for axis in range(held.ndim) if held.size)


@pytest.mark.parametrize("raw", CASES, ids=lambda raw: "+".join(map(str, raw.values()))[:40])
def test_every_array_is_checked(raw: dict[str, Any]) -> None:
    for steps, dimension in ((0, 3), (1, 3), (9, 40)):
        router = lived(raw, steps, dimension)
        assert Router.restore([], state=router.snapshot()).snapshot() == router.snapshot()
    body = lived(raw).snapshot()
    assert Router.restore([], state=body).snapshot() == body
    found = list(arrays(codec.decode_state(body)))
    assert len(found) > 20
    for path, held in found:
        for other in others(path[-1], held):
            state = codec.decode_state(body)
            inner = state
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = other
            with pytest.raises(StoreError, match="the snapshot is damaged"):
                Router.restore([], state=codec.encode_state(state))


def test_the_log_is_folded_where_a_snapshot_cannot_be_taken(tmp_path: Any, caplog: Any) -> None:
    router = Router(["a", "b"], embedder="none")
    events = [router.initial]
    for _ in range(5):
        events.append(router.decide(vector=[1.0, 0.0]))
        router.apply(events[-1])
    state = codec.decode_state(router.snapshot())
    posterior = state["strategies"]["policies"]["thompson"]["posterior"]
    posterior["total"] = posterior["total"][:, :1]
    with EventStore.open(tmp_path / "r.db") as store:
        store.append(events)
        body = codec.encode_state(state)
        store.save_snapshot(router.seq, body, codec.digest(body), FOLD_VERSION)
        assert restore(store).snapshot() == router.snapshot()
    assert "posterior.total is <f8 (9, 1), not <f8 9 Arms: it is not used" in caplog.text
