"""Searching how to explore, with Optuna, over routing tables and scenarios or a decision log.

The search sees some seeds (of a log: its earlier part); the gain that is reported is measured
on others, against the defaults on the same streams. Where there is none, the defaults are kept.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import sys
import time
import tomllib
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import numpy as np
from tqdm import tqdm

from ..config import Settings, parse_config
from ..cores import cores
from ..exceptions import InvalidInput, MissingExtra
from .ope import mean_interval
from .parallel import Workers, run_all
from .problems import Block, Overrides, Problem, score
from .summary import t_interval

_ATTEMPTS = 5


def suggest(trial: Any, problem: Problem) -> Overrides:
    """Return the settings that a trial tries."""

    def number(name: str, low: float, high: float, log: bool = True) -> float:
        return float(f"{trial.suggest_float(name, low, high, log=log):.3g}")

    bandit: dict[str, Any] = {
        "strength": number("strength", 3.0, 200.0),
        "difficulty_strength": number("difficulty_strength", 3.0, 200.0),
        "exploration": number("exploration", 0.02, 2.0),
        "sharpening": number("sharpening", 1.0, 16.0),
        "bandwidth": number("bandwidth", 0.1, 0.9, log=False),
        "detect_changes": trial.suggest_categorical("detect_changes", [True, False]),
    }
    if problem.ceiling is not None:
        bandit["cost_weight"] = number("cost_weight", 0.01, 10.0)
    if problem.policy != "thompson":  # no map
        return {"bandit": bandit}
    coarse = number("radius", 0.9, 1.3, log=False)
    fine = float(f"{coarse * number('ratio', 0.6, 0.95, log=False):.3g}")
    half_life = number("half_life", 2_000.0, 200_000.0)
    return {
        "bandit": bandit,
        "clusterer": {"resolutions": [coarse, fine], "half_life": half_life},
    }


def start(problem: Problem) -> dict[str, Any]:
    """Return what a study tries first: the defaults, so that it never ends below them."""
    usual = Settings()
    out: dict[str, Any] = {
        name: getattr(usual.bandit, name)
        for name in ("strength", "difficulty_strength", "exploration", "sharpening", "bandwidth")
    }
    out["detect_changes"] = usual.bandit.detect_changes
    if problem.ceiling is not None:
        out["cost_weight"] = problem.default()["bandit"]["cost_weight"]
    if problem.policy == "thompson":
        radii = usual.clusterer.resolutions
        out |= {"radius": radii[0], "ratio": radii[-1] / radii[0]}
        out["half_life"] = usual.clusterer.half_life
    return out


def tune(
    problem: Problem,
    *,
    trials: int = 30,
    study: str | None = None,
    processes: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Search; return what was found, and what it gains where the search did not look.

    Parameters
    ----------
    trials
        How many to run here; a shared study may hold more.
    study
        An Optuna storage URL (``sqlite:///FILE``, ``postgresql://...``) that several machines may
        share; they work on the same study if they are given the same problem.
    processes
        Trials at once; None: one a core.

    Returns
    -------
    dict
        ``trials`` (finished, of the whole study), ``search`` (score of the defaults and of the
        best), ``held_out`` (``default``, ``tuned``, ``gain``, ``ci``), ``kept`` (``tuned`` or
        ``default``), ``overrides`` (what to set), ``interrupted``.

    Raises
    ------
    InvalidInput
        If Optuna is not installed or the study cannot be opened.
    """
    with ExitStack() as opened:
        return _tuned(_study(study, problem, opened), problem, trials, processes, progress)


