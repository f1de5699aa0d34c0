"""What the pages show of the recent past: traffic, money, quality, curves; all of it observed.

Savings come from an off-policy estimate over the logged propensities, with its interval: what
the best single model would have cost on the very same prompts, never a list price times a guess.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..bandits.credit import CN, C, R, W
from ..candidates import Candidates
from ..memory import standing
from ..types import Decision, History
from .chronicle import Chronicle

BUCKETS = 48
_FEW = 30.0  # an effective sample smaller than this tells nothing
_REPLAYED = 5_000
_CURVE = 400
_DRIFT_OVER = 40
_SHOWN = 12


def overview(chronicle: Chronicle) -> dict[str, Any]:
    """Return traffic, spend, savings, quality, exploration and alarms, over the window."""
    histories = list(chronicle.histories.values())
    return {
        "totals": dict(chronicle.totals),
        "window": _window(histories),
        "buckets": _buckets(chronicle, histories),
        "shares": chronicle.shares(),
        "explored": _share([explored(h.decision) for h in histories]),
        "sources": _sources(histories),
        "spend": _spend(chronicle, histories),
        "saved": saved(chronicle, histories),
        "alarms": [_plain(alarm) for alarm in reversed(chronicle.alarms)],
        "models": _models(chronicle, histories),
    }


def explored(decision: Decision) -> bool:
    """Tell whether another arm than the one of the highest expected utility was chosen."""
    candidates = decision.candidates
    if isinstance(candidates, Candidates):  # of each decision that is made
        return candidates.best != decision.model
    known = [c for c in candidates if c.utility is not None]
    return bool(known) and max(known, key=lambda c: c.utility or 0.0).model != decision.model


def saved(chronicle: Chronicle, histories: Sequence[History]) -> dict[str, Any] | None:
    """Estimate what the best single model would have cost beyond what was spent.

    Doubly robust over decisions whose cost and reward were observed, with the beliefs logged at
    each decision as the model of outcomes. The best constant is the model of the highest
    estimated mean utility among those that enough of the log speaks of; picking it on the same
    log flatters it a little, not the router.

    Returns
    -------
    dict or None
        None where the log cannot tell. `curve` is the same sum, with its interval, at the end of
        each of the equal spans of time that the overview shows.
    """
    seen = [h for h in histories if _told(chronicle, h)]
    names = sorted({c.model for h in seen for c in h.decision.candidates})
    edges = _edges(histories)[1:]
    found = [f for name in names if (f := _against(chronicle, seen, name, edges)) is not None]
    if not found:
        return None
    best: dict[str, Any] = max(found, key=lambda f: f["utility"])
    return best


def _against(
    chronicle: Chronicle, seen: Sequence[History], constant: str, edges: Sequence[float]
) -> dict[str, Any] | None:
    """Compare what was done with always `constant`, where that could have been chosen."""
    from ..simulator.ope import Evaluation, doubly_robust, mean_interval

    rows = [
        h
        for h in seen
        if (c := h.decision.candidate(constant)) and c.cost_usd is not None and c.propensity
    ]
    if len(rows) < 2:
        return None
    sums = [chronicle.credit(h).sums for h in rows]
    cost = np.array([s[C] for s in sums])
    quality = np.array([s[R] / s[W] for s in sums])
    chosen = np.array([int(h.decision.model != constant) for h in rows])
    propensity = np.array([h.decision.propensity for h in rows])
    target = np.tile([1.0, 0.0], (len(rows), 1))

    def constant_terms(observed: Any, believed: str) -> Any:
        model = np.array(
            [
                [_of(h.decision, constant, believed), _of(h.decision, h.decision.model, believed)]
                for h in rows
            ]
        )
        return Evaluation(target, model, chosen, observed, propensity)

    of_cost, of_quality = constant_terms(cost, "cost_usd"), constant_terms(quality, "quality")
    if of_cost.ess < _FEW:
        return None
    terms = doubly_robust(of_cost) - cost
    money, (low, high) = mean_interval(terms)
    gain, (worse, better) = mean_interval(quality - doubly_robust(of_quality))
    scale = np.array(
        [h.decision.utility.cost_weight / h.decision.utility.reference_cost_usd for h in rows]
    )
    utility = float((doubly_robust(of_quality) - scale * doubly_robust(of_cost)).mean())
    return {
        "constant": constant,
        "decisions": len(rows),
        "usd": money * len(rows),
        "usd_ci": [low * len(rows), high * len(rows)],
        "spent_usd": float(cost.sum()),
        "quality_gain": gain,
        "quality_gain_ci": [worse, better],
        "ess": of_cost.ess,
        "utility": utility,
        "curve": _added_up(terms, [h.decision.time for h in rows], edges),
    }


def _added_up(terms: Any, times: Sequence[float], edges: Sequence[float]) -> list[list[float]]:
    """Return the sum of the terms up to each edge, with its 95 % interval."""
    n = np.searchsorted(times, edges, side="right")
    sums, squares = (np.concatenate([[0.0], np.cumsum(t)])[n] for t in (terms, terms * terms))
    spread = np.sqrt(np.maximum(squares - sums * sums / np.maximum(n, 1), 0.0))
    half = 1.96 * spread * np.sqrt(n / np.maximum(n - 1, 1))
    out: list[list[float]] = np.stack([sums, sums - half, sums + half], axis=1).tolist()
    return out


def _of(decision: Decision, model: str, field: str) -> float:
    found = decision.candidate(model)
    return float(getattr(found, field) or 0.0) if found else 0.0


def _told(chronicle: Chronicle, history: History) -> bool:
    """Whether reward and cost of the arm that was chosen are known, and its propensity holds."""
    sums = chronicle.credit(history).sums
    return bool(sums[W] > 0 and sums[CN] > 0 and history.answered_by == history.decision.model)


def _window(histories: Sequence[History]) -> dict[str, Any]:
    times = [h.decision.time for h in histories]
    return {
        "decisions": len(histories),
        "from": times[0] if times else None,
        "to": times[-1] if times else None,
    }


def _buckets(chronicle: Chronicle, histories: Sequence[History]) -> list[dict[str, Any]]:
    """Equal spans of time: what came, what it cost, who answered, how it was judged."""
    if not histories:
        return []
    edges = _edges(histories)
    groups: list[list[History]] = [[] for _ in range(BUCKETS)]
    for history in histories:
        at = int(np.searchsorted(edges, history.decision.time, side="right")) - 1
        groups[min(BUCKETS - 1, at)].append(history)
    out = []
    for i, group in enumerate(groups):
        models = Counter(h.decision.model for h in group)
        by_source: defaultdict[str, list[float]] = defaultdict(list)
        for history in group:
            for source, said in standing(history).items():
                if said.reward is not None:
                    by_source[source].append(said.reward)
        out.append(
            {
                "time": edges[i],
                "decisions": len(group),
                "models": dict(models),
                "cost_usd": sum(float(chronicle.credit(h).sums[C]) for h in group),
                "explored": sum(explored(h.decision) for h in group),
                "quality": {s: float(np.mean(v)) for s, v in by_source.items()},
            }
        )
    return out


def _edges(histories: Sequence[History]) -> list[float]:
    """Where the spans begin, and where the last ends."""
    times = [h.decision.time for h in histories] or [0.0]
    edges: list[float] = np.linspace(times[0], times[-1] + 1e-6, BUCKETS + 1).tolist()
    return edges


def _sources(histories: Sequence[History]) -> list[dict[str, Any]]:
    rewards: defaultdict[str, list[float]] = defaultdict(list)
    for history in histories:
        for source, said in standing(history).items():
            if said.reward is not None:
                rewards[source].append(said.reward)
    return [
        {"source": source, "feedback": len(values), "quality": float(np.mean(values))}
        for source, values in sorted(rewards.items(), key=lambda item: -len(item[1]))
    ]


def _spend(chronicle: Chronicle, histories: Sequence[History]) -> dict[str, Any]:
    sums = [chronicle.credit(h).sums for h in histories]
    day = 86_400.0
    today = histories[-1].decision.time // day if histories else 0
    return {
        "usd": float(sum(s[C] for s in sums)),
        "billed": int(sum(s[CN] > 0 for s in sums)),
        "today_usd": float(
            sum(
                s[C]
                for s, h in zip(sums, histories, strict=True)
                if h.decision.time // day == today
            )
        ),
    }


def _models(chronicle: Chronicle, histories: Sequence[History]) -> list[dict[str, Any]]:
    """Calls, errors and observed means of every model that was chosen or answered."""
    rows: defaultdict[str, dict[str, Any]] = defaultdict(
        lambda: {"decisions": 0, "errors": 0, "rewards": [], "costs": []}
    )
    for history in histories:
        rows[history.decision.model]["decisions"] += 1
        for outcome in history.outcomes:
            rows[outcome.model]["errors"] += outcome.error is not None
        credit = chronicle.credit(history)
        if credit.sums[W] > 0:
            rows[credit.arm]["rewards"].append(credit.sums[R] / credit.sums[W])
        if credit.sums[CN] > 0:
            rows[credit.arm]["costs"].append(credit.sums[C])
    return [
        {
            "model": name,
            "decisions": row["decisions"],
            "errors": row["errors"],
            "quality": float(np.mean(row["rewards"])) if row["rewards"] else None,
            "cost_usd": float(np.mean(row["costs"])) if row["costs"] else None,
        }
        for name, row in sorted(rows.items(), key=lambda item: -item[1]["decisions"])
    ]


def drift(chronicle: Chronicle) -> dict[int, dict[str, float]]:
    """Return for each micro-cluster how its newest feedback differs from what was expected.

    `surprise` is the mean of reward less expectation over its last 40 feedbacks, `n` how many
    there were, `recent` its share of the newest half of the window less that of the older half.
    """
    residuals: defaultdict[int, list[float]] = defaultdict(list)
    halves: tuple[Counter[int], Counter[int]] = (Counter(), Counter())
    histories = list(chronicle.histories.values())
    for i, history in enumerate(histories):
        decision = history.decision
        if not decision.path:
            continue
        cluster = chronicle.heir(decision.path[-1])
        halves[2 * i >= len(histories)][cluster] += 1
        sums, expected = chronicle.credit(history).sums, decision.candidate(history.answered_by)
        if sums[W] > 0 and expected is not None and expected.quality is not None:
            residuals[cluster].append(float(sums[R] / sums[W]) - expected.quality)
    old, new = (max(1, sum(half.values())) for half in halves)
    return {
        cluster: {
            "surprise": float(np.mean(residuals[cluster][-_DRIFT_OVER:] or [0.0])),
            "n": min(len(residuals[cluster]), _DRIFT_OVER),
            "trend": halves[1][cluster] / new - halves[0][cluster] / old,
            "recent": halves[1][cluster],
        }
        for cluster in set(halves[0]) | set(halves[1])
    }


def growth(chronicle: Chronicle) -> dict[str, Any]:
    """Return the log as rows that a page can replay: decisions and what became of clusters."""
    histories = list(chronicle.histories.values())[-_REPLAYED:]
    models = sorted({h.decision.model for h in histories} | {h.answered_by for h in histories})
    index = {name: i for i, name in enumerate(models)}
    rows = []
    for history in histories:
        decision, credit = history.decision, chronicle.credit(history)
        reward = float(credit.sums[R] / credit.sums[W]) if credit.sums[W] > 0 else None
        cost = float(credit.sums[C]) if credit.sums[CN] > 0 else None
        cluster = decision.path[-1] if decision.path else 0
        rows.append([decision.seq, decision.time, cluster, index[credit.arm], reward, cost])
    first = histories[0].decision.seq if histories else 0
    fates = [
        [e.seq, e.what, e.cluster, e.other]
        for e in chronicle.lineage
        if e.what in ("merged", "faded", "born") and e.seq >= first
    ]
    return {"models": models, "decisions": rows, "lineage": fates}


def story(chronicle: Chronicle, cluster: int) -> dict[str, Any]:
    """Return the past of one cluster: each arm's rewards in order, and its newest decisions."""
    curves: defaultdict[str, list[list[float]]] = defaultdict(list)
    times: list[float] = []
    newest: list[dict[str, Any]] = []
    for history in chronicle.histories.values():
        decision = history.decision
        if cluster not in map(chronicle.heir, decision.path):
            continue
        times.append(decision.time)
        credit = chronicle.credit(history)
        reward = float(credit.sums[R] / credit.sums[W]) if credit.sums[W] > 0 else None
        if reward is not None:
            curves[credit.arm].append([decision.time, reward])
        newest.append(
            {
                "decision_id": decision.decision_id,
                "time": decision.time,
                "model": history.answered_by,
                "propensity": decision.propensity,
                "reward": reward,
                "prompt": decision.prompt and decision.prompt[:300],
            }
        )
    return {
        "times": times,
        "curves": {arm: rows[-_CURVE:] for arm, rows in sorted(curves.items())},
        "newest": newest[-_SHOWN:][::-1],
    }


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def _plain(alarm: Any) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(alarm)
    return found
