"""Asking a log: what would another policy have earned, and is routing worth it here?

Learning policies are evaluated as they would have learnt: going through the log in order, each
states its probabilities for a decision, then learns from what the log really tried there. So
does the model of the rewards, our own posterior. Nothing is judged by what came after it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..config import Settings, nearest
from ..embedding import CachedEmbedder, SentenceTransformerEmbedder
from ..exceptions import ConfigError, InvalidInput
from ..policies import NAMES, make_policy
from ..router import OWN_VECTORS, Router
from ..types import Feedback, Request
from .logs import Logged, read_log
from .ope import ESTIMATORS, Array, Evaluation, dm, doubly_robust, mean_interval

_FEW = 100.0
_FEW_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class _Log:
    rows: list[Logged]
    models: tuple[str, ...]
    vectors: NDArray[np.float32] | None
    action: NDArray[np.int64]
    reward: Array
    propensity: Array | None


def replay(
    path: Path,
    policies: Sequence[str] = ("thompson", "global-thompson", "random"),
    *,
    embedder: str = "minilm",
    progress: bool = True,
) -> dict[str, Any]:
    """Estimate policies on a log.

    Parameters
    ----------
    path
        See `simulator.logs`.
    policies
        Names that `make_policy` knows; every ``fixed:MODEL`` is evaluated anyway for the verdict.

    Returns
    -------
    dict
        The object that ``replay --json`` prints.

    Raises
    ------
    InvalidInput, StoreError
        If the log or a name cannot be used.
    """
    everything = read_log(path)
    rows = [row for row in everything if row.reward is not None]
    if not rows:
        raise InvalidInput(f"{path}: no decision has feedback: nothing can be estimated", "log")
    log = _prepare(rows, embedder, progress)
    _check(policies, log.models)
    base = "global-thompson" if log.vectors is None else "thompson"
    wanted = list(dict.fromkeys([base, *policies]))
    runs = {name: _run(name, log, progress) for name in wanted if not name.startswith("fixed:")}
    model = runs[base][1]
    seen = {name: _seen(log, run[0], model) for name, run in runs.items()}
    fixed = {f"fixed:{name}": _constant(log, column) for column, name in enumerate(log.models)}
    seen |= {name: _seen(log, target, model) for name, target in fixed.items()}
    return {
        "log": {
            "decisions": len(everything),
            "with_feedback": len(rows),
            "ess_warning": _thin(log, [seen[name] for name in policies]),
        },
        "policies": {name: {"estimators": _estimates(seen[name])} for name in policies},
        "worth_it": _worth_it(seen, policies, log.models),
    }


def text(found: dict[str, Any]) -> str:
    """Return what `replay` found in plain words and a table."""
    log, worth = found["log"], found["worth_it"]
    lines = [
        f"{log['decisions']:,} decisions, {log['with_feedback']:,} with feedback.",
        "",
        f"{'policy':24} {'estimator':>9} {'value':>8}  {'95 % interval':>18} {'ESS':>9}",
    ]
    for name, policy in found["policies"].items():
        for kind, e in policy["estimators"].items():
            bounds = f"{e['ci'][0]:.4f} to {e['ci'][1]:.4f}" if e["ci"][0] is not None else ""
            value = "" if e["value"] is None else f"{e['value']:.4f}"
            lines.append(f"{name:24} {kind:>9} {value:>8}  {bounds:>18} {e['ess']:9.0f}")
            name = ""
    if log["ess_warning"]:
        lines += ["", "Too little overlap (or no propensities): read these figures as a hint only."]
    words = {
        "yes": "Routing is worth it on this log",
        "no": "Routing is not worth it on this log",
        "unclear": "This log cannot tell whether routing is worth it",
    }[worth["verdict"]]
    gain = f"gain {worth['gain']:+.4f} over always {worth['best_constant']}"
    low, high = worth["ci"]
    lines += [
        "",
        f"{words}: {gain}" + (f" (95 %: {low:+.4f} to {high:+.4f})." if low is not None else "."),
    ]
    return "\n".join(lines)


def _prepare(rows: list[Logged], embedder: str, progress: bool) -> _Log:
    models = tuple(dict.fromkeys(name for row in rows for name in (*row.eligible, row.model)))
    column = {name: i for i, name in enumerate(models)}
    propensity = [row.propensity for row in rows]
    known = [p for p in propensity if p is not None]
    return _Log(
        rows=rows,
        models=models,
        vectors=vectors_of(rows, embedder, progress),
        action=np.array([column[row.model] for row in rows]),
        reward=np.array([row.reward for row in rows], dtype=np.float64),
        propensity=np.array(known) if len(known) == len(rows) else None,
    )


def vectors_of(rows: list[Logged], name: str, progress: bool) -> NDArray[np.float32] | None:
    """Return the embeddings of a log, encoding prompts if need be; None if it has neither."""
    given = [row.vector for row in rows if row.vector is not None]
    if len(given) == len(rows) and len({len(v) for v in given}) == 1:
        return np.stack(given)
    prompts = [row.prompt for row in rows if row.prompt is not None]
    if given or len(prompts) < len(rows) or name == OWN_VECTORS:
        return None
    with tqdm(
        total=len(prompts), desc="embedding", unit="prompt", file=sys.stderr, disable=not progress
    ) as bar:
        embedder = CachedEmbedder(SentenceTransformerEmbedder(name), progress=bar.update)
        return embedder.encode(prompts)


def _check(policies: Sequence[str], models: Sequence[str]) -> None:
    if not policies:
        raise InvalidInput("name at least one policy", "policy")
    for name in policies:
        if name.startswith("fixed:") and name.removeprefix("fixed:") not in models:
            model = name.removeprefix("fixed:")
            raise InvalidInput(f"no model {model!r} in the log{nearest(model, models)}", "policy")
        try:
            make_policy(name, Settings())
        except ConfigError:
            raise InvalidInput(f"no policy {name!r}{nearest(name, NAMES)}", "policy") from None


def _run(policy: str, log: _Log, progress: bool) -> tuple[Array, Array]:
    """Go through the log with a policy; return its probabilities and beliefs, (n, arms)."""
    bandit = msgspec.structs.replace(Settings().bandit, strategy=policy)
    settings = msgspec.structs.replace(Settings(), bandit=bandit)
    router = Router(log.models, settings=settings, embedder=OWN_VECTORS)
    target, model = (np.zeros((len(log.rows), len(log.models))) for _ in range(2))
    column = {name: i for i, name in enumerate(log.models)}
    bar = tqdm(log.rows, desc=policy, unit="decision", file=sys.stderr, disable=not progress)
    for i, row in enumerate(bar):
        vector = None if log.vectors is None else log.vectors[i]
        request = Request(models=row.eligible or log.models)
        decision = router.decide(row.prompt or "", vector=vector, request=request, time=router.time)
        for candidate in decision.candidates:
            target[i, column[candidate.model]] = candidate.propensity
            model[i, column[candidate.model]] = candidate.quality or 0.0
        router.apply(msgspec.structs.replace(decision, model=row.model))
        said = Feedback(decision_id=decision.decision_id, reward=row.reward, cost_usd=row.cost_usd)
        router.feedback(said)
    target /= target.sum(axis=1, keepdims=True)
    return target, model


def _constant(log: _Log, column: int) -> Array:
    target = np.zeros((len(log.rows), len(log.models)))
    for i, row in enumerate(log.rows):
        eligible = not row.eligible or log.models[column] in row.eligible
        target[i, column if eligible else log.models.index(row.eligible[0])] = 1.0
    return target


def _seen(log: _Log, target: Array, model: Array) -> Evaluation:
    return Evaluation(target, model, log.action, log.reward, log.propensity)


def _estimates(seen: Evaluation) -> dict[str, dict[str, Any]]:
    kinds = {"dm": dm} if seen.propensity is None else ESTIMATORS
    out = {}
    for name, estimate in kinds.items():
        found = estimate(seen)
        out[name] = {
            "value": _number(found.value),
            "ci": [_number(bound) for bound in found.ci],
            "ess": found.ess,
        }
    return out


def _thin(log: _Log, seen: list[Evaluation]) -> bool:
    """Tell whether an estimate rests on next to nothing."""
    if log.propensity is None:
        return True
    least = min(s.ess for s in seen)
    return least < _FEW or least < _FEW_SHARE * len(log.rows)


def _worth_it(
    seen: dict[str, Evaluation], policies: Sequence[str], models: Sequence[str]
) -> dict[str, Any]:
    """Compare the best of the policies with the best constant model, on the same terms."""
    terms = {
        name: s.direct if s.propensity is None else doubly_robust(s) for name, s in seen.items()
    }
    constant = max(models, key=lambda name: float(terms[f"fixed:{name}"].mean()))
    routing = [name for name in policies if not name.startswith("fixed:")] or list(policies)
    best = max(routing, key=lambda name: float(terms[name].mean()))
    gain, (low, high) = mean_interval(terms[best] - terms[f"fixed:{constant}"])
    blind = seen[best].propensity is None or seen[best].ess < _FEW
    verdict = "unclear" if blind or not (low > 0 or high < 0) else "yes" if low > 0 else "no"
    return {
        "verdict": verdict,
        "policy": best,
        "best_constant": constant,
        "gain": gain,
        "ci": [_number(low), _number(high)],
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
