"""Tables x policies x seeds, in parallel processes, with progress."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from tqdm import tqdm

from ..config import Settings, nearest
from ..cores import cores
from ..embedding import CachedEmbedder, make_embedder
from ..exceptions import ConfigError, InvalidInput
from ..policies import NAMES, make_policy
from .hindsight import HINDSIGHT
from .parallel import run_all
from .play import Played, Vectors, play
from .summary import by_cluster, summarise
from .tables import RoutingTable, read_table
from .worlds import World, make_world, one_pass, parts_of

Engine = Literal["processes", "ray"]
ENGINES: tuple[Engine, ...] = get_args(Engine)


@dataclass(frozen=True, eq=False)
class Job:
    """What every run of one table shares."""

    table: RoutingTable
    vectors: Vectors
    settings: Settings
    scenario: str
    steps: int
    train: int

    def world(self, seed: int) -> World:
        """Return a seed's stream."""
        weight = self.settings.bandit.cost_weight
        return make_world(self.table, self.scenario, seed, self.steps, weight, self.train)

    def run(self, policy: str, seed: int, tick: Callable[[int], object]) -> Played:
        """Play a policy on a seed's stream."""
        bandit = msgspec.structs.replace(self.settings.bandit, seed=seed)
        settings = msgspec.structs.replace(self.settings, bandit=bandit)
        world = self.world(seed)
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
    engine: Engine = "processes",
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
    engine
        ``processes`` of this machine, or ``ray``: the cores of a Ray cluster, whose machines play
        all tables, policies and seeds at once. The result does not depend on it either.

    Returns
    -------
    dict
        The object that ``simulate --json`` prints.

    Raises
    ------
    InvalidInput
        If a name, a table or a value cannot be used; `field` names it.
    """
    _check(policies, scenario, steps, seeds, cost_weight, train)
    if engine not in ENGINES:
        raise InvalidInput(f"engine is {engine!r}; give {' or '.join(ENGINES)}", "engine")
    wanted = list(dict.fromkeys(policies))
    # All before any plays: nothing that is wrong with the last table costs the runs of the first.
    prepared = [
        prepare(
            read_table(Path(folder)),
            wanted,
            models=models,
            steps=steps,
            cost_weight=cost_weight,
            budget=budget,
            scenario=scenario,
            embedder=embedder,
            train=train,
            settings=settings or Settings(),
            progress=progress,
        )
        for folder in tables
    ]
    jobs = [job for job, _ in prepared]
    every, cut = _runs(jobs, [*wanted, "task-oracle"], seeds, progress, processes, engine)
    out: list[dict[str, Any]] = []
    for (job, length), runs in zip(prepared, every, strict=True):
        played = {
            name: summarise(job.table, runs[name], runs["task-oracle"], length)
            | _regions(job, runs[name])
            for name in wanted
            if runs[name]
        }
        if cut and out and not played:
            break
        out.append(
            {
                "table": job.table.name,
                "prompts": len(job.table.prompts),
                "models": list(job.table.names),
                "steps": job.steps,
                "seeds": seeds,
                "cost_weight": cost_weight,
                "scenario": scenario,
                "embedder": embedder,
                "train": train,
                "reference_cost_usd": job.table.reference_cost_usd,
                "policies": played,
            }
        )
    return {"tables": out, "interrupted": True} if cut else {"tables": out}


def _regions(job: Job, runs: dict[int, Played]) -> dict[str, Any]:
    """Return the regions of the first seed's map, where there is a map."""
    seed = min(runs)
    weight = job.settings.bandit.cost_weight
    found = by_cluster(job.table, job.world(seed), runs[seed], weight)
    return {} if found is None else {"clusters": found}


