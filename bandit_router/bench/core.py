"""The router by itself, from a vector, beside peers on the same stream in the same run.

Ours: 384 dimensions, 8 arms, 256 clusters, the defaults. The map's own update and the
propensities are counted apart from the decision, which for that goes step by step; every other
fifty are made at once, as they are served, and counted with their propensities. ParetoBandit and
MABWiser (extra `peers`) get what is cheap for them, 26 dimensions and 3 arms; ours is also timed
with 3 arms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import product
from time import perf_counter
from typing import Any

import numpy as np

from ..bandits.belief import UtilityBelief
from ..bandits.thompson import propensities
from ..config import ClustererSettings, Settings
from ..embedding import shipped_projection
from ..policies import thompson
from ..router import Router
from ..types import Decision, Feedback, Model
from .peers import PEERS, Peer
from .run import Run

Times = dict[str, list[float]]
CLUSTERS = (16, 256, 1024, 4096)
ARMS = (2, 20, 200)
EVENTS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_MONTE_CARLO = 1000
_LONGEST_S = 1800.0
"""What it may take to come to a number of events in `growth`."""

_TURN = 50
"""Steps of each before the next has its turn: long enough for the processor's caches to warm."""


def figures(run: Run) -> dict[str, float]:
    """Return medians in microseconds, and ratios to peers."""
    out: dict[str, float] = {}
    for arms in (8, 3):
        run(f"decide and learn: 256 clusters, {arms} arms, 384 dimensions")
        router, vectors = prepared(256, arms)
        peers = [peer for make in PEERS if (peer := make()) is not None] if arms == 3 else []
        spent = timed(router, vectors, run.steps, peers)
        suffix = "" if arms == 8 else f"_{arms}_arms"
        out |= {f"{name}_us{suffix}": float(np.median(t)) for name, t in spent.items() if t}
        if not suffix:
            out["decide_us_p99"] = float(np.quantile(spent["decide"], 0.99))
            out["clusters"] = float(len(router.clusters()))
        for peer in peers:
            for what in ("decide", "learn"):
                theirs = out[f"{peer.name}_{what}_us_3_arms"]
                out[f"{peer.name}_{what}_ratio"] = theirs / out[f"{what}_us_3_arms"]
    return out | _propensities(run)


def prepared(clusters: int, arms: int) -> tuple[Router, Any]:
    """Return a router whose map is as large as asked, and a stream of vectors over it."""
    router, vectors = untaught(clusters, arms), stream(clusters)
    rng = np.random.default_rng(0)
    for vector in vectors[:clusters]:
        _feed(router, router.route(vector=vector), rng)
    return router, vectors[clusters:]


def untaught(clusters: int, arms: int) -> Router:
    """Return a router whose map may grow so large."""
    clusterer = ClustererSettings(resolutions=(1.1, 0.25), max_clusters=max(clusters, 2))
    models = [
        Model(name=f"m{i}", input_usd_per_m=0.1 + i, output_usd_per_m=0.4 + i) for i in range(arms)
    ]
    return Router(models, settings=Settings(clusterer=clusterer))


def stream(clusters: int) -> Any:
    """Return vectors around topics, first one of each, shape (clusters + 3,000, 384).

    Topics are spread in the map's own space, so that as many clusters are found as there are.
    """
    projection = shipped_projection("minilm")
    assert projection is not None
    rng = np.random.default_rng(0)
    dimensions = Settings().clusterer.dimensions
    centers = rng.standard_normal((clusters, dimensions))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    order = np.concatenate([np.arange(clusters), rng.integers(clusters, size=3000)])
    places = centers[order] + 0.02 * rng.standard_normal((len(order), dimensions))
    vectors = (places @ projection.components[:dimensions]).astype(np.float32)
    return vectors + projection.mean.astype(np.float32)


def timed(router: Router, vectors: Any, steps: int, peers: list[Peer] | None = None) -> Times:
    """Let the router decide and learn, peers in turn with it; return microseconds of each step."""
    spent: Times = defaultdict(list)
    rng = np.random.default_rng(1)
    for step in range(steps):
        vector = vectors[step % len(vectors)]
        step_by_step = step // _TURN % 2 == 0
        with _propensities_apart() if step_by_step else nullcontext() as apart:
            start = perf_counter()
            decision = router.decide(vector=vector)
            decided = perf_counter()
        router.apply(decision)
        mapped = perf_counter()
        said = Feedback(decision_id=decision.decision_id, reward=float(rng.random()))
        begun = perf_counter()
        _, event = router.judge(said)
        assert event is not None
        router.apply(event)
        learnt = perf_counter()
        if apart is None:
            spent["decide_at_once"].append(1e6 * (decided - start))
        else:
            spent["decide"].append(1e6 * (decided - start - sum(apart)))
            spent["propensity"].append(1e6 * sum(apart))
        spent["map_update"].append(1e6 * (mapped - decided))
        spent["learn"].append(1e6 * (learnt - begun))
        if (step + 1) % _TURN == 0:
            for peer, number in product(peers or [], range(step + 1 - _TURN, step + 1)):
                decide, learn = peer.step(number)
                spent[f"{peer.name}_decide"].append(decide)
                spent[f"{peer.name}_learn"].append(learn)
    return spent


