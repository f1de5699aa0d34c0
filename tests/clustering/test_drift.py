"""A region that doubles or empties is told; steady traffic is not."""

from __future__ import annotations

import numpy as np

from bandit_router.clustering import ClusterMap
from bandit_router.codec import decode_state, encode_state
from bandit_router.config import ClustererSettings
from bandit_router.types import LineageEvent

TOPICS = 10


def played(map_: ClusterMap, shares: list[float], steps: int, seed: int) -> list[LineageEvent]:
    rng = np.random.default_rng(seed)
    told: list[LineageEvent] = []
    for step, topic in enumerate(rng.choice(TOPICS, p=np.array(shares) / sum(shares), size=steps)):
        z = np.eye(TOPICS)[topic] + 0.05 * rng.standard_normal(TOPICS)
        events = map_.learn(z / np.linalg.norm(z), step + 1, 0.0)
        told += [event for event in events if event.what == "drifted"]
    return told


def test_steady_traffic_drifts_nowhere() -> None:
    assert not played(ClusterMap(ClustererSettings()), [1.0] * TOPICS, 20_000, seed=1)


def test_a_share_that_doubles_and_one_that_empties_are_told() -> None:
    map_ = ClusterMap(ClustererSettings())
    even = [1.0] * TOPICS
    assert not played(map_, even, 4000, seed=2)
    doubling, emptying = (map_.locate(np.eye(TOPICS)[i])[0] for i in (3, 4))
    told = played(map_, [1, 1, 1, 2.2, 0, 1, 1, 1, 1, 1], 2500, seed=3)
    by_cluster = {event.cluster: event for event in told}
    assert {doubling, emptying} <= set(by_cluster)
    assert by_cluster[doubling].cause.startswith("its share of prompts went from")
    assert all(event.level == 0 for event in told)


def test_the_watch_goes_on_from_its_state() -> None:
    map_, copy = (ClusterMap(ClustererSettings()) for _ in range(2))
    played(map_, [1.0] * TOPICS, 2050, seed=4)
    copy.load(decode_state(encode_state(map_.state())))
    shares = [1.0, 1.0, 6.0, *[1.0] * 7]
    assert played(copy, shares, 3000, seed=5) == played(map_, shares, 3000, seed=5) != []
    assert encode_state(copy.state()) == encode_state(map_.state())
