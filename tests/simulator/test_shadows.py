"""What shadows said is evaluated as it was logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit_router import Feedback, Model, Router
from bandit_router.config import parse_config
from bandit_router.exceptions import InvalidInput
from bandit_router.simulator.replay import replay
from bandit_router.store import EventStore

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
