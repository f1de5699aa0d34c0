"""At the edge of the plan: a million decisions a second, a thousand tenants, three regions.

    python -m simulations.edge simulations/tables/ulab14

Two things are simulated (docs/edge.md). *Placement*: tenants' shares of the traffic fall off as
1 / rank; what a decision and a folded event cost is measured here and now on one core, with the
table's own prompts; tenants are put onto learners largest first, each on the first that has room;
no learner is filled beyond 60 %. *Thinning*: a tenant whose events are more than a learner can
fold has only every n-th of its decisions, drawn by its id, folded with its feedback; the study
plays a stream at several shares and tells what it costs beside folding all.

Writes ``results/edge.json`` and ``.md``.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgspec
import numpy as np
from numpy.typing import NDArray

from bandit_router import Feedback, Router, codec
from bandit_router.config import EmbedderSettings, Settings
from bandit_router.embedding import make_embedder
from bandit_router.simulator import read_table

from .harness import grid, keep, on_all_cores, parser_of

SETTINGS = Settings(embedder=EmbedderSettings(name="static"))
DECISIONS = 1_000_000.0  # a second
TENANTS = 1_000
REGIONS = 3
FEEDBACK = 0.3  # of the decisions are told how good they were
FULL = 0.6  # of a core is used at most
STEPS = 3_000
SHARES = (1.0, 0.5, 0.2, 0.1, 0.05)
_WARM = 300

World = tuple[Any, NDArray[np.float32], int]


def folds(decision_id: str, share: float) -> bool:
    """Tell whether a decision is of the share that is folded: everywhere the same, by its id."""
    number = int.from_bytes(hashlib.sha256(decision_id.encode()).digest()[:8])
    return number < share * 2**64


def play(world: World, task: tuple[float, int], tick: Callable[[int], object]) -> Any:
    """Play a stream of which a share is folded; return the mean worth of the last two thirds."""
    table, vectors, steps = world
    share, seed = task
    bandit = msgspec.structs.replace(SETTINGS.bandit, seed=seed)
    router = Router(table.models, settings=msgspec.structs.replace(SETTINGS, bandit=bandit))
    order = np.random.default_rng(seed).permutation(len(vectors))[:steps]
    worth = np.zeros(steps)
    for step, prompt in enumerate(order):
        name = f"d{step}"
        decision = router.decide(vector=vectors[prompt], decision_id=name, new_id=True, number=step)
        for c in decision.candidates:
            worth[step] += c.propensity * table.quality[prompt, table.names.index(c.model)]
        if folds(name, share):
            router.apply(decision)
            reward = float(table.quality[prompt, table.names.index(decision.model)])
            router.feedback(Feedback(decision_id=name, reward=reward))
        tick(1)
    return float(worth.mean()), float(worth[steps // 3 :].mean())


def costs(world: World) -> dict[str, float]:
    """Measure seconds of one core, and bytes, of each thing that is done to an event."""
    table, vectors, steps = world
    router = Router(table.models, settings=SETTINGS)
    spent = dict.fromkeys(("decide", "fold_decision", "fold_feedback"), 0.0)
    size = 0

    def timed(what: str, begun: float, step: int) -> float:
        now = time.process_time()
        if step >= _WARM:  # compiled by then
            spent[what] += now - begun
        return now

    for step in range(steps):
        at = time.process_time()
        decision = router.decide(
            vector=vectors[step], decision_id=f"d{step}", new_id=True, number=step
        )
        at = timed("decide", at, step)
        router.apply(decision)
        at = timed("fold_decision", at, step)
        router.feedback(Feedback(decision_id=f"d{step}", reward=float(step % 2)))
        timed("fold_feedback", at, step)
        size += len(codec.encode_event(decision))
    per = {name: seconds / (steps - _WARM) for name, seconds in spent.items()}
    return per | {"decision_bytes": size / steps, "state_bytes": float(len(router.snapshot()))}


def placed(rates: Sequence[float], capacity: float) -> tuple[int, int]:
    """Put tenants onto learners; return how many learners it takes, and tenants too large."""
    room: list[float] = []
    large = 0
    for rate in sorted(rates, reverse=True):
        if rate > capacity:
            large += 1
        rate = min(rate, capacity)  # thinned to what a learner can fold
        for i, left in enumerate(room):
            if left >= rate:
                room[i] -= rate
                break
        else:
            room.append(capacity - rate)
    return len(room), large


def plan(cost: dict[str, float]) -> list[tuple[str, str]]:
    """Return what it all takes, in words and numbers."""
    share = 1.0 / np.arange(1, TENANTS + 1)
    rates = DECISIONS * share / share.sum() / REGIONS  # of a tenant in each region
    fold = cost["fold_decision"] + FEEDBACK * cost["fold_feedback"]
    capacity = FULL / fold
    whole = math.ceil(float(rates.sum()) / capacity) * REGIONS
    learners, large = placed(rates.tolist(), capacity)
    folded = float(np.minimum(rates, capacity).sum()) * REGIONS
    deciders = math.ceil(DECISIONS * cost["decide"] / FULL)
    per_day = 86_400 * cost["decision_bytes"] / 1e12
    return [
        ("one core decides", f"{1 / cost['decide']:,.0f} a second"),
        ("one core folds", f"{1 / fold:,.0f} decisions with {FEEDBACK:.0%} feedback a second"),
        ("replicas, cores at 60 %", f"{deciders:,}"),
        ("learners that folded everything (no tenant can be split)", f"{whole:,} cores"),
        ("largest tenant, decisions a second in a region", f"{rates[0]:,.0f}"),
        ("tenants that have to be thinned, of 1,000", f"{large}"),
        ("learners of all regions, thinned", f"{learners * REGIONS:,}"),
        ("decisions folded then", f"{folded:,.0f} a second ({folded / DECISIONS:.0%})"),
        ("log of everything", f"{DECISIONS * per_day:,.0f} TB a day"),
        ("log of what is folded", f"{folded * per_day:,.1f} TB a day"),
        ("a state", f"{cost['state_bytes'] / 1e6:.2f} MB"),
    ]


def main() -> None:
    """Run both parts and keep what was found."""
    args = parser_of(__doc__, 8).parse_args()
    table = read_table(args.tables[0])
    vectors = make_embedder(SETTINGS.embedder).encode(table.prompts)
    world = (table, vectors, min(STEPS, len(vectors)))
    tasks = [(share, seed) for share in SHARES for seed in range(args.seeds)]
    total = len(tasks) * world[2]
    found = np.array(on_all_cores(play, world, tasks, label="thinning", steps=total))
    by_share = found.reshape(len(SHARES), args.seeds, 2)
    thinned = []
    for share, values in zip(SHARES, by_share, strict=True):
        loss = by_share[0, :, 1] - values[:, 1]
        error = float(loss.std(ddof=1) / np.sqrt(len(loss))) if args.seeds > 1 else math.nan
        thinned.append(
            {
                "share": share,
                "folded": round(share * world[2]),
                "worth": round(float(values[:, 0].mean()), 4),
                "worth_later": round(float(values[:, 1].mean()), 4),
                "loss_later": round(float(loss.mean()), 4),
                "standard_error": round(error, 4),
            }
        )
    cost = costs(world)
    rows = plan(cost)
    head = ("share folded", "decisions folded", "worth", "worth later", "loss later")
    words = [grid(("", ""), rows), ""]
    words.append(
        grid(
            head,
            [
                (
                    f"{row['share']:.0%}",
                    row["folded"],
                    row["worth"],
                    row["worth_later"],
                    f"{row['loss_later']:+.4f} ± {row['standard_error']:.4f}",
                )
                for row in thinned
            ],
        )
    )
    said = "\n".join(words)
    keep(
        args.out,
        "edge",
        {"table": table.name, "costs": cost, "plan": dict(rows), "thinning": thinned},
        said,
    )
    print(said)


if __name__ == "__main__":
    main()
