"""Environments that are not tables: a Python callable, or a gymnasium one such as river.bandit's.

An environment is called with a seed and yields rounds without end (or until it ends); each round
is a prompt or a vector, and a function that answers with what a model would have earned. Only
the model that was chosen is asked.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from tqdm import tqdm

from ..config import Settings
from ..exceptions import InvalidInput
from ..router import Router
from ..types import Feedback, Request, Vector
from .summary import BINS, binned, t_interval


@dataclass(frozen=True)
class Answer:
    """What a model earned: `quality` in [0, 1], and what it cost, US dollars."""

    quality: float
    cost_usd: float | None = None


@dataclass(frozen=True, eq=False)
class Round:
    """One prompt, and what would come of each choice.

    Attributes
    ----------
    answer
        From a model's name to what it earns; asked once, of the model that was chosen.
    prompt, vector
        What the router sees; a vector needs no embedder. Neither: a bandit without context.
    models
        Which models are eligible; None: all.
    best
        The expected utility of the best choice, where it is known: what regret is measured by.
    """

    answer: Callable[[str], Answer | float]
    prompt: str = ""
    vector: Vector | None = None
    models: tuple[str, ...] | None = None
    best: float | None = None


Environment = Callable[[int], Iterable[Round]]
"""From a seed to rounds."""


def play_environment(
    environment: Environment,
    models: Sequence[str],
    policies: Sequence[str],
    *,
    steps: int,
    seeds: int = 5,
    embedder: str = "none",
    settings: Settings | None = None,
    name: str = "environment",
    progress: bool = True,
) -> dict[str, Any]:
    """Play policies in an environment of one's own.

    Parameters
    ----------
    models
        Names of the arms.
    policies
        Names that `make_policy` knows, none of them fitted.
    embedder
        For rounds with a prompt and no vector.
    settings
        What the router runs with; its cost weight and reference cost are those of the utility.

    Returns
    -------
    dict
        As one table of `simulate`'s result, so that `simulator.plots` draws it too; regret only
        where every round tells its best.

    Examples
    --------
    >>> def coins(seed):
    ...     rng = np.random.default_rng(seed)
    ...     while True:
    ...         yield Round(lambda m: float(rng.random() < {"fair": 0.5, "good": 0.9}[m]))
    >>> found = play_environment(
    ...     coins, ["fair", "good"], ["global-thompson"], steps=200, seeds=2, progress=False
    ... )
    >>> found["policies"]["global-thompson"]["arm_share"]["good"][-1] > 0.9
    True
    """
    if steps < 1 or seeds < 1:
        field = "steps" if steps < 1 else "seeds"
        raise InvalidInput(f"{field} must be at least 1", field)
    settings = settings or Settings()
    bar = tqdm(
        total=len(policies) * seeds * steps,
        desc=f"playing {name}",
        unit="step",
        file=sys.stderr,
        disable=not progress,
    )
    with bar:
        runs = {
            policy: [
                _play(environment, models, policy, seed, steps, embedder, settings, bar.update)
                for seed in range(seeds)
            ]
            for policy in dict.fromkeys(policies)
        }
    return {
        "table": name,
        "models": list(models),
        "steps": steps,
        "seeds": seeds,
        "cost_weight": settings.bandit.cost_weight,
        "scenario": "environment",
        "embedder": embedder,
        "reference_cost_usd": settings.bandit.reference_cost_usd,
        "policies": {policy: _summary(found, models) for policy, found in runs.items()},
    }


class GymnasiumEnvironment:
    """A gymnasium environment with discrete actions, each an arm.

    Parameters
    ----------
    make
        Makes one, such as ``river.bandit.envs.CandyCaneContest``.
    reward_range
        What is taken to 0 and to 1 (rewards beyond are cut off); None: what the environment says.
    observe
        From an observation to a vector, or None. By default arrays of one dimension are vectors
        and anything else is not looked at, since it may tell the best arm.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        reward_range: tuple[float, float] | None = None,
        observe: Callable[[Any], Any] | None = None,
    ) -> None:
        self._make, self._observe = make, observe or _array
        env = make()
        count = getattr(env.action_space, "n", None)
        if count is None:
            raise InvalidInput("the environment's actions are not discrete", "environment")
        first = int(getattr(env.action_space, "start", 0))
        self._action = {str(first + i): first + i for i in range(int(count))}
        said: tuple[float, float] | None = getattr(env, "reward_range", None)
        low, high = reward_range or said or (-math.inf, math.inf)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise InvalidInput(
                "the environment's rewards have no bounds: say with reward_range=(low, high) what "
                "counts as 0 and as 1",
                "reward_range",
            )
        self._low, self._width = float(low), float(high) - float(low)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the arms: the numbers of the actions."""
        return tuple(self._action)

    def __call__(self, seed: int) -> Iterator[Round]:
        """Yield rounds; an episode that ends is followed by the next."""
        env = self._make()
        observation, _ = env.reset(seed=seed)
        while True:
            after: list[Any] = []  # observation, reward, terminated, truncated

            def answer(model: str, after: list[Any] = after) -> float:
                after[:] = env.step(self._action[model])[:4]
                return float(np.clip((float(after[1]) - self._low) / self._width, 0.0, 1.0))

            yield Round(answer, vector=self._observe(observation))
            observation = after[0]
            if after[2] or after[3]:
                observation, _ = env.reset()


def _array(observation: Any) -> Any:
    found = observation if isinstance(observation, np.ndarray) else None
    return None if found is None or found.ndim != 1 else found


@dataclass(frozen=True, eq=False)
class _Lived:
    utility: Any
    quality: Any
    cost: Any
    arm: Any
    regret: Any


def _play(
    environment: Environment,
    models: Sequence[str],
    policy: str,
    seed: int,
    steps: int,
    embedder: str,
    settings: Settings,
    tick: Callable[[int], object],
) -> _Lived:
    bandit = msgspec.structs.replace(settings.bandit, strategy=policy, seed=seed)
    router = Router(
        models, settings=msgspec.structs.replace(settings, bandit=bandit), embedder=embedder
    )
    if router.policy.needs_training:
        raise InvalidInput(f"{policy} is fitted on labels, which no environment gives", "policy")
    out = np.full((5, steps), np.nan)
    column = {name: i for i, name in enumerate(models)}
    reference = bandit.reference_cost_usd or 1.0
    rounds = islice(environment(seed), steps)
    for step, here in enumerate(rounds):
        decision = router.route(
            here.prompt,
            vector=here.vector,
            request=Request(models=here.models),
            time=float(step),
        )
        said = here.answer(decision.model)
        answer = said if isinstance(said, Answer) else Answer(float(said))
        router.feedback(
            Feedback(
                decision_id=decision.decision_id,
                reward=answer.quality,
                cost_usd=answer.cost_usd,
            )
        )
        cost = answer.cost_usd or 0.0
        utility = answer.quality - bandit.cost_weight * cost / reference
        regret = np.nan if here.best is None else here.best - utility
        out[:, step] = utility, answer.quality, cost, column[decision.model], regret
        tick(1)
    lived = out[:, ~np.isnan(out[0])]
    if not lived.shape[1]:
        raise InvalidInput("the environment yielded no round", "environment")
    return _Lived(*lived)


def _summary(runs: list[_Lived], models: Sequence[str]) -> dict[str, Any]:
    by_seed = np.array([run.utility.mean() for run in runs])
    out: dict[str, Any] = {
        "utility": float(by_seed.mean()),
        "utility_ci": t_interval(by_seed),
        "utility_by_seed": by_seed.tolist(),
        "curve_by_seed": [binned(run.utility, BINS).tolist() for run in runs],
        "arm_share": {
            name: np.mean(
                [binned((run.arm == column).astype(float), BINS) for run in runs], axis=0
            ).tolist()
            for column, name in enumerate(models)
        },
        "quality": float(np.mean([run.quality.mean() for run in runs])),
        "cost_usd": float(np.mean([run.cost.mean() for run in runs])),
    }
    if not any(np.isnan(run.regret).any() for run in runs):
        out["regret_curve_by_seed"] = [binned(run.regret, BINS).tolist() for run in runs]
    return out
