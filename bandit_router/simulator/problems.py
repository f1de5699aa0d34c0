"""What `tune` scores settings on: streams over routing tables, or a decision log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..config import Settings
from ..exceptions import InvalidInput
from ..types import Model
from .log_arrays import Log, prepare
from .logs import read_log
from .ope import Array, Clip, doubly_robust
from .passes import Run, go_through
from .run import Job
from .run import prepare as prepare_table
from .tables import read_table
from .targets import base_policy, cost_of, value_of, with_weight

HELD_OUT_SEED = 1000
"""The first of the seeds that a search never sees."""

_SEARCHED = 0.6  # the earlier part of a log, which the search sees

Overrides = dict[str, dict[str, Any]]
"""Settings by table and key, as in a configuration file."""


@dataclass(frozen=True, eq=False)
class Block:
    """What settings earned in one place: `value` of one seed, or of each decision; mean `cost`."""

    value: Array
    cost: float


class Problem(ABC):
    """Where settings can be scored.

    Attributes
    ----------
    policy
        The strategy whose settings are searched.
    ceiling
        A mean cost not to be exceeded, which makes the cost weight a thing to search.
    by_seed
        Whether the values of blocks are means of independent streams.
    """

    policy: str
    ceiling: float | None
    by_seed: bool

    @abstractmethod
    def blocks(
        self, settings: Overrides, held_out: bool, tick: Callable[[int], object]
    ) -> list[Block]:
        """Score settings."""

    @abstractmethod
    def steps(self, held_out: bool) -> int:
        """Return how many decisions one scoring plays."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return what tells this problem from others."""

    @abstractmethod
    def held_out_words(self) -> str:
        """Return on what the gain is measured, in words."""

    @abstractmethod
    def config(self, settings: Overrides) -> dict[str, Any]:
        """Return a whole configuration, as in a file."""

    def default(self) -> Overrides:
        """Return the settings to beat."""
        return {} if self.ceiling is None else {"bandit": {"cost_weight": 0.1}}

    def values(self, blocks: list[Block]) -> Array:
        """Return what is compared, pair by pair: a mean a seed, or a term a decision."""
        return np.concatenate([block.value for block in blocks])

    def objective(self, blocks: list[Block]) -> float:
        """Return what the search maximises; settings above the ceiling come last."""
        cost = float(np.mean([block.cost for block in blocks]))
        if self.ceiling is not None and cost > self.ceiling:
            return -cost / self.ceiling
        return float(self.values(blocks).mean())


def score(
    problem: Problem, task: tuple[Overrides, bool], tick: Callable[[int], object]
) -> list[Block]:
    """Score settings on a problem; the work of one process."""
    return problem.blocks(*task, tick)


def applied(settings: Settings, overrides: Overrides) -> Settings:
    """Return the settings with some of them replaced."""
    for name, keys in overrides.items():
        keys = {k: tuple(v) if isinstance(v, list) else v for k, v in keys.items()}
        changed = msgspec.structs.replace(getattr(settings, name), **keys)
        settings = msgspec.structs.replace(settings, **{name: changed})
    return settings