def _tuned(
    search: Any, problem: Problem, trials: int, processes: int | None, progress: bool
) -> dict[str, Any]:
    processes = processes or cores()
    cut = _search(search, problem, trials, processes, progress)
    import optuna

    done = search.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if not done:
        raise KeyboardInterrupt
    best = max(done, key=lambda trial: trial.value)
    overrides: Overrides = best.user_attrs["overrides"]
    default = problem.default()
    held_out, better, at_start = _measure(problem, default, overrides, processes, progress)
    return {
        "study": search.study_name,
        "max_cost_usd": problem.ceiling,
        "trials": len(done),
        "search": {"default": at_start, "tuned": best.value},
        "held_out": held_out,
        "kept": "tuned" if better else "default",
        "overrides": overrides if better else default,
        "best": overrides,
        "interrupted": cut,
    }


def text(found: dict[str, Any]) -> str:
    """Return what `tune` found in plain words."""
    held = found["held_out"]
    low, high = held["ci"]
    bounds = "" if low is None else f" (95 %: {low:+.4f} to {high:+.4f})"
    lines = [
        f"{found['trials']} trials; where the search looked, the best scores "
        f"{found['search']['tuned']:.4f} and the defaults {found['search']['default']:.4f}.",
        f"Held out ({held['on']}): tuned {held['tuned']:.4f}, defaults {held['default']:.4f}, "
        f"gain {held['gain']:+.4f}{bounds}.",
    ]
    ceiling = found["max_cost_usd"]
    if ceiling is not None:
        cost = held["cost_usd"]
        lines.append(
            f"Mean cost there: tuned ${cost['tuned']:.3g}, defaults ${cost['default']:.3g}; "
            f"the ceiling is ${ceiling:.3g}."
        )
        if cost["tuned"] > ceiling and cost["default"] > ceiling:
            lines.append("Neither keeps below it: more trials, or cheaper models.")
    if found["kept"] == "default":
        lines.append("Nothing better than the defaults was found: the defaults are kept.")
    elif ceiling is not None and cost["default"] > ceiling:
        lines.append("The defaults cost too much: what was found is kept.")
    elif low is None or low <= 0:
        lines.append("That may be luck: the interval holds 0. More seeds would tell.")
    if found["interrupted"]:
        lines.append("Interrupted: only the trials that were finished are counted.")
    return "\n".join(lines)


def config_text(problem: Problem, found: dict[str, Any]) -> str:
    """Return the configuration file that `tune` writes: what `serve --config` accepts."""
    import tomli_w

    held = found["held_out"]
    head = [
        "# Written by `bandit-router tune`.",
        f"# {found['trials']} trials. Held out ({held['on']}):",
        f"# gain over the defaults {held['gain']:+.4f}; kept: {found['kept']}.",
    ]
    body = tomli_w.dumps(problem.config(found["overrides"]))
    parse_config(tomllib.loads(body))  # never write what cannot be read
    return "\n".join(head) + "\n\n" + body


