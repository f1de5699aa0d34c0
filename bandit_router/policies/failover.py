"""One model at several providers: what most gateways do."""

from __future__ import annotations

from ..bandits.draws import Draws
from .base import Choice, Context
from .pick import PricedPolicy, certain


class FailoverPolicy(PricedPolicy):
    """The main model as long as one of its providers answers, then the next.

    The main model is the first of `PricedPolicy.mains`. Whether a provider answers is asked of
    `base.Outside.up`: the service knows by the health of the endpoints.
    """

    name = "failover"

    def choose(self, context: Context, draws: Draws) -> Choice:
        """Choose the first model in order that answers; the main one if none does."""
        order, up = self.mains(context.arms), context.outside.up
        chosen = next((arm for arm in order if up is None or up(arm)), order[0])
        return certain(chosen, context)