def _feed(router: Router, decision: Decision, rng: np.random.Generator) -> None:
    router.feedback(decision.decision_id, float(rng.random()), cost_usd=1e-3, latency_ms=100.0)


@contextmanager
def _propensities_apart() -> Iterator[list[float]]:
    """Note what the propensities take, seconds, while the router decides step by step."""
    spent: list[float] = []
    policy = vars(thompson)
    original, at_once = policy["propensities"], policy["sampled"]

    def measured(*args: Any) -> Any:
        start = perf_counter()
        found = original(*args)
        spent.append(perf_counter() - start)
        return found

    policy.update(propensities=measured, sampled=lambda *_: None)
    try:
        yield spent
    finally:
        policy.update(propensities=original, sampled=at_once)


def _propensities(run: Run) -> dict[str, float]:
    """Propensities of 8 arms beside a Monte Carlo estimate, and how far each is off."""
    run("propensities of 8 arms, beside Monte Carlo with 1,000 draws in numpy")
    rng = np.random.default_rng(2)
    spent: Times = {"ours": [], "monte_carlo": []}
    error: dict[str, float] = {"ours": 0.0, "monte_carlo": 0.0}
    eligible = np.ones(8, dtype=np.bool_)
    for trial in range(300):
        mean, var = rng.normal(0.6, 0.05, 8), rng.uniform(1e-4, 4e-3, 8)
        belief = UtilityBelief(np.stack([mean, var]))
        sd = np.sqrt(var)

        def draws(number: int, mean: Any = mean, sd: Any = sd) -> Any:
            best = (mean + sd * rng.standard_normal((number, 8))).argmax(axis=1)
            return np.bincount(best, minlength=8) / number

        ways: dict[str, Callable[[], Any]] = {
            "ours": partial(propensities, belief, eligible),
            "monte_carlo": partial(draws, _MONTE_CARLO),
        }
        truth = draws(1_000_000) if trial % 30 == 0 else None
        for name, way in ways.items():
            start = perf_counter()
            found = way()
            spent[name].append(1e6 * (perf_counter() - start))
            if truth is not None:
                error[name] = max(error[name], float(np.abs(found - truth).max()))
    ours, theirs = (float(np.median(spent[name])) for name in ("ours", "monte_carlo"))
    return {
        "propensity_alone_us": ours,
        "propensity_monte_carlo_us": theirs,
        "propensity_ratio": theirs / ours,
        "propensity_error": error["ours"],
        "propensity_monte_carlo_error": error["monte_carlo"],
    }


def growth(run: Run) -> dict[str, float]:
    """Cost of a decision against clusters, arms and events.

    Every event is really folded; only at each mark are some timed. A mark that would take longer
    than half an hour is left out.
    """
    out: dict[str, float] = {}
    steps = min(run.steps, 600)
    for clusters in CLUSTERS:
        run(f"growth: {clusters} clusters")
        router, vectors = prepared(clusters, 8)
        out |= _medians(timed(router, vectors, steps), f"clusters_{clusters}")
    for arms in ARMS:
        run(f"growth: {arms} arms")
        router, vectors = prepared(64, arms)
        out |= _medians(timed(router, vectors, steps), f"arms_{arms}")
    router, vectors = prepared(256, 8)
    marks = [n for n in EVENTS if n <= run.events]
    rng, begun = np.random.default_rng(3), perf_counter()
    for mark in marks:
        expected = (perf_counter() - begun) * mark / max(router.seq, 1)
        if expected > _LONGEST_S:
            run(f"growth: {mark:,} events would take {expected / 60:.0f} minutes: left out")
            break
        run(f"growth: {mark:,} events")
        while router.seq < mark - 2 * steps:
            _feed(router, router.route(vector=vectors[router.seq % len(vectors)]), rng)
        out |= _medians(timed(router, vectors, min(steps, mark // 4)), f"events_{mark}")
        out[f"growth_state_bytes_events_{mark}"] = float(len(router.snapshot()))
    return out


def _medians(spent: Times, at: str) -> dict[str, float]:
    return {f"growth_{what}_us_{at}": float(np.median(times)) for what, times in spent.items()}