def _study(url: str | None, problem: Problem, on_close: ExitStack) -> Any:
    """Return the study at a URL, or one in memory; `on_close` closes its connections.

    Optuna leaves them to the garbage collector.
    """
    try:
        import optuna
    except ImportError:
        raise MissingExtra(
            "tune needs optuna: pip install 'bandit-router[simulator]'", "study"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    described = json.dumps(problem.describe(), sort_keys=True)
    digest = hashlib.sha256(described.encode()).hexdigest()[:12]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # Machines that share a study must not all draw the same first trials.
        sampler = optuna.samplers.TPESampler(
            seed=None if url else 0, multivariate=True, constant_liar=True
        )

    def opened() -> Any:
        storage = None
        if url is not None:
            storage = optuna.storages.RDBStorage(_with_driver(url))
            on_close.callback(storage.engine.dispose)
        found = optuna.create_study(
            storage=storage,
            sampler=sampler,
            study_name=f"bandit-router-{digest}",
            direction="maximize",
            load_if_exists=True,
        )
        found.set_user_attr("problem", described)
        found.enqueue_trial(start(problem), skip_if_exists=True)
        return found

    try:
        return _patiently(opened)
    except Exception as error:  # of Optuna, SQLAlchemy and the database driver
        raise InvalidInput(
            f"study: cannot open {_without_password(url or '')}: {_first_line(error)}; give "
            "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None


def _patiently(opened: Callable[[], Any]) -> Any:
    """Open a study, again if another machine made its tables in the same moment."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    for _ in range(_ATTEMPTS - 1):
        try:
            return opened()
        except (IntegrityError, OperationalError, ProgrammingError, StorageInternalError):
            time.sleep(random.uniform(0.1, 0.5))
    return opened()


def _with_driver(url: str) -> str:
    """Name psycopg 3 where it is there, since SQLAlchemy would look for psycopg 2."""
    scheme, _, rest = url.partition("://")
    if scheme in ("postgresql", "postgres") and find_spec("psycopg"):
        return f"postgresql+psycopg://{rest}"
    return url


def _without_password(url: str) -> str:
    scheme, mark, rest = url.rpartition("://")
    return f"{scheme}{mark}{rest.rsplit('@', 1)[-1]}"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def _search(study: Any, problem: Problem, trials: int, processes: int, progress: bool) -> bool:
    """Run trials; return whether an interrupt cut them short."""
    running: dict[Future[Any], Any] = {}
    asked = 0
    units = problem.steps(held_out=False)
    with _bar(trials * units, "searching", progress) as bar:
        try:
            with Workers(score, problem, min(processes, trials), bar) as workers:
                while running or asked < trials:
                    while asked < trials and len(running) < processes:
                        trial = study.ask()
                        overrides = suggest(trial, problem)
                        trial.set_user_attr("overrides", overrides)
                        running[workers.submit((overrides, False))] = trial
                        asked += 1
                    for future in workers.wait(set(running)):
                        value = problem.objective(future.result())
                        trial = running.pop(future)
                        study.tell(trial, value)
                        bar.set_postfix(best=f"{study.best_value:.4f}")
        except KeyboardInterrupt:
            import optuna

            for trial in running.values():
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return True
    return False


def _measure(
    problem: Problem,
    default: Overrides,
    tuned: Overrides,
    processes: int,
    progress: bool,
) -> tuple[dict[str, Any], bool, float]:
    """Compare with the defaults where the search did not look.

    Also whether what was found is better there (what costs too much is not), and the score of the
    defaults where the search looked.
    """
    tasks = [(default, True), (tuned, True), (default, False)]
    total = 2 * problem.steps(held_out=True) + problem.steps(held_out=False)
    by_number = dict(enumerate(tasks))
    with _bar(total, "held out", progress) as bar:
        found, cut = run_all(_numbered, (problem, by_number), list(by_number), processes, bar)
    if cut:
        raise KeyboardInterrupt
    usual, other = problem.values(found[0]), problem.values(found[1])
    gap = other - usual
    low, high = t_interval(gap) if problem.by_seed else mean_interval(gap)[1]
    held_out = {
        "default": float(usual.mean()),
        "tuned": float(other.mean()),
        "gain": float(gap.mean()),
        "ci": [None if b is None or not math.isfinite(b) else float(b) for b in (low, high)],
        "cost_usd": {"default": _cost(found[0]), "tuned": _cost(found[1])},
        "on": problem.held_out_words(),
    }
    better = problem.objective(found[1]) > problem.objective(found[0])
    return held_out, better, problem.objective(found[2])


def _numbered(
    shared: tuple[Problem, dict[int, tuple[Overrides, bool]]],
    number: int,
    tick: Callable[[int], object],
) -> list[Block]:
    problem, tasks = shared
    return score(problem, tasks[number], tick)


def _cost(blocks: list[Block]) -> float:
    return float(np.mean([block.cost for block in blocks]))


def _bar(total: int, label: str, progress: bool) -> tqdm[Any]:
    return tqdm(
        total=total, desc=label, unit="step", unit_scale=True, file=sys.stderr, disable=not progress
    )
