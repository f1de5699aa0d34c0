"""Clusters keep their identity whatever the stream does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_router.clustering import WHOLE, ClusterMap
from bandit_router.clustering.level import DbstreamLevel
from bandit_router.codec import decode_state, encode_state
from bandit_router.config import ClustererSettings
from bandit_router.exceptions import ConfigError

NAMES = ("dbstream", "kmeans", "streamkmeans", "clustream", "denstream")


def unit_vectors(n: int, dimension: int = 8, topics: int = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((topics, dimension))
    out = centers[rng.integers(topics, size=n)] + 0.4 * rng.standard_normal((n, dimension))
    return out / np.linalg.norm(out, axis=1, keepdims=True)


@pytest.mark.parametrize("name", NAMES)
def test_any_river_clusterer_can_be_the_finest_level(name: str) -> None:
    map_ = ClusterMap(ClustererSettings(name=name))
    for step, z in enumerate(unit_vectors(400)):
        map_.learn(z, step, 0.0)
    places = map_.places()
    finest = {place.id for place in places if place.level == len(map_.levels) - 1}
    path = map_.locate(unit_vectors(1, seed=0)[0])
    assert path[-1] in finest
    assert all(map_.heir(id_) == id_ for id_ in finest)
    parents = {place.id for place in places} | {WHOLE}
    assert all(place.parent in parents for place in places)


@pytest.mark.parametrize("name", NAMES)
def test_no_id_is_handed_out_twice_and_every_death_is_told(name: str) -> None:
    params = {"mu": 2, "beta": 1.0} if name == "denstream" else {}
    map_ = ClusterMap(ClustererSettings(name=name, max_clusters=6, half_life=60, params=params))
    born: list[int] = []
    dead: set[int] = set()
    for step, z in enumerate(unit_vectors(600, topics=30, seed=1)):
        for event in map_.learn(z, step, 0.0):
            if event.what == "born":
                born.append(event.cluster)
            elif event.what in ("merged", "faded"):
                dead.add(event.cluster)
    assert born == sorted(set(born))
    assert {place.id for place in map_.places()} == set(born) - dead
    for id_ in born:
        heir = map_.heir(id_)
        assert heir == WHOLE or heir in set(born) - dead


def test_the_id_of_a_cluster_about_to_be_born_is_foretold() -> None:
    map_ = ClusterMap(ClustererSettings())
    for step, z in enumerate(unit_vectors(300, topics=40)):
        path = map_.locate(z)
        map_.learn(z, step, 0.0)
        assert [map_.heir(id_) for id_ in path] == list(path)


def test_before_anything_is_learnt_slots_place_nothing() -> None:
    map_ = ClusterMap(ClustererSettings(name="kmeans"))
    assert map_.locate(unit_vectors(1)[0])[-1] == WHOLE


@pytest.mark.parametrize("name", NAMES)
def test_who_looks_at_the_map_does_not_change_how_it_goes_on(name: str) -> None:
    states = []
    for looks in (False, True):
        map_ = ClusterMap(ClustererSettings(name=name))
        for step, z in enumerate(unit_vectors(1000, dimension=24, topics=150)):
            if looks:
                map_.survey(z, 0.3)
                map_.places()
            map_.learn(z, step, 0.0)
        states.append(encode_state(map_.state()))
    assert states[0] == states[1]


@pytest.mark.parametrize("name", NAMES)
def test_machine_code_sees_the_clusters_that_live_now(name: str) -> None:
    map_ = ClusterMap(ClustererSettings(name=name, max_clusters=12, half_life=60))
    for step, z in enumerate(unit_vectors(600, dimension=24, topics=60)):
        map_.learn(z, step, 0.0)
        map_.survey(z, 0.3)
        assert map_._live is not None
        now = [array for level in map_.levels for array in level.live()]
        seen = map_._live.arrays[-len(now) :]
        for a, b in zip(seen, now, strict=True):
            assert np.array_equal(a, b)
            # Of a level that may change unseen it is what was so when it was looked at.
            assert np.shares_memory(a, b) or not map_._steady
        for level in map_.levels:
            if isinstance(level, DbstreamLevel):
                matrix = level._matrix
                columns = ("_centers", "_rough", "_half", "_dirty", "_weights", "_updated", "_near")
                for name_, array in zip(columns, matrix._handed.arrays, strict=True):
                    assert array is getattr(matrix, name_)


def test_locating_changes_nothing() -> None:
    map_ = ClusterMap(ClustererSettings())
    vectors = unit_vectors(200)
    for step, z in enumerate(vectors):
        map_.learn(z, step, 0.0)
    before = encode_state(map_.state())
    for z in unit_vectors(50, seed=9, topics=50):
        map_.locate(z)
        map_.places()
    assert encode_state(map_.state()) == before


hostile = st.lists(
    st.tuples(
        st.sampled_from(["repeat", "near", "jump", "zero"]),
        st.integers(0, 2**31),
        st.integers(1, 8),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(hostile)
def test_hostile_streams_keep_the_bound_and_the_lineage(moves: list) -> None:
    map_ = ClusterMap(ClustererSettings(max_clusters=5, half_life=30))
    z = np.eye(6)[0]
    step, born, dead = 0, set(), set()
    for kind, seed, times in moves:
        rng = np.random.default_rng(seed)
        if kind == "jump":
            z = rng.standard_normal(6)
            z /= np.linalg.norm(z)
        elif kind == "zero":
            z = np.zeros(6)
        for _ in range(times):
            if kind == "near":
                z = z + 0.2 * rng.standard_normal(6)
            step += 1
            for event in map_.learn(z, step, 0.0):
                if event.what in ("born", "merged", "faded"):
                    (born if event.what == "born" else dead).add(event.cluster)
    places = map_.places()
    assert {place.id for place in places} == born - dead
    for level in range(3):
        assert sum(place.level == level for place in places) <= 5
    copy = ClusterMap(ClustererSettings(max_clusters=5, half_life=30))
    copy.load(decode_state(encode_state(map_.state())))
    assert copy.locate(z) == map_.locate(z)
    assert copy.learn(z, step, 0.0) == map_.learn(z, step, 0.0)
    assert encode_state(copy.state()) == encode_state(map_.state())


def test_a_rare_topic_survives_until_it_returns() -> None:
    map_ = ClusterMap(ClustererSettings(half_life=1000))
    rare = np.eye(8)[7]
    map_.learn(rare, 0, 0.0)
    home = map_.locate(rare)
    crowd = unit_vectors(900)
    crowd[:, 7] = 0.0
    for step, z in enumerate(crowd / np.linalg.norm(crowd, axis=1, keepdims=True)):
        map_.learn(z, step, 0.0)
    assert map_.locate(rare) == home


def test_with_fading_by_time_silence_fades_and_a_crowd_does_not() -> None:
    map_ = ClusterMap(ClustererSettings(fading="time", half_life=3600))
    quiet, loud = np.eye(8)[7], np.eye(8)[0]
    map_.learn(quiet, 0, 1_790_000_000.0)
    home = map_.locate(quiet)
    for step in range(5000):  # a thousand half-lives, were they prompts and not seconds
        map_.learn(loud, step, 1_790_000_000.0 + 0.1 * step)
    assert map_.locate(quiet) == home
    copy = ClusterMap(ClustererSettings(fading="time", half_life=3600))
    copy.load(decode_state(encode_state(map_.state())))
    events = map_.learn(loud, 5000, 1_790_010_000.0)
    assert {e.cluster for e in events if e.what == "faded"} == set(home)
    assert copy.learn(loud, 5000, 1_790_010_000.0) == events
    assert map_.heir(home[-1]) == WHOLE


@pytest.mark.parametrize("name", ["dbstream", "clustream", "denstream"])
def test_new_traffic_opens_a_new_cluster_within_a_handful_of_prompts(name: str) -> None:
    map_ = ClusterMap(ClustererSettings(name=name))
    old = unit_vectors(500)
    old[:, 7] = 0.0
    for step, z in enumerate(old):
        map_.learn(z, step, 0.0)
    before = map_.next_id
    rng = np.random.default_rng(5)
    for step in range(5):
        z = np.eye(8)[7] + 0.05 * rng.standard_normal(8)
        map_.learn(z / np.linalg.norm(z), 500 + step, 0.0)
    assert map_.locate(np.eye(8)[7])[-1] >= before


def test_the_dead_free_memory() -> None:
    map_ = ClusterMap(ClustererSettings(resolutions=(0.3,), half_life=50))
    for step, z in enumerate(unit_vectors(3000, topics=3000)):
        map_.learn(z, step, 0.0)
    for step in range(200):
        map_.learn(np.eye(8)[0], 3000 + step, 0.0)
    assert len(map_.places()) == 1
    assert len(map_.levels[0]._matrix._ids) <= 64  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "params", "field"),
    [
        ("kmeans", {"clusters": 3}, "clusterer.params.clusters"),
        ("dbstream", {"epsilon": 3}, "clusterer.params.epsilon"),
        ("denstream", {"beta": 7}, "clusterer.params"),
        ("streamkmeans", {"chunks": 7}, "clusterer.params.chunks"),
        ("clustream", {"max_micro_clusters": 2000}, "clusterer.params.max_micro_clusters"),
        ("kmeans", {"n_clusters": 0}, "clusterer.params.n_clusters"),
    ],
)
def test_parameters_that_river_does_not_take_are_named(name, params, field) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError) as caught:
        ClusterMap(ClustererSettings(name=name, params=params))
    assert caught.value.field == field


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("before", [0, 3, 350])
def test_a_map_goes_on_from_its_state(name: str, before: int) -> None:
    params = {"n_samples_init": 40, "mu": 4} if name == "denstream" else {}
    settings = ClustererSettings(name=name, max_clusters=12, half_life=60, params=params)
    map_, copy = ClusterMap(settings), ClusterMap(settings)
    vectors = unit_vectors(before + 300, topics=30, seed=2)
    for step in range(before):
        map_.learn(vectors[step], step, 0.0)
    copy.load(decode_state(encode_state(map_.state())))
    for step in range(before, len(vectors)):
        assert copy.locate(vectors[step]) == map_.locate(vectors[step])
        assert copy.learn(vectors[step], step, 0.0) == map_.learn(vectors[step], step, 0.0)
    assert encode_state(copy.state()) == encode_state(map_.state())


@pytest.mark.parametrize("name", NAMES)
def test_every_clusterer_keeps_the_bound(name: str) -> None:
    map_ = ClusterMap(ClustererSettings(name=name, max_clusters=7))
    for step, z in enumerate(unit_vectors(300, topics=200, seed=3)):
        map_.learn(z, step, 0.0)
        for level in map_.levels:
            assert len(level.view()[0]) <= 7


@pytest.mark.parametrize("timed", [False, True])
def test_who_holds_a_vector_once_it_is_learnt_is_who_it_is_located_in(timed: bool) -> None:
    rng, ids = np.random.default_rng(8), iter(range(1, 10**6))
    level = DbstreamLevel(0.5, half_life=20, max_clusters=12, timed=timed)
    noted = 0
    for step in range(2000):
        z = rng.normal(size=3)
        z /= np.linalg.norm(z)
        noted += level.learn(z, lambda: next(ids), 0.5 * step) is not None
        assert level.holder(z) == level.locate(z)
    assert 0 < noted < 2000
