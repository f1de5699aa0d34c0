"""What strategies may ask of the world: which providers answer, and an LLM that chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..policies import Outside
from ..types import Advice, Model
from .advisor import Advisor

_NO_TEXT = Advice(model=None, error="there is no text to judge by, only an embedding")


class World:
    """Everything answers and there is nobody to ask, until the application has the network.

    Attributes
    ----------
    advisor
        Asks an LLM.
    ready
        Whether a model's endpoints take requests.
    """

    def __init__(self) -> None:
        self.advisor: Advisor | None = None
        self.ready: Callable[[Model], bool] | None = None

    async def advise(self, text: str | None, models: Sequence[Model]) -> Advice | None:
        """Return whom of `models` an LLM would choose; None if nobody is to be asked."""
        if not models or self.advisor is None:
            return None
        return _NO_TEXT if text is None else await self.advisor.ask(text, models)

    def outside(self, models: Mapping[str, Model], advice: Advice | None) -> Outside:
        """Return what a decision among `models` may ask; the LLM has answered already."""

        def up(name: str) -> bool:
            model = models[name]
            return self.ready is None or not model.endpoints or self.ready(model)

        if advice is None:
            return Outside(up=up)
        return Outside(up=up, judge=lambda prompt, arms: advice)
