"""Prompts made from a few templates lie close together: the map sees one place, and must not be
all that tells the models apart."""

from __future__ import annotations

import numpy as np

from bandit_router import Feedback, Router
from bandit_router.config import BanditSettings, Settings

TEMPLATES = {
    "sums": ("What is {a} plus {b}?", "Compute {a} times {b}.", "Solve {a}x = {b} for x."),
    "code": ("Write a Python loop from {a} to {b}.", "Fix this Python: print({a} + {b}"),
    "verse": ("Write a haiku on {a} birds.", "Write a limerick about {a} men and {b} boats."),
}


def test_the_model_for_a_template_is_found_though_the_map_is_one_place() -> None:
    rng = np.random.default_rng(0)
    best = dict(zip(TEMPLATES, ("ada", "bob", "cyd"), strict=True))
    router = Router(
        list(best.values()), embedder="static", settings=Settings(bandit=BanditSettings(seed=1))
    )
    tasks = rng.choice(list(TEMPLATES), size=900)
    right = []
    for task in tasks.tolist():
        a, b = rng.integers(2, 99, size=2)
        decision = router.route(str(rng.choice(TEMPLATES[task])).format(a=a, b=b))
        right.append(decision.model == best[task])
        reward = float(rng.random() < (0.9 if right[-1] else 0.4))
        router.feedback(Feedback(decision_id=decision.decision_id, reward=reward))
    assert np.mean(right[600:]) > 0.9  # of what is one in three by chance
