"""River 0.26.1's defects that matter to a map, shown on stock River, and absent here."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from river import cluster

from bandit_router.clustering import ClusterMap, DenStream
from bandit_router.clustering.slots import SlotLevel
from bandit_router.config import ClustererSettings


def topic(angle: float, dimension: int = 4) -> np.ndarray:
    out = np.zeros(dimension)
    out[:2] = np.cos(angle), np.sin(angle)
    return out


def features(z: np.ndarray) -> dict[int, float]:
    return dict(enumerate(z.tolist()))


def one_level(name: str, **params: object) -> ClusterMap:
    return ClusterMap(
        ClustererSettings(name=name, resolutions=(0.3,), half_life=5, max_clusters=4, params=params)  # type: ignore[arg-type]
    )


def test_dbstream_reuses_ids_and_the_map_never_does() -> None:
    stock = cluster.DBSTREAM(clustering_threshold=0.3)
    map_ = one_level("dbstream")
    meant: dict[int, set[int]] = defaultdict(set)
    born = []
    stream = [0] * 5 + [0, 0, 0, 0, 0, 0, 0, 0, 1] + [0] * 8 + [2] + [0] * 8 + [3]
    for step, number in enumerate(stream):  # one topic goes on, others come once and die
        stock.learn_one(features(topic(number)))
        if number:
            meant[max(stock.micro_clusters)].add(number)
        events = map_.learn(topic(number), step, 0.0)
        born += [event.cluster for event in events if event.what == "born"]
    assert any(len(numbers) > 1 for numbers in meant.values())
    assert len(born) == len(set(born)) == 4


def test_dbstream_relabels_macro_clusters_and_the_map_never_does() -> None:
    stock = cluster.DBSTREAM(clustering_threshold=0.3, fading_factor=0.1, cleanup_interval=10)
    map_ = one_level("dbstream")
    first, second = topic(0.0), topic(2.0)
    for step, z in enumerate([first] * 5 + [second] * 5):
        stock.learn_one(features(z))
        map_.learn(z, step, 0.0)
    before = stock.predict_one(features(second)), map_.locate(second)
    faded = []
    for step in range(100):  # the first topic dies
        stock.learn_one(features(second))
        faded += [e.cluster for e in map_.learn(second, step, 0.0) if e.what == "faded"]
    assert stock.predict_one(features(second)) != before[0]
    assert len(faded) == 1
    assert map_.locate(second) == before[1]


def test_dbstream_leaves_shared_density_of_the_dead_and_the_map_keeps_none() -> None:
    stock = cluster.DBSTREAM(clustering_threshold=1.0, fading_factor=0.1, cleanup_interval=5)
    map_ = ClusterMap(ClustererSettings(resolutions=(1.0,), half_life=10))
    # Micro-clusters 0 to 3; 2 and 3 share density before 0 and 1 do; then 1 is left to die.
    stream = [0.0, 1.2, 20.0, 21.2, 20.6, 0.6] + [0.0, 20.0, 21.2] * 20
    for step, place in enumerate(stream):
        stock.learn_one({0: place})
        map_.learn(np.array([place]), step, 0.0)
    assert 1 not in stock.micro_clusters
    assert 1 in stock.s[0]
    assert not map_.levels[0].s  # type: ignore[attr-defined]


def test_clustream_overwrites_slots_and_the_map_tells() -> None:
    stock = cluster.CluStream(max_micro_clusters=4, time_gap=10**9, seed=0)
    map_ = one_level("clustream", max_micro_clusters=4, time_gap=10**9)
    births, slots = [], set()
    for step in range(40):
        z = topic(step * 0.7)
        stock.learn_one(features(z))
        slots |= set(stock.micro_clusters)
        births += [e.cluster for e in map_.learn(z, step, 0.0) if e.what == "born"]
    assert slots == {0, 1, 2, 3}  # forty topics, four names
    assert len(births) == len(set(births)) > 4


def test_denstream_loses_micro_clusters_to_colliding_keys_and_the_level_does_not() -> None:
    settings = {"epsilon": 0.2, "n_samples_init": 1, "mu": 3, "beta": 0.5, "stream_speed": 10**6}
    lost = {}
    for name, model in (
        ("stock", cluster.DenStream(**settings)),
        ("exported", DenStream(**settings)),
        ("level", SlotLevel("denstream", settings).slots),
    ):
        for i in range(12):
            for _ in range(3 if i % 3 == 0 else 1):  # some grow up, and leave the outliers
                model.learn_one(features(topic(i * 0.5)))  # type: ignore[union-attr]
        found = [*model.p_micro_clusters.values(), *model.o_micro_clusters.values()]  # type: ignore[union-attr]
        lost[name] = sum(
            all(
                np.linalg.norm(np.array(list(mc.center.values())) - topic(i * 0.5)) > 0.2
                for mc in found
            )
            for i in range(1, 12)
        )
    assert lost["stock"] == lost["exported"] > 0
    assert lost["level"] == 0
