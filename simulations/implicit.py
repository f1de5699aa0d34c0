"""How much learning survives when nobody says anything, and users only try again or go on.

    python -m simulations.implicit TABLE [--seeds 5] [--steps N] [--out implicit.json]

Thompson sampling, its defaults, over one pass of a real table; every voice sees the same prompts
in the same order. An answer of quality q satisfies its user with probability q. What the router is
told of it depends on the voice: the quality itself, always or for one decision in a hundred
(thumbs); or what a user does, who after a bad answer tries again with one probability and
otherwise goes on, leaves, or is misread, see `USERS`. Signals count what they do by default
(`config.SIGNAL_WEIGHTS`).
*Kept* is the share of the gain over choosing at random that telling everything brings.

Compare arXiv 2602.02061, which learns from users who try again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tqdm import tqdm

from bandit_router import Feedback, Router
from bandit_router.simulator import RoutingTable, read_table
from bandit_router.simulator.run import prepare


@dataclass(frozen=True)
class User:
    """Probabilities of what users do.

    `again_bad` and `again_good`: asks the same again after a bad or a good answer; `on_bad` and
    `on_good`: goes on with another question. Otherwise they leave, and nothing is known.
    """

    again_bad: float
    again_good: float
    on_bad: float
    on_good: float


USERS = {
    "implicit, clear users": User(0.6, 0.02, 0.1, 0.6),
    "implicit, noisy users": User(0.4, 0.10, 0.3, 0.5),
    "implicit, hardly any signal": User(0.2, 0.10, 0.4, 0.5),
    "only second tries, noisy users": User(0.4, 0.10, 0.0, 0.0),
}
"""The last one: what if nothing were said of users who go on?"""

VOICES = (
    "every answer is rated",
    "1 % of answers are rated",
    "implicit, clear users",
    "implicit, noisy users",
    "implicit, noisy users, and 1 % rated",
    "implicit, hardly any signal",
    "only second tries, noisy users",
    "nothing",
)
RATED = {"every answer is rated": 1.0, "nothing": 0.0}


def said(voice: str, quality: float, chance: Any) -> list[tuple[str, float]]:
    """Return the sources and rewards that a decision gets.

    Parameters
    ----------
    chance
        Three uniform draws, the same for every voice.
    """
    out = []
    rated = RATED.get(voice, 0.01 if "1 %" in voice else 0.0)
    if chance[0] < rated:
        out.append(("user", quality))
    user = USERS.get(voice.removesuffix(", and 1 % rated"))
    if user is None:
        return out
    good = chance[1] < quality
    again, on = (user.again_good, user.on_good) if good else (user.again_bad, user.on_bad)
    if chance[2] < again:
        out.append(("implicit:retry", 0.0))
    elif chance[2] < again + on:
        out.append(("implicit:moved-on", 1.0))
    return out


def play(voice: str, job: Any, seed: int) -> Any:
    """Return the quality of every step, shape (steps,)."""
    table: RoutingTable = job.table
    bandit = msgspec.structs.replace(job.settings.bandit, seed=seed)
    router = Router(table.models, settings=msgspec.structs.replace(job.settings, bandit=bandit))
    column = {name: i for i, name in enumerate(table.names)}
    order = job.world(seed).order
    chances = np.random.default_rng([seed, 7]).random((len(order), 3))
    out = np.zeros(len(order))
    for step, row in enumerate(tqdm(order, desc=f"{voice}, seed {seed}", leave=False)):
        decision = router.route(vector=job.vectors[row], time=float(step))
        out[step] = table.quality[row, column[decision.model]]
        for source, reward in said(voice, float(out[step]), chances[step]):
            feedback = Feedback(decision_id=decision.decision_id, reward=reward, source=source)
            router.feedback(feedback, time=float(step))
    return out


def study(job: Any, seeds: int) -> dict[str, Any]:
    """Return what every voice comes to."""
    table: RoutingTable = job.table
    runs = {voice: np.stack([play(voice, job, s) for s in range(seeds)]) for voice in VOICES}
    random = float(table.quality.mean())
    full = runs[VOICES[0]].mean() - random
    found = {}
    for voice, quality in runs.items():
        by_seed = quality.mean(axis=1)
        found[voice] = {
            "quality": float(by_seed.mean()),
            "standard_error": float(by_seed.std(ddof=1) / np.sqrt(seeds)) if seeds > 1 else None,
            "last_quarter": float(quality[:, -(quality.shape[1] // 4) :].mean()),
            "kept": float((by_seed.mean() - random) / full),
        }
    return {
        "table": table.name,
        "steps": job.steps,
        "seeds": seeds,
        "random": random,
        "best_single": float(table.quality.mean(axis=0).max()),
        "voices": found,
    }


def markdown(result: dict[str, Any]) -> str:
    """Return the result as a table."""
    lines = ["| what the router is told | quality | last quarter | kept |", "|---|---|---|---|"]
    for voice, row in result["voices"].items():
        error = row["standard_error"] or 0.0
        lines.append(
            f"| {voice} | {row['quality']:.3f} ± {error:.3f} | {row['last_quarter']:.3f} | "
            f"{row['kept']:.0%} |"
        )
    best, random = result["best_single"], result["random"]
    return "\n".join([*lines, f"| *best single model, at random* | {best:.3f}, {random:.3f} | | |"])


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="default: one pass")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    from bandit_router.config import Settings

    job, _ = prepare(
        read_table(args.table),
        ["thompson"],
        models="all",
        steps=args.steps,
        cost_weight=0.0,
        budget=None,
        scenario="stationary",
        embedder=args.embedder,
        train=0,
        settings=Settings(),
        progress=True,
    )
    result = study(job, args.seeds)
    print(markdown(result))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
