"""Make what is made once before anybody waits for it: ``bandit-router precompile``.

Machine code for what runs at every decision, and the 8-bit weights of the default embedder.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from threading import Event, Lock, get_ident
from time import perf_counter
from typing import Any

import numpy as np
from numba.core.event import Listener, install_listener

from .config import BanditSettings, EmbedderSettings, Settings
from .embedding import make_embedder, shipped_projection
from .router import Router
from .types import Model, Request

log = logging.getLogger(__name__)

_ONE = Lock()  # numba compiles for one thread at a time


@dataclass(frozen=True, slots=True)
class Precompiled:
    """What `precompile` has done: functions compiled (the others were loaded), and how long."""

    compiled: int
    seconds: float


class Stopped(Exception):
    """What is compiled is not needed any more."""


class _Compiling(Listener):
    """Counts the functions that this thread compiles, and begins none once it is to stop."""

    def __init__(self, stop: Event) -> None:
        self.count = 0
        self._stop = stop
        self._thread = get_ident()

    def on_start(self, _: Any) -> None:
        """Begin a function."""
        if get_ident() != self._thread:
            return
        if self._stop.is_set():
            raise Stopped
        self.count += 1

    def on_end(self, _: Any) -> None:
        """End a function."""


def precompile(settings: Settings | None = None, stop: Event | None = None) -> Precompiled:
    """Compile what decisions and feedback run, so that none of them waits for it.

    A few prompts are routed and learnt in memory. What was compiled on this machine before is only
    loaded: ten to fifteen seconds of one core become a few tenths.

    Parameters
    ----------
    settings
        Of the router that is to be fast; None: the defaults.
    stop
        Once set, it ends after the function that is being compiled.

    Raises
    ------
    Stopped
        If there was more to compile then.

    Examples
    --------
    >>> from bandit_router.precompile import precompile
    >>> done = precompile()
    >>> precompile().compiled
    0
    """
    with _ONE:
        made, start = _Compiling(stop or Event()), perf_counter()
        with install_listener("numba:compile", made):
            for strategy, arms in product(("thompson", "global-thompson"), ("ab", "a")):
                _play(Settings() if settings is None else settings, strategy, arms)
    done = Precompiled(compiled=made.count, seconds=perf_counter() - start)
    if done.compiled:
        log.warning("compiled %d functions in %.1f s", done.compiled, done.seconds)
    return done


def _play(like: Settings, strategy: str, arms: str) -> None:
    bandit = BanditSettings(strategy=strategy, pooling=like.bandit.pooling)
    settings = Settings(bandit=bandit, clusterer=like.clusterer, embedder=like.embedder)
    models = [Model(name=name, input_usd_per_m=1.0, output_usd_per_m=1.0) for name in arms]
    router = Router(models, settings=settings)
    projection = shipped_projection(settings.embedder.name)
    size = projection.mean.size if projection else 2
    vectors = np.random.default_rng(0).standard_normal((4, size)).astype(np.float32)
    for vector in vectors:
        decision = router.route(vector=vector, request=Request(cost_weight=0.1))
        router.feedback(decision.decision_id, 1.0, cost_usd=0.01, latency_ms=1.0)


def prepare_embedder(embedder: EmbedderSettings) -> None:
    """Let an embedder that is packaged compile or write what it does once."""
    default = embedder == EmbedderSettings() and find_spec("onnxruntime") is not None
    if default or embedder.name == "static":
        make_embedder(embedder).encode(["once"])


if __name__ == "__main__":
    precompile()
    for name in ("minilm", "static"):
        prepare_embedder(EmbedderSettings(name=name))
