"""Tables x policies x seeds, in parallel processes, with progress."""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from tqdm import tqdm

from ..config import Settings, nearest
from ..embedding import CachedEmbedder, SentenceTransformerEmbedder
from ..exceptions import ConfigError, InvalidInput
from ..policies import NAMES, make_policy
from .hindsight import HINDSIGHT
from .play import Played, Vectors, play
from .summary import summarise
from .tables import RoutingTable, read_table
from .worlds import SCENARIOS, make_world, one_pass

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, eq=False)
class _Job:
    """What every run of one table shares."""

    table: RoutingTable
    vectors: Vectors
    settings: Settings
    scenario: str
    steps: int
    train: int

    def run(self, policy: str, seed: int, tick: Any) -> Played:
        bandit = msgspec.structs.replace(self.settings.bandit, seed=seed)
        settings = msgspec.structs.replace(self.settings, bandit=bandit)
        world = make_world(
            self.table, self.scenario, seed, self.steps, bandit.cost_weight, self.train
        )
        return play(policy, self.table, world, vectors=self.vectors, settings=settings, tick=tick)


def simulate(
    tables: Sequence[Path],
    policies: Sequence[str],
    *,
    steps: int | None = None,
    seeds: int = 5,
    cost_weight: float = 0.0,
    models: str = "all",
    budget: float | None = None,
    scenario: str = "stationary",
    embedder: str = "minilm",
    train: int = 0,
    settings: Settings | None = None,
    progress: bool = True,
    processes: int | None = None,
) -> dict[str, Any]:
    """Play policies over routing tables.

    Parameters
    ----------
    tables
        Folders; see `simulator.tables`.
    policies
        Names that `make_policy` knows, and those with hindsight.
    steps
        Length of the stream; None: one pass.
    seeds
        Streams, seeded 0, 1, ...
    cost_weight
        Of the utility; refused for a table without costs.
    models
        ``all``, ``core``, or names with commas.
    budget
        Mean ceiling per request in US dollars, which the pacer keeps; utility is then quality.
    train
        Prompts of each table that policies may be fitted on, left out of everyone's stream.
    settings
        What the router runs with, its defaults otherwise.
    processes
        Runs at once; None: one a core. The result does not depend on it.

    Returns
    -------
    dict
        The object that ``simulate --json`` prints.

    Raises
    ------
    InvalidInput
        If a name, a table or a value cannot be used; `field` names it.
    """
    _check(policies, scenario, steps, seeds, cost_weight)
    wanted = list(dict.fromkeys(policies))
    out = []
    for folder in tables:
        whole = read_table(Path(folder))
        table = whole.select(models)
        _check_costs(table, cost_weight, budget)
        length = one_pass(table, scenario, cost_weight) - train
        if train < 0 or length < 1:
            raise InvalidInput(
                f"train must be at least 0 and leave prompts of table {table.name} to play", "train"
            )
        if progress and length + train < len(whole.prompts):
            tqdm.write(_left_out(table.name, length + train, len(whole.prompts)), file=sys.stderr)
        played = steps or length
        base = _settings(settings or Settings(), table, cost_weight, budget, embedder)
        vectors = _vectors(table, wanted, base, progress)
        job = _Job(table, vectors, base, scenario, played, train)
        runs = _runs(job, [*wanted, "task-oracle"], seeds, progress, processes)
        out.append(
            {
                "table": table.name,
                "prompts": len(table.prompts),
                "models": list(table.names),
                "steps": played,
                "seeds": seeds,
                "cost_weight": cost_weight,
                "scenario": scenario,
                "embedder": embedder,
                "train": train,
                "reference_cost_usd": table.reference_cost_usd,
                "policies": {
                    name: summarise(table, runs[name], runs["task-oracle"], length)
                    for name in wanted
                },
            }
        )
    return {"tables": out}


def _left_out(table: str, length: int, prompts: int) -> str:
    return (
        f"{table}: a pass is {length:,} of {prompts:,} prompts; "
        "on the others no model played is eligible throughout"
    )


def _check(
    policies: Sequence[str], scenario: str, steps: int | None, seeds: int, cost_weight: float
) -> None:
    if not policies:
        raise InvalidInput("name at least one policy", "policy")
    for name in policies:
        if name in HINDSIGHT:
            continue
        try:
            make_policy(name, Settings())
        except ConfigError:
            known = (*NAMES, *HINDSIGHT)
            raise InvalidInput(
                f"no policy {name!r}{nearest(name, known)}; there are {', '.join(known)}", "policy"
            ) from None
    if scenario not in SCENARIOS:
        raise InvalidInput(
            f"no scenario {scenario!r}{nearest(scenario, SCENARIOS)}; "
            f"there are {', '.join(SCENARIOS)}",
            "scenario",
        )
    if seeds < 1:
        raise InvalidInput("seeds must be at least 1", "seeds")
    if steps is not None and steps < 1:
        raise InvalidInput("steps must be at least 1", "steps")
    if not (math.isfinite(cost_weight) and cost_weight >= 0):
        raise InvalidInput("cost_weight must be a finite number, at least 0", "cost_weight")


