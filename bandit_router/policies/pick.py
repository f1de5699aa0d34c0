"""One arm chosen for certain, and arms in the order of their price."""

from __future__ import annotations

from ..types import Candidate, Model
from .base import Choice, Context, Expectation, Policy, typical_cost


def certain(chosen: str, context: Context) -> Choice:
    """Return the choice of `chosen` with probability 1."""
    return Choice(
        model=chosen,
        candidates=tuple(
            Candidate(model=arm, propensity=float(arm == chosen)) for arm in context.arms
        ),
    )


class PricedPolicy(Policy):
    """A policy that ranks arms by list price, cheapest first; in the order given without prices."""

    learns = False

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}

    def set_arm(self, model: Model) -> None:
        """Note the price of an arm."""
        self._models[model.name] = model

    def retire_arm(self, name: str) -> None:
        """Forget an arm."""
        self._models.pop(name, None)

    def ranked(self, arms: tuple[str, ...]) -> list[str]:
        """Return `arms`, cheapest first; those without a price come in the middle."""
        place = {name: i for i, name in enumerate(self._models)}
        price = {arm: self._price(arm) for arm in arms}
        known = sorted(p for p in price.values() if p is not None)
        middle = known[len(known) // 2] if known else 0.0
        return sorted(
            arms,
            key=lambda arm: (
                middle if (p := price[arm]) is None else p,
                place.get(arm, len(place)),
            ),
        )

    def mains(self, arms: tuple[str, ...]) -> list[str]:
        """Return `arms`, the main model first.

        That is the one with the highest `quality_prior`; without priors the dearest by list
        price, as people buy who have no data; without prices the first.
        """
        prior = {arm: self._prior(arm) for arm in arms}
        if any(value is not None for value in prior.values()):
            return sorted(arms, key=lambda arm: -(prior[arm] or 0.0))
        if all(self._price(arm) is None for arm in arms):
            return self.ranked(arms)
        return self.ranked(arms)[::-1]

    def expected(self, context: Context) -> dict[str, Expectation]:
        """Return what a typical request costs at list price, where there is one."""
        return {arm: Expectation(cost_usd=self._price(arm)) for arm in context.arms}

    def reference_cost(self) -> float | None:
        """Return what a typical request costs with the dearest model."""
        return max((p for arm in self._models if (p := self._price(arm))), default=None)

    def _prior(self, arm: str) -> float | None:
        model = self._models.get(arm)
        return None if model is None else model.quality_prior

    def _price(self, arm: str) -> float | None:
        model = self._models.get(arm)
        return None if model is None else typical_cost(model)

    def state(self) -> dict[str, object]:
        """Return the order of the arms; their prices are the router's."""
        return {"arms": list(self._models), "prices": [_prices(m) for m in self._models.values()]}

    def load(self, state: dict[str, object]) -> None:
        """Take over what `state` returned."""
        arms, prices = state["arms"], state["prices"]
        assert isinstance(arms, list)
        assert isinstance(prices, list)
        self._models = {
            name: Model(name=name, input_usd_per_m=i, output_usd_per_m=o, quality_prior=q)
            for name, (i, o, q) in zip(arms, prices, strict=True)
        }


def _prices(model: Model) -> list[float | None]:
    return [model.input_usd_per_m, model.output_usd_per_m, model.quality_prior]
