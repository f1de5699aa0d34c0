"""Poisoned feedback: what 1, 10 and 30 % of adversarial feedback cost, with and without the guard.

    python -m simulations.poison --out simulations/results/poison.json

The stream is the bundled demo's prompts with their recorded outcomes and MiniLM vectors, drawn
with replacement. A share of it is asked for by an adversary, who reports one minus the quality
that it saw; everybody else reports the truth. The adversary is one API key beside four honest
ones (`key`), or one `user` beside forty (`user`). `guarded` is the shipped configuration;
`unguarded` has neither caps nor reliability of sources. Utility is the mean quality of what honest
requests were given; `least` is that of the worst seed.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgspec
import numpy as np
from tqdm import tqdm

from bandit_router import Feedback, Router
from bandit_router.accounts import Terms
from bandit_router.config import Settings
from bandit_router.service.demo.fleet import DemoFleet, demo_config
from bandit_router.types import Request

SHARES = (0.0, 0.01, 0.1, 0.3)
HONEST = {"key": 4, "user": 40}


def play(fleet: DemoFleet, threat: str, share: float, guarded: bool, steps: int, seed: int) -> Any:
    """Return the quality of each honest request of one stream, shape (honest requests,)."""
    config = demo_config()
    feedback = config.settings.feedback
    if not guarded:
        feedback = msgspec.structs.replace(
            feedback, user_cap=None, key_cap=None, estimate_reliability=False
        )
    bandit = msgspec.structs.replace(config.settings.bandit, cost_weight=0.0, seed=seed)
    settings: Settings = msgspec.structs.replace(config.settings, feedback=feedback, bandit=bandit)
    router = Router(config.models, settings=settings)
    voices = [f"honest-{i}" for i in range(HONEST[threat])]
    if threat == "key":
        terms = {voice: Terms(feedback=True) for voice in (*voices, "adversary")}
        router.apply(router.change("keys", {"keys": terms}))
    rng = np.random.default_rng(seed)
    earned = []
    for _ in range(steps):
        prompt = int(rng.integers(len(fleet.prompts)))
        evil = bool(rng.random() < share)
        voice = "adversary" if evil else voices[int(rng.integers(len(voices)))]
        request = Request(key=voice) if threat == "key" else Request(user=voice)
        decision = router.route(vector=fleet.vectors[prompt], request=request)
        quality, _ = fleet.outcomes[prompt, decision.model]
        if not evil:
            earned.append(quality)
        said = 1.0 - quality if evil else quality
        router.feedback(Feedback(decision_id=decision.decision_id, reward=said))
    return np.array(earned)


def study(steps: int, seeds: int) -> list[dict[str, Any]]:
    """Return one row for each threat, share and guard."""
    fleet = DemoFleet()
    cases = [(t, s, g) for t in HONEST for s in SHARES for g in (True, False)]
    rows = []
    for threat, share, guarded in tqdm(cases, disable=None):
        means = [
            float(play(fleet, threat, share, guarded, steps, seed).mean()) for seed in range(seeds)
        ]
        rows.append(
            {
                "threat": threat,
                "share": share,
                "guard": "guarded" if guarded else "unguarded",
                "utility": round(float(np.mean(means)), 4),
                "least": round(min(means), 4),
            }
        )
    return rows


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = study(asked.steps, asked.seeds)
    for row in rows:
        print(
            "{threat:5} {share:5.0%} {guard:10} {utility:.4f} (worst seed {least:.4f})".format(
                **row
            )
        )
    if asked.out:
        found = {"steps": asked.steps, "seeds": asked.seeds, "rows": rows}
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
