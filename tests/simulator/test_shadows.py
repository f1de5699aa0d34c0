"""What shadows said is evaluated as it was logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bandit_router import Feedback, Model, Router
from bandit_router.config import parse_config
from bandit_router.exceptions import InvalidInput, StoreError
from bandit_router.simulator.replay import replay
from bandit_router.store import EventStore, restore
from bandit_router.store.retention import archive
from bandit_router.types import Outcome

NAMES = ("good", "bad")


def database(path: Path, steps: int = 400, **bandit: Any) -> Path:
    """A log of a service whose first model is the better one, 0.8 to 0.3."""
    rng = np.random.default_rng(0)
    models = [Model(name=name, input_usd_per_m=1.0) for name in NAMES]
    one = Router(models, settings=parse_config({"bandit": bandit}).settings, embedder="none")
    events: list[Any] = [one.initial]
    for _ in range(steps):
        decision = one.decide("hello", vector=rng.normal(size=4))
        one.apply(decision)
        reward = float(rng.random() < (0.8 if decision.model == "good" else 0.3))
        _, said = one.judge(Feedback(decision_id=decision.decision_id, reward=reward))
        assert said is not None
        one.apply(said)
        events += [decision, said]
    with EventStore.open(path) as store:
        store.append(events)
    return path


def value(found: dict[str, Any], name: str, estimator: str = "dr") -> float:
    return float(found["policies"][name]["estimators"][estimator]["value"])


def flat(found: Any, path: str = "") -> dict[str, Any]:
    """Return a result as one level of names and values."""
    if not isinstance(found, dict | list):
        return {path: found}
    items = found.items() if isinstance(found, dict) else enumerate(found)
    return {k: v for key, inner in items for k, v in flat(inner, f"{path}.{key}").items()}


def test_shadows_and_the_canarys_two_are_evaluated_as_logged(tmp_path: Path) -> None:
    bandit = {
        "strategy": "random",
        "canary": "fixed:good",
        "canary_share": 0.5,
        "shadows": ["fixed:bad", "linucb"],
    }
    log = database(tmp_path / "log.db", **bandit)
    wanted = ["shadow:fixed:good", "shadow:random", "shadow:fixed:bad", "shadow:linucb"]
    found = replay(log, [*wanted, "fixed:good"], embedder="none", progress=False)
    assert value(found, "shadow:fixed:good") == pytest.approx(0.8, abs=0.08)
    assert value(found, "shadow:fixed:bad") == pytest.approx(0.3, abs=0.12)
    assert value(found, "shadow:random") == pytest.approx(0.55, abs=0.08)
    assert value(found, "shadow:linucb") > 0.7
    assert value(found, "shadow:fixed:good") == pytest.approx(value(found, "fixed:good"))


def test_archives_in_parts_tell_what_the_database_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With late feedback in a later file, files that overlap, a failover, models that come."""
    bandit = {"strategy": "random", "shadows": ["fixed:bad"]}
    log, folder = database(tmp_path / "log.db", steps=150, **bandit), tmp_path / "archives"
    with EventStore.open(log) as store:
        router = restore(store)
        late, moved = "d20", "d40"
        _, said = router.judge(Feedback(decision_id=late, reward=0.5, source="late", cost_usd=0.2))
        assert said is not None
        router.apply(said)
        new = router.change("model_set", {"name": "new"})
        router.apply(new)
        other = router.outcome(Outcome(seq=0, time=0, decision_id=moved, model="new"))
        router.apply(other)
        events: list[Any] = [said, new, other]
        for _ in range(30):
            decision = router.decide("hello", vector=np.ones(4))
            router.apply(decision)
            _, said = router.judge(Feedback(decision_id=decision.decision_id, reward=1.0))
            assert said is not None
            router.apply(said)
            events += [decision, said]
        store.append(events)
        everything = store.last_seq()
        archive(store, everything, folder / "whole.parquet")
    table = pq.read_table(folder / "whole.parquet")
    (folder / "whole.parquet").unlink()
    for name, (first, last) in {"c": (0, 90), "b": (80, 250), "a": (170, everything)}.items():
        part = table.slice(first, last - first)
        pq.write_table(part, folder / f"{name}.parquet", row_group_size=37)
    wanted = ["thompson", "shadow:fixed:bad", "length", "fixed:good"]
    quiet = {"embedder": "none", "progress": False}
    monkeypatch.setattr("bandit_router.simulator.partitions._EVENTS", 20)
    monkeypatch.setattr("bandit_router.simulator.archives._ROWS", 40)
    whole = replay(log, wanted, **quiet)
    assert replay(folder, wanted, **quiet) == whole
    assert whole["log"]["decisions"] == 179
    monkeypatch.setattr("bandit_router.simulator.partitions._MANY", 0)
    in_parts = replay(folder, wanted, **quiet)
    one, other = flat(in_parts), flat(whole)
    assert one.keys() == other.keys()
    for key, value_there in other.items():
        if isinstance(value_there, float):
            value_there = pytest.approx(value_there, rel=1e-9, abs=1e-9)
        assert one[key] == value_there, key
    with pytest.raises(InvalidInput, match="no shadow 'lints' in this log; there are"):
        replay(folder, ["shadow:lints"], **quiet)
    order = pq.read_table(folder / "b.parquet").sort_by([("seq", "descending")])
    pq.write_table(order, folder / "b.parquet")
    with pytest.raises(InvalidInput, match=r"b\.parquet: event 249 comes after event 250"):
        replay(folder, ["random"], **quiet)
    pq.write_table(table.slice(0, 1), tmp_path / "none.parquet")
    with pytest.raises(StoreError, match="holds no decision"):
        replay(tmp_path / "none.parquet", ["random"], **quiet)


def test_only_decisions_that_the_shadow_was_asked_about_count(tmp_path: Path) -> None:
    log = database(tmp_path / "log.db", strategy="random", shadows=["fixed:good"])
    with pytest.raises(InvalidInput, match=r"no shadow 'lints'.*random, fixed:good"):
        replay(log, ["shadow:lints"], embedder="none", progress=False)
    with pytest.raises(InvalidInput, match="shadow:llm-judge"):
        replay(log, ["llm-judge"], embedder="none", progress=False)


def test_where_the_probability_is_not_known_only_the_direct_method_speaks(tmp_path: Path) -> None:
    log = database(tmp_path / "log.db", strategy="llm-judge", shadows=["random"])
    found = replay(log, ["shadow:random"], embedder="none", progress=False)
    assert list(found["policies"]["shadow:random"]["estimators"]) == ["dm"]