def prepare(
    whole: RoutingTable,
    policies: Sequence[str],
    *,
    models: str,
    steps: int | None,
    cost_weight: float,
    budget: float | None,
    scenario: str,
    embedder: str,
    train: int,
    settings: Settings,
    progress: bool,
) -> tuple[Job, int]:
    """Return what every run of a table shares, and the length of one pass; see `simulate`."""
    table = whole.select(models)
    _check_costs(table, cost_weight, budget)
    length = one_pass(table, scenario, cost_weight) - train
    if train < 0 or length < 1:
        raise InvalidInput(
            f"train must be at least 0 and leave prompts of table {table.name} to play", "train"
        )
    if progress and length + train < len(whole.prompts):
        tqdm.write(_left_out(table.name, length + train, len(whole.prompts)), file=sys.stderr)
    base = _settings(settings, table, cost_weight, budget, embedder)
    vectors = _vectors(table, policies, base, progress)
    return Job(table, vectors, base, scenario, steps or length, train), length


def _left_out(table: str, length: int, prompts: int) -> str:
    return (
        f"{table}: a pass is {length:,} of {prompts:,} prompts; "
        "on the others no model played is eligible throughout"
    )


def _check(
    policies: Sequence[str],
    scenario: str,
    steps: int | None,
    seeds: int,
    cost_weight: float,
    train: int,
) -> None:
    if not policies:
        raise InvalidInput("name at least one policy", "policy")
    for name in policies:
        if name in HINDSIGHT:
            continue
        try:
            policy = make_policy(name, Settings())
        except ConfigError:
            known = (*NAMES, *HINDSIGHT)
            raise InvalidInput(
                f"no policy {name!r}{nearest(name, known)}; there are {', '.join(known)}", "policy"
            ) from None
        if policy.needs_training and not train:
            raise InvalidInput(
                f"{name} learns from labelled prompts: give it some of the table with --train",
                "train",
            )
    parts_of(scenario)
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
            "give a budget or a cost weight, not both: with a budget the pacer alone sets the "
            "weight",
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
    embedder = make_embedder(settings.embedder, auto="torch")
    with _bar(len(table.prompts), f"embedding {table.name}", "prompt", progress) as bar:
        return CachedEmbedder(embedder, progress=bar.update).encode(table.prompts)


def _runs(
    jobs: Sequence[Job],
    policies: Sequence[str],
    seeds: int,
    progress: bool,
    processes: int | None,
    engine: Engine,
) -> tuple[list[dict[str, dict[int, Played]]], bool]:
    """Return each job's finished runs, by policy and seed, and whether some were not finished.

    Tables are played one after another, and all policies play a seed before any plays the next,
    so that what an interrupt leaves can be compared.
    """
    names = list(dict.fromkeys(policies))
    todo = [(i, name, seed) for i in range(len(jobs)) for seed in range(seeds) for name in names]
    live = [run for run in todo if run[1] not in HINDSIGHT]
    label = "playing " + ", ".join(job.table.name for job in jobs)
    total = sum(len(names) * seeds * job.steps for job in jobs)
    with _bar(total, label, "step", progress) as bar:
        found = {run: run_job(jobs, run, bar.update) for run in todo if run[1] in HINDSIGHT}
        if engine == "ray":
            from .on_ray import run_on_ray

            played, cut = run_on_ray(run_job, jobs, live, bar)
        else:
            played, cut = run_all(run_job, jobs, live, processes or cores(), bar)
    found |= played
    runs: list[dict[str, dict[int, Played]]] = [{name: {} for name in names} for _ in jobs]
    for i, name, seed in sorted(found):
        runs[i][name][seed] = found[i, name, seed]
    return runs, cut


def run_job(
    jobs: Sequence[Job], run: tuple[int, str, int], tick: Callable[[int], object]
) -> Played:
    """Play a policy on a seed's stream over one of the tables; the work of one process."""
    which, policy, seed = run
    return jobs[which].run(policy, seed, tick)


def _bar(total: int, label: str, unit: str, progress: bool) -> tqdm[Any]:
    return tqdm(
        total=total, desc=label, unit=unit, unit_scale=True, file=sys.stderr, disable=not progress
    )
