"""Who decides a request: the live strategy, a canary, a dry run's incumbent, the kill switch.

Whoever it is, the propensities logged are those with which the models really were chosen, so
that the log stays good for off-policy evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from .bandits.draws import Draws
from .config import BanditSettings, Profile
from .policies import Choice, Context, FixedPolicy
from .strategies import Strategies
from .types import Advice, Role, Shadow

ShadowRole = Literal["shadow", "live", "canary"]
_ERROR_CHARS = 200


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A choice, the strategy that made it and its role, and what the others said.

    `path` holds the clusters where the prompt lies, whoever chose.
    """

    choice: Choice
    strategy: str
    role: Role = "live"
    path: tuple[int, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    advice: Advice | None = None


def live_strategy(bandit: BanditSettings, profile: Profile | None) -> str:
    """Return the strategy of a request: that of its profile, or the router's own."""
    return (profile and profile.strategy) or bandit.strategy


def canary_strategy(bandit: BanditSettings, profile: Profile | None) -> str | None:
    """Return the strategy that decides a share of such requests, or None.

    A profile that names its strategy means it.
    """
    if bandit.canary == bandit.strategy or (profile and profile.strategy):
        return None
    return bandit.canary if bandit.canary_share else None


def asked(bandit: BanditSettings, profile: Profile | None) -> tuple[str, ...]:
    """Return the strategies that say something of a request, the live one first."""
    live = live_strategy(bandit, profile)
    if bandit.canary is None and not bandit.shadows:
        return (live,)
    canary = canary_strategy(bandit, profile)
    return tuple(dict.fromkeys(name for name in (live, canary, *bandit.shadows) if name))


def decide(
    strategies: Strategies,
    names: tuple[str, ...],
    bandit: BanditSettings,
    profile: Profile | None,
    killed: str | None,
    context: Context,
    seq: int,
    draws: Draws,
    keep: Callable[[Choice], Choice] | None,
) -> Verdict:
    """Let the strategies speak, and choose.

    One that only speaks beside the one that decides may fail, or lack the prompt's embedding: the
    decision says so and goes on.
    A canary that fails has no share in that decision.

    Parameters
    ----------
    names
        Of those that are asked, the live one first; see `asked`.
    profile
        That of the request.
    killed
        The kill switch's model; no strategy is asked then.
    seq, draws
        Of the decision, and where its random numbers come from. Those of the live strategy do not
        depend on who else is asked.
    keep
        What a conversation makes of a choice: it stays with its model, or not (see `sessions`);
        None of a prompt that belongs to none.
        Of a canary and the live strategy it keeps each by itself, before they are mixed: so the
        propensities are the same whichever of them chose.
    """
    if killed is not None:
        return _given_to(killed, "kill-switch", context, draws)
    live, *others = names
    if not others and bandit.dry_run is None:
        choice = strategies[live].choose(context, draws.at(seq))
        path = choice.path or strategies.locate(context.vector)
        kept = choice if keep is None else keep(choice)
        return Verdict(choice=kept, strategy=live, path=path, advice=choice.advice)
    keep = keep or _as_it_is
    said: dict[str, Choice] = {}
    failed: dict[str, str] = {}
    for name in (live, *others):
        if context.vector is None and strategies[name].needs_vector:
            failed[name] = "the prompt could not be embedded"
            continue
        purpose = "" if name == live else name
        try:
            said[name] = strategies[name].choose(context, draws.at(seq, purpose))
        except Exception as error:
            if name == live and bandit.dry_run is None:
                raise
            failed[name] = f"{type(error).__name__}: {error}"[:_ERROR_CHARS]
    advice = next((c.advice for c in said.values() if c.advice is not None), None)
    path = next((c.path for c in said.values() if c.path), ()) or strategies.locate(context.vector)
    canary = canary_strategy(bandit, profile)
    roles: dict[str, ShadowRole] = (
        {live: "live"} if canary is None else {canary: "canary", live: "live"}
    )
    shadows = _shadows(said, failed, roles, context)
    if bandit.dry_run is not None:
        verdict = _given_to(bandit.dry_run, "dry-run", context, draws)
        return msgspec.structs.replace(verdict, path=path, advice=advice, shadows=shadows)
    if canary is None or canary in failed:
        rest = tuple(shadow for shadow in shadows if shadow.strategy != live)
        choice = keep(said[live])
        return Verdict(choice=choice, strategy=live, path=path, shadows=rest, advice=advice)
    goes = draws.at(seq, "canary share").generator.random() < bandit.canary_share
    return Verdict(
        choice=mixed(keep(said[live]), keep(said[canary]), bandit.canary_share, second=bool(goes)),
        strategy=canary if goes else live,
        role="canary" if goes else "live",
        path=path,
        shadows=shadows,
        advice=advice,
    )


def _as_it_is(choice: Choice) -> Choice:
    return choice


def mixed(one: Choice, other: Choice, share: float, *, second: bool) -> Choice:
    """Return one of two choices (`second`: the other), with the propensities of the mixture.

    Parameters
    ----------
    share
        The probability of taking the other.
    """
    taken = other if second else one
    chances = _chances(one), _chances(other)
    inexact = [choice.propensity_draws for choice in (one, other) if not choice.exact]
    return msgspec.structs.replace(
        taken,
        candidates=tuple(
            msgspec.structs.replace(
                c, propensity=(1.0 - share) * chances[0][c.model] + share * chances[1][c.model]
            )
            for c in taken.candidates
        ),
        exact=not inexact,
        propensity_draws=min(inexact, default=0),
    )


def _given_to(model: str, role: Role, context: Context, draws: Draws) -> Verdict:
    policy = FixedPolicy(model)
    choice = policy.choose(context, draws)
    return Verdict(choice=choice, strategy=policy.name, role=role)


def _shadows(
    said: Mapping[str, Choice],
    failed: Mapping[str, str],
    roles: Mapping[str, ShadowRole],
    context: Context,
) -> tuple[Shadow, ...]:
    out = []
    for name, choice in said.items():
        chance = _chances(choice)
        out.append(
            Shadow(
                strategy=name,
                model=choice.model,
                propensities=tuple(chance[arm] for arm in context.arms),
                role=roles.get(name, "shadow"),
                exact=choice.exact,
                propensity_draws=choice.propensity_draws,
            )
        )
    for name, error in failed.items():
        out.append(Shadow(strategy=name, role=roles.get(name, "shadow"), error=error))
    return tuple(out)


def _chances(choice: Choice) -> dict[str, float]:
    return {c.model: c.propensity for c in choice.candidates}