@dataclass(frozen=True, eq=False)
class TableProblem(Problem):
    """Streams over routing tables: every table in every scenario, on several seeds."""

    jobs: tuple[Job, ...]
    policy: str
    seeds: int
    ceiling: float | None = None
    by_seed = True

    @classmethod
    def of(
        cls,
        tables: Sequence[Path],
        *,
        policy: str = "thompson",
        scenarios: Sequence[str] = ("stationary",),
        models: str = "all",
        steps: int | None = None,
        seeds: int = 3,
        cost_weight: float = 0.0,
        ceiling: float | None = None,
        embedder: str = "minilm",
        progress: bool = True,
    ) -> TableProblem:
        """Read the tables; `steps` None is one pass, at most 2,000."""
        jobs = []
        for folder in tables:
            table = read_table(Path(folder))
            if ceiling is not None and not table.has_cost:
                raise InvalidInput(f"table {table.name} has no costs to keep below", "max_cost")
            for scenario in scenarios:
                job, length = prepare_table(
                    table,
                    [policy],
                    models=models,
                    steps=steps,
                    cost_weight=cost_weight,
                    budget=None,
                    scenario=scenario,
                    embedder=embedder,
                    train=0,
                    settings=Settings(),
                    progress=progress,
                )
                jobs.append(replace(job, steps=steps or min(length, 2000)))
        return cls(tuple(jobs), policy, seeds, ceiling)

    def blocks(
        self, settings: Overrides, held_out: bool, tick: Callable[[int], object]
    ) -> list[Block]:
        """Play every job on every seed; a block is a seed, its value the mean over jobs."""
        out = []
        for seed in self._seeds(held_out):
            runs = [
                replace(job, settings=applied(job.settings, settings)).run(self.policy, seed, tick)
                for job in self.jobs
            ]
            earned = [r.utility if self.ceiling is None else r.quality for r in runs]
            cost = float(np.mean([run.cost.mean() for run in runs]))
            out.append(Block(np.array([np.mean([e.mean() for e in earned])]), cost))
        return out

    def steps(self, held_out: bool) -> int:
        """Return how many decisions one scoring plays."""
        return len(self._seeds(held_out)) * sum(job.steps for job in self.jobs)

    def describe(self) -> dict[str, Any]:
        """Return what tells this problem from others."""
        first = self.jobs[0].settings
        return {
            "jobs": [
                [job.table.name, len(job.table.prompts), *job.table.names, job.scenario, job.steps]
                for job in self.jobs
            ],
            "policy": self.policy,
            "seeds": self.seeds,
            "cost_weight": first.bandit.cost_weight,
            "ceiling": self.ceiling,
            "embedder": first.embedder.name,
        }

    def held_out_words(self) -> str:
        """Return on what the gain is measured, in words."""
        return f"{len(self._seeds(True))} other seeds, the same prompts in other orders"

    def config(self, settings: Overrides) -> dict[str, Any]:
        """Return a whole configuration, as in a file."""
        base = self.jobs[0].settings
        models = {model.name: model for job in self.jobs for model in job.table.models}
        return _config(self.policy, base, list(models.values()), settings)

    def _seeds(self, held_out: bool) -> range:
        if held_out:
            return range(HELD_OUT_SEED, HELD_OUT_SEED + max(5, 2 * self.seeds))
        return range(self.seeds)


