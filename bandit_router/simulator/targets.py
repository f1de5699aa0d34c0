"""What may be asked of a log, and what a policy's choices are worth on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import numpy as np

from ..config import Settings, nearest
from ..exceptions import ConfigError, InvalidInput
from ..policies import NAMES, make_policy
from .log_arrays import Log
from .ope import Array, Clip, Estimate, Evaluation
from .passes import SHADOW, Run


def check(policies: Sequence[str], models: Collection[str]) -> None:
    """Refuse policies that there are not, or that cannot go through a log."""
    if not policies:
        raise InvalidInput("name at least one policy", "policy")
    for name in policies:
        if name.startswith(SHADOW):
            continue
        if name.startswith("fixed:") and name.removeprefix("fixed:") not in models:
            model = name.removeprefix("fixed:")
            raise InvalidInput(f"no model {model!r} in the log{nearest(model, models)}", "policy")
        try:
            policy = make_policy(name, Settings())
        except ConfigError:
            there = ", ".join(NAMES)
            raise InvalidInput(
                f"a replay has no policy {name!r}{nearest(name, NAMES)}; there are {there}",
                "policy",
            ) from None
        if policy.needs_judge:
            raise InvalidInput(
                f"{name} asks an LLM, which a replay does not; where it was a shadow there is "
                f"{SHADOW}{name}",
                "policy",
            )
        if policy.needs_training:
            raise InvalidInput(
                f"{name} is fitted on what every model did on a prompt, which no log tells",
                "policy",
            )


def base_policy(placed: bool) -> str:
    """Return the policy whose posterior is the model of the rewards, with or without vectors."""
    return "thompson" if placed else "global-thompson"


def with_weight(settings: Settings, cost_weight: float, reference: float) -> Settings:
    """Return the settings with a trade-off, measured by a reference cost of the log's own."""
    bandit = msgspec.structs.replace(
        settings.bandit, cost_weight=cost_weight, reference_cost_usd=reference
    )
    return msgspec.structs.replace(settings, bandit=bandit)


def value_of(log: Log, target: Array, base: Run, cost_weight: float, clip: Clip) -> Evaluation:
    """See the log's utilities through a target policy."""
    model, value = base.quality, log.reward
    if cost_weight:
        price = cost_weight / log.reference_cost_usd
        model, value = model - price * base.cost, value - price * log.paid
    return Evaluation(target, model, log.action, value, log.propensity, clip)


def cost_of(log: Log, target: Array, base: Run, clip: Clip) -> Evaluation | None:
    """See the log's costs through a target policy; None without any."""
    if not log.has_cost:
        return None
    return Evaluation(target, base.cost, log.action, log.paid, log.propensity, clip)


def as_json(found: Estimate) -> dict[str, Any]:
    """Return an estimate as ``replay --json`` prints it."""
    return {
        "value": _finite(found.value),
        "ci": [_finite(bound) for bound in found.ci],
        "ess": found.ess,
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