def _check_costs(table: RoutingTable, cost_weight: float, budget: float | None) -> None:
    for value, field in ((cost_weight, "cost_weight"), (budget, "budget")):
        if value and not table.has_cost:
            raise InvalidInput(
                f"table {table.name} has no costs: a {field.replace('_', ' ')} means nothing there",
                field,
            )
    if budget is not None and not (math.isfinite(budget) and budget > 0):
        raise InvalidInput("budget must be a finite amount of US dollars above 0", "budget")
    if budget is not None and cost_weight:
        raise InvalidInput(
            "give a budget or a cost weight: with a budget the pacer alone sets the weight",
            "cost_weight",
        )


def _settings(
    settings: Settings,
    table: RoutingTable,
    cost_weight: float,
    budget: float | None,
    embedder: str,
) -> Settings:
    bandit = msgspec.structs.replace(
        settings.bandit, cost_weight=cost_weight, reference_cost_usd=table.reference_cost_usd
    )
    return msgspec.structs.replace(
        settings,
        bandit=bandit,
        budget=msgspec.structs.replace(settings.budget, usd_per_request=budget),
        embedder=msgspec.structs.replace(settings.embedder, name=embedder),
    )


def _vectors(
    table: RoutingTable, policies: Sequence[str], settings: Settings, progress: bool
) -> Vectors:
    played = [name for name in policies if name not in HINDSIGHT]
    for name in played:
        if name.startswith("fixed:") and name.removeprefix("fixed:") not in table.names:
            model = name.removeprefix("fixed:")
            raise InvalidInput(
                f"table {table.name}: no model {model!r}{nearest(model, table.names)}", "policy"
            )
    if not any(make_policy(name, settings).needs_vector for name in played):
        return None
    embedder = SentenceTransformerEmbedder(settings.embedder.name)
    with _bar(len(table.prompts), f"embedding {table.name}", "prompt", progress) as bar:
        return CachedEmbedder(embedder, progress=bar.update).encode(table.prompts)


def _runs(
    job: _Job, policies: Sequence[str], seeds: int, progress: bool, processes: int | None
) -> dict[str, list[Played]]:
    names = list(dict.fromkeys(policies))
    todo = [(name, seed) for name in names for seed in range(seeds)]
    live = [pair for pair in todo if pair[0] not in HINDSIGHT]
    label = f"playing {job.table.name}"
    with _bar(len(todo) * job.steps, label, "step", progress) as bar:
        found = {pair: job.run(*pair, bar.update) for pair in todo if pair[0] in HINDSIGHT}
        found |= _parallel(job, live, bar, processes or os.cpu_count() or 1)
    return {name: [found[name, seed] for seed in range(seeds)] for name in names}


def _parallel(
    job: _Job, pairs: Sequence[tuple[str, int]], bar: tqdm[Any], processes: int
) -> dict[tuple[str, int], Played]:
    if processes == 1 or len(pairs) <= 1:
        return {pair: job.run(*pair, bar.update) for pair in pairs}
    context = multiprocessing.get_context("spawn")
    done = context.Value("q", 0)
    with (
        _one_blas_thread(),
        ProcessPoolExecutor(
            min(processes, len(pairs)), context, initializer=_begin, initargs=(job, done)
        ) as pool,
    ):
        futures = {pair: pool.submit(_work, *pair) for pair in pairs}
        try:
            _watch(list(futures.values()), done, bar)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return {pair: future.result() for pair, future in futures.items()}


def _watch(futures: list[Future[Played]], done: Any, bar: tqdm[Any]) -> None:
    seen, left = 0, set(futures)
    while left:
        finished, left = wait(left, timeout=0.3)
        bar.update(done.value - seen)
        seen = done.value
        for future in finished:
            future.result()  # a failure ends the whole


_state: dict[str, Any] = {}


def _begin(job: _Job, done: Any) -> None:
    _state["job"], _state["done"] = job, done


def _work(policy: str, seed: int) -> Played:
    def tick(steps: int) -> None:
        with _state["done"].get_lock():
            _state["done"].value += steps

    job: _Job = _state["job"]
    return job.run(policy, seed, tick)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Let processes started inside use one BLAS thread each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _bar(total: int, label: str, unit: str, progress: bool) -> tqdm[Any]:
    return tqdm(
        total=total, desc=label, unit=unit, unit_scale=True, file=sys.stderr, disable=not progress
    )
