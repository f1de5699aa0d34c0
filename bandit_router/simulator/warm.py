"""Learning from a log before the first request."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..config import Config
from ..exceptions import InvalidInput
from ..router import Router
from ..store import Log, Place, open_log, restore
from ..types import Decision, Event, Feedback, LineageEvent, Model, Request, Training
from .log_arrays import vectors_of
from .logs import WARM_START, Logged, read_log

_BATCH = 500


def warm_start(log: Path, db: Place, config: Config, *, progress: bool = True) -> dict[str, int]:
    """Write a log's decisions and rewards into a database, as if they had been ours.

    Strategies that are fitted (`forest`, `kmeans`) are fitted on all of them at the end.

    Parameters
    ----------
    log
        See `simulator.logs`; only decisions with a reward are taken.
    db
        A file or a URL; made if it is not there, what it holds already stays.
    config
        Settings and models of a new database. Models that the log names and the router does
        not know are added; where it has models of its own, as unavailable ones: their evidence
        tells of prompts, and nobody has said that they may be chosen.

    Returns
    -------
    dict
        How many decisions were learnt, and how many models were added.

    Raises
    ------
    StoreHeld
        If a service writes to the database.
    InvalidInput
        If the log cannot be used.
    """
    rows = [row for row in read_log(log) if row.reward is not None]
    if not rows:
        raise InvalidInput(f"{log}: no decision has feedback: nothing can be learnt", "log")
    with closing(open_log(db)) as store:
        router = _router(store, config)
        has_fleet = bool(router.models)
        added, away = _let_in(store, router, rows)
        vectors = vectors_of(rows, router.settings.embedder, progress)
        if vectors is None and router.needs_vector:
            raise InvalidInput(
                f"{log}: neither vectors nor prompts that the embedder "
                f"{router.settings.embedder.name!r} could encode",
                "log",
            )
        batch: list[Event] = []
        lineage: list[LineageEvent] = []
        bar = tqdm(rows, desc="learning", unit="decision", file=sys.stderr, disable=not progress)
        for i, row in enumerate(bar):
            vector = None if vectors is None else vectors[i]
            decision = _decision(router, row, vector)
            lineage += router.apply(decision)
            _, said = router.judge(_feedback(decision, row))
            assert said is not None  # the first of its decision
            lineage += router.apply(said)
            batch += [decision, said]
            if len(batch) >= _BATCH:
                store.append(batch, lineage)
                batch, lineage = [], []
        if any(policy.needs_training for policy in router.strategies) and vectors is not None:
            trained = router.change("trained", _training(rows, vectors))
            router.apply(trained)
            batch.append(trained)
        away = [*away, *added] if has_fleet else away
        for name in away:
            out = router.change("model_set", _fields(router.models[name], available=False))
            router.apply(out)
            batch.append(out)
        if batch:
            store.append(batch, lineage)
    if away and progress:
        tqdm.write(f"Not available, until PATCH /models: {', '.join(away)}", sys.stderr)
    return {"decisions": len(rows), "models_added": len(added)}


def _router(store: Log, config: Config) -> Router:
    if store.last_seq():
        return restore(store)
    router = Router(config.models, settings=config.settings, recall=store.recall)
    store.append([router.initial])
    return router


def _let_in(store: Log, router: Router, rows: list[Logged]) -> tuple[list[str], list[str]]:
    """Add the models of a log that there are not, make those available that are not; name both."""
    names = dict.fromkeys(name for row in rows for name in (row.model, *row.eligible))
    added = [name for name in names if name not in router.models]
    away = [name for name in names if name not in added and not router.models[name].available]
    for name in (*added, *away):
        model = router.models.get(name, Model(name=name))
        change = router.change("model_set", _fields(model, available=True))
        store.append([change], router.apply(change))
    return added, away


def _fields(model: Model, *, available: bool) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(model)
    return fields | {"available": available}


def _decision(router: Router, row: Logged, vector: object) -> Decision:
    """Return the decision of a row: where it falls is ours, what was chosen is the log's."""
    models = row.eligible or None
    ours = router.decide(
        row.prompt or "", vector=vector, request=Request(models=models), time=router.time
    )
    return msgspec.structs.replace(
        ours,
        decision_id=f"warm-{ours.seq}",
        model=row.model,
        propensity=row.propensity or ours.chosen.propensity,
        exact=row.propensity is not None,
        propensity_draws=0,
        policy=WARM_START,
        role="live",
    )


def _training(rows: list[Logged], vectors: NDArray[np.float32]) -> dict[str, Any]:
    """Return what is known of each model on each prompt: a prompt may be in several rows."""
    arms = tuple(dict.fromkeys(row.model for row in rows))
    column = {name: i for i, name in enumerate(arms)}
    _, first, place = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    where = place.ravel(), np.array([column[row.model] for row in rows])
    training = Training.of(
        arms,
        vectors[first],
        _means(where, [row.reward for row in rows], (len(first), len(arms))),
        _means(where, [row.cost_usd for row in rows], (len(first), len(arms))),
    )
    body: dict[str, Any] = msgspec.to_builtins(training, builtin_types=(bytes,))
    return body


def _means(where: Any, values: list[float | None], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the mean of the values at each place, nan where there is none."""
    known = np.array([value is not None for value in values], dtype=np.float64)
    count, total = np.zeros(shape), np.zeros(shape)
    np.add.at(count, where, known)
    np.add.at(total, where, [0.0 if value is None else value for value in values])
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _feedback(decision: Decision, row: Logged) -> Feedback:
    return Feedback(
        decision_id=decision.decision_id,
        reward=row.reward,
        cost_usd=row.cost_usd,
        source=WARM_START,
    )