@dataclass(frozen=True, eq=False)
class LogProblem(Problem):
    """A decision log: doubly robust terms, on its earlier part for the search."""

    log: Log
    base: Run
    policy: str
    cost_weight: float
    embedder: str
    ceiling: float | None = None
    by_seed = False

    @classmethod
    def of(
        cls,
        path: Path,
        *,
        policy: str = "thompson",
        cost_weight: float = 0.0,
        ceiling: float | None = None,
        embedder: str = "minilm",
        progress: bool = True,
    ) -> LogProblem:
        """Read a log; see `simulator.logs`."""
        log, _ = prepare(path, read_log(path), embedder, progress)
        if log.propensity is None:
            raise InvalidInput(
                f"{path} has no propensities: without them only a model judges settings, and it "
                "would like best those that agree with it",
                "log",
            )
        if (cost_weight or ceiling is not None) and not log.has_cost:
            raise InvalidInput(f"{path} has no costs", "max_cost" if ceiling else "cost_weight")
        if log.vectors is None and policy == "thompson":
            raise InvalidInput(f"{path}: neither vectors nor prompts to place on a map", "log")
        usual = with_weight(Settings(), cost_weight, log.reference_cost_usd)
        base = go_through(base_policy(log.vectors is not None), log, usual)
        return cls(log, base, policy, cost_weight, embedder, ceiling)

    def blocks(
        self, settings: Overrides, held_out: bool, tick: Callable[[int], object]
    ) -> list[Block]:
        """Go through the log; one block, its values terms of the part that is asked for."""
        usual = with_weight(Settings(), self.cost_weight, self.log.reference_cost_usd)
        ours = applied(usual, settings)
        target = go_through(self.policy, self.log, ours, tick).target
        weight = 0.0 if self.ceiling is not None else self.cost_weight
        terms = doubly_robust(value_of(self.log, target, self.base, weight, Clip()))
        bills = cost_of(self.log, target, self.base, Clip())
        cost = np.zeros_like(terms) if bills is None else doubly_robust(bills)
        cut = int(_SEARCHED * len(terms))
        part = slice(cut, None) if held_out else slice(0, cut)
        return [Block(terms[part], float(cost[part].mean()))]

    def steps(self, held_out: bool) -> int:
        """Return how many decisions one scoring plays."""
        return len(self.log)

    def describe(self) -> dict[str, Any]:
        """Return what tells this problem from others."""
        return {
            "decisions": len(self.log),
            "models": list(self.log.models),
            "reward": float(self.log.reward.sum()),
            "policy": self.policy,
            "cost_weight": self.cost_weight,
            "ceiling": self.ceiling,
            "embedder": self.embedder,
        }

    def held_out_words(self) -> str:
        """Return on what the gain is measured, in words."""
        return f"the later {1 - _SEARCHED:.0%} of the log, doubly robust"

    def config(self, settings: Overrides) -> dict[str, Any]:
        """Return a whole configuration, as in a file."""
        base = with_weight(Settings(), self.cost_weight, self.log.reference_cost_usd)
        named = msgspec.structs.replace(base.embedder, name=self.embedder)
        base = msgspec.structs.replace(base, embedder=named)
        return _config(self.policy, base, [Model(name=n) for n in self.log.models], settings)


def problem_of(
    log: Path | None,
    tables: Sequence[Path],
    *,
    policy: str,
    scenarios: Sequence[str],
    models: str,
    steps: int | None,
    seeds: int,
    cost_weight: float,
    max_cost: float | None,
    embedder: str,
) -> Problem:
    """Return the problem of a log, or of tables and scenarios."""
    if policy not in ("thompson", "global-thompson"):
        raise InvalidInput(
            f"tune searches the settings of thompson or global-thompson, not of {policy!r}",
            "policy",
        )
    if max_cost is not None and cost_weight:
        raise InvalidInput(
            "give a highest cost or a cost weight, not both: below a highest cost the weight is "
            "searched",
            "cost_weight",
        )
    if log is not None:
        return LogProblem.of(
            log, policy=policy, cost_weight=cost_weight, ceiling=max_cost, embedder=embedder
        )
    return TableProblem.of(
        tables,
        policy=policy,
        scenarios=scenarios,
        models=models,
        steps=steps,
        seeds=seeds,
        cost_weight=cost_weight,
        ceiling=max_cost,
        embedder=embedder,
    )


def _config(
    policy: str, base: Settings, models: Sequence[Model], settings: Overrides
) -> dict[str, Any]:
    bandit: dict[str, Any] = {"strategy": policy} | settings.get("bandit", {})
    if base.bandit.cost_weight or "cost_weight" in bandit:
        bandit.setdefault("cost_weight", base.bandit.cost_weight)
        bandit["reference_cost_usd"] = base.bandit.reference_cost_usd
    usual = Model(name="")
    out: dict[str, Any] = {
        "embedder": {"name": base.embedder.name},
        "bandit": bandit,
    }
    if "clusterer" in settings:
        out["clusterer"] = settings["clusterer"]
    out["models"] = [
        {
            key: value
            for key, value in msgspec.to_builtins(model).items()
            if value is not None and (key == "name" or value != msgspec.to_builtins(usual)[key])
        }
        for model in models
    ]
    return out
