"""Make what is made once before anybody waits for it: ``python -m`` this module.

Machine code for what runs at every decision, and the 8-bit weights of the default embedder.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from .config import BanditSettings, Settings
from .embedding import make_embedder, shipped_projection
from .router import Router
from .types import Model, Request


def precompile() -> None:
    """Route and learn a few prompts in memory, so that everything compiled is compiled.

    What was compiled on this machine before is only loaded.
    """
    models = [Model(name=name, input_usd_per_m=1.0, output_usd_per_m=1.0) for name in "ab"]
    for strategy in ("thompson", "global-thompson"):
        settings = Settings(bandit=BanditSettings(strategy=strategy))
        router = Router(models, settings=settings)
        projection = shipped_projection(settings.embedder.name)
        size = projection.mean.size if projection else 2
        vectors = np.random.default_rng(0).standard_normal((4, size)).astype(np.float32)
        for vector in vectors:
            decision = router.route(vector=vector, request=Request(cost_weight=0.1))
            router.feedback(decision.decision_id, 1.0, cost_usd=0.01, latency_ms=1.0)


def prepare_embedder() -> None:
    """Let the default embedder write what it writes once, where it does."""
    if find_spec("onnxruntime") is not None:
        make_embedder(Settings().embedder).encode(["once"])


if __name__ == "__main__":
    precompile()
    prepare_embedder()
