"""Whatever the stream does: ids last, lineage tells all, and evidence is conserved."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_router import Router
from bandit_router.clustering import WHOLE
from bandit_router.config import ClustererSettings, Settings
from bandit_router.policies import ThompsonPolicy
from bandit_router.types import LineageEvent

DIMENSION = 6
NAMES = ("dbstream", "kmeans", "streamkmeans", "clustream", "denstream")
PARAMS = {"streamkmeans": {"chunk_size": 3}, "clustream": {"time_window": 15}}

moves = st.lists(
    st.tuples(
        st.sampled_from(["again", "burst", "jump", "outliers", "equal", "chain", "silence"]),
        st.integers(0, 2**31),
        st.integers(1, 7),
    ),
    max_size=25,
)


def play(found: list[tuple[str, int, int]]) -> list[np.ndarray]:
    """The vectors of a hostile stream."""
    out: list[np.ndarray] = []
    here = np.eye(DIMENSION)[0]
    for kind, seed, times in found:
        rng = np.random.default_rng(seed)
        if kind in ("jump", "chain"):
            here = rng.standard_normal(DIMENSION)
        for step in range(3 * times if kind == "silence" else times):
            if kind == "outliers":
                here = 50.0 * rng.standard_normal(DIMENSION)
            elif kind == "burst":
                here = here + 0.1 * np.linalg.norm(here) * rng.standard_normal(DIMENSION)
            elif kind == "equal":
                here = np.ones(DIMENSION)
            elif kind == "chain":  # a walk: each step within reach of the one before
                here = here + 0.4 * np.linalg.norm(here) * np.eye(DIMENSION)[step % DIMENSION]
            elif kind == "silence":  # for the others
                here = np.eye(DIMENSION)[-1]
            out.append(here + 1e-9)
    return out


class Tree:
    """What the lineage events alone tell."""

    def __init__(self) -> None:
        self.parents: dict[int, int] = {}
        self.heirs: dict[int, int] = {}

    def follow(self, event: LineageEvent) -> None:
        if event.what == "born":
            assert event.cluster > max([*self.parents, *self.heirs], default=0)
            self.parents[event.cluster] = event.other
        elif event.what in ("merged", "faded"):
            del self.parents[event.cluster]
            self.heirs[event.cluster] = event.other
        elif event.what == "moved":
            assert event.cluster in self.parents
            self.parents[event.cluster] = event.other
        else:
            assert event.what in ("split", "drifted")
            assert event.cluster in self.parents

    def heir(self, id_: int) -> int:
        while id_ in self.heirs:
            id_ = self.heirs[id_]
        return id_


def router_of(name: str) -> Router:
    clusterer = ClustererSettings(
        name=name,  # type: ignore[arg-type]
        resolutions=(1.1, 0.7),
        max_clusters=4,
        half_life=12,
        params=PARAMS.get(name, {}),
    )
    return Router(["a", "b"], embedder="none", settings=Settings(clusterer=clusterer))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(moves)
def test_over_any_stream_lineage_tells_all_and_evidence_is_conserved(
    name: str, found: list[tuple[str, int, int]]
) -> None:
    router, tree = router_of(name), Tree()
    policy = router.policy
    assert isinstance(policy, ThompsonPolicy)
    assert policy.map is not None
    said: list[tuple[tuple[int, ...], float]] = []
    waiting: list[tuple[str, tuple[int, ...], float]] = []
    for step, vector in enumerate(play(found)):
        decision = router.decide(vector=vector)
        for event in router.apply(decision):
            tree.follow(event)
        waiting.append((decision.decision_id, decision.path, 0.5 + step % 3))
        if step % 2:  # late, out of order, some never
            id_, path, weight = waiting.pop(step % len(waiting))
            router.feedback(id_, 1.0, weight=weight)
            said.append((path, weight))
    places = policy.map.places()
    check_tree(policy, tree)
    check_evidence(policy, said)
    assert {place.id for place in places} == set(tree.parents)


def check_tree(policy: ThompsonPolicy, tree: Tree) -> None:
    """Every parent lives one level up; every id leads where the events say."""
    assert policy.map is not None
    level_of = {place.id: place.level for place in policy.map.places()}
    for place in policy.map.places():
        assert place.parent == tree.parents[place.id]
        assert place.parent == WHOLE or level_of[place.parent] == place.level - 1
    for id_ in [*tree.parents, *tree.heirs]:
        assert policy.map.heir(id_) == tree.heir(id_)


def check_evidence(policy: ThompsonPolicy, said: list[tuple[tuple[int, ...], float]]) -> None:
    """Each feedback rests in exactly one place, and each level holds it once, at its heir."""
    assert policy.map is not None
    posterior = policy.posterior
    assert posterior.total.sum() == pytest.approx(sum(weight for _, weight in said))
    places = policy.map.places()
    for depth in range(len(policy.map.levels)):
        held: Counter[int] = Counter()
        for path, weight in said:
            held[policy.map.lineage.heirs(path)[depth]] += weight
        held.pop(WHOLE, None)
        here = {p.id: float(posterior.evidence(p.id).sum()) for p in places}
        here = {p.id: here[p.id] for p in places if p.level == depth and here[p.id]}
        assert here == pytest.approx(dict(held))
    resting: Counter[int] = Counter()
    for path, weight in said:
        heirs = [id_ for id_ in policy.map.lineage.heirs(path) if id_]
        resting[heirs[-1] if heirs else WHOLE] += weight
    assert set(resting) <= {WHOLE, *(place.id for place in places)}
    assert sum(resting.values()) == pytest.approx(posterior.total.sum())


def test_a_region_that_takes_over_clusters_has_split() -> None:
    router = router_of("dbstream")
    rng = np.random.default_rng(0)
    seen: Counter[str] = Counter()
    for step in range(600):
        angle = step / 60  # topics wander, so borders between regions do
        vector = np.zeros(DIMENSION)
        vector[:2] = np.cos(angle + step % 2), np.sin(angle + step % 2)
        vector += 0.25 * rng.standard_normal(DIMENSION)
        decision = router.decide(vector=vector)
        for event in router.apply(decision):
            seen[event.what] += 1
            assert event.cause
    assert {"born", "merged", "moved"} <= set(seen)
    assert seen["split"]
