"""Other bandits on vectors, if they are installed (extra `peers`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

import numpy as np

ARMS = ("a", "b", "c")
DIMENSIONS = 26  # ParetoBandit's own: 25 components and a constant


class Peer(Protocol):
    """A bandit that decides and learns on its own stream."""

    name: str

    def step(self, number: int) -> tuple[float, float]:
        """Decide and learn once; return what each took, microseconds."""
        ...


class _ParetoBandit:
    name = "paretobandit"

    def __init__(self) -> None:
        from pareto_bandit.feature_service import FeatureService
        from pareto_bandit.router import BanditRouter

        logging.getLogger("pareto_bandit").setLevel(logging.ERROR)
        registry = {
            name: {"input_cost_per_m": 0.1 + i, "output_cost_per_m": 0.4 + i}
            for i, name in enumerate(ARMS)
        }
        self._router = BanditRouter.create(
            model_registry=registry,
            priors="none",
            feature_service=FeatureService.for_precomputed(dimension=DIMENSIONS),
            bandit_seed=0,
        )
        self._contexts, self._rewards = _stream()

    def step(self, number: int) -> tuple[float, float]:
        i = number % len(self._contexts)
        start = perf_counter()
        _, log = self._router.route(self._contexts[i])
        decided = perf_counter()
        self._router.process_feedback(log.request_id, reward=float(self._rewards[i]))
        return 1e6 * (decided - start), 1e6 * (perf_counter() - decided)


class _MabWiser:
    name = "mabwiser_linucb"

    def __init__(self) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        self._mab = MAB(list(ARMS), LearningPolicy.LinUCB(alpha=0.05), seed=0)
        self._contexts, self._rewards = _stream()
        first = [ARMS[i % len(ARMS)] for i in range(30)]
        self._mab.fit(first, self._rewards[:30].tolist(), self._contexts[:30].tolist())

    def step(self, number: int) -> tuple[float, float]:
        i = number % len(self._contexts)
        context = self._contexts[i : i + 1]
        start = perf_counter()
        arm = self._mab.predict(context)
        decided = perf_counter()
        self._mab.partial_fit([arm], [float(self._rewards[i])], context)
        return 1e6 * (decided - start), 1e6 * (perf_counter() - decided)


def _stream() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    contexts = rng.standard_normal((2000, DIMENSIONS))
    contexts[:, -1] = 1.0
    return contexts, rng.random(2000)


def _if_installed(make: Callable[[], Peer]) -> Callable[[], Peer | None]:
    def made() -> Peer | None:
        try:
            return make()
        except ImportError:
            return None

    return made


PEERS = (_if_installed(_ParetoBandit), _if_installed(_MabWiser))
"""Each makes a peer, or None if it is not installed."""
