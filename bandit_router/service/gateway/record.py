"""What serving observed: into the log, and into the headers of the answer."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from urllib.parse import quote

from ...memory import expected_cost
from ...providers import Call, Failure, Served, estimate
from ...providers.http import where
from ...types import Decision, Model, Outcome
from .. import tracing
from ..engine import Engine

DECISION, MODEL, CLUSTER, ENDPOINT, ATTEMPTS, FAILED, FAILURES, COST, USAGE = (
    f"x-bandit-router-{name}"
    for name in (
        "decision-id",
        "model",
        "cluster",
        "endpoint",
        "attempts",
        "failed",
        "failures",
        "cost-usd",
        "usage",
    )
)
_REQUEST_IDS = ("x-request-id", "request-id")
"""What the SDKs of OpenAI and of Anthropic keep of an answer: its decision is found by them."""
_USUAL_BYTES = 1_200
"""Of an answer: about 300 tokens."""
_SAFE = "/@ []=():+.-_"


class Record:
    """Writes down what becomes of one request; where the client named the model, only its bill.

    Parameters
    ----------
    engine
        Has the log.
    decision
        Whose outcomes they are.
    key
        Id of the API key that pays.
    """

    def __init__(self, engine: Engine, decision: Decision | None, key: str | None = None) -> None:
        self._engine = engine
        self._key = key
        self.decision = decision

    def held(self, model: Model, call: Call) -> AbstractContextManager[None]:
        """Hold what the request may cost its key until it is billed; a decision is charged already.

        Raises
        ------
        Refused
            If the key has spent its budget.
        """
        if self._key is None or self.decision is not None:
            return nullcontext()
        return self._engine.held(self._key, _typical(model, call))

    def failures(self, failures: list[Failure]) -> None:
        """Log calls that failed; never a quality observation."""
        for failure in failures:
            self.failed(failure.model, where(failure.endpoint), str(failure.error))

    def failed(self, model: Model, endpoint: str | None, message: str) -> None:
        """Log that a call failed."""
        id_ = self._decision_id
        error = message[:500]
        self.log(
            Outcome(
                seq=0, time=0.0, decision_id=id_, model=model.name, endpoint=endpoint, error=error
            )
        )

    def left(self, model: Model, call: Call, message: str) -> None:
        """Log that the client left before there was an answer, which may have been made."""
        self.failed(model, None, message)
        if self.decision is None and self._key is not None:
            self._bill(_typical(model, call))

    def broken_off(self, served: Served, call: Call, message: str) -> None:
        """Log that an answer broke off; what had come of it is billed, by estimate if need be.

        Of a decision the cost that was expected has been booked already: only what goes beyond
        that is billed.
        """
        self.failed(served.model, where(served.endpoint), message)
        booked = 0.0 if self.decision is None else expected_cost(self.decision)
        came_to = served.answer.used(call.raw).cost(served.model, served.endpoint)
        self._bill(max(0.0, (came_to or 0.0) - booked))

    def observed(self, served: Served, call: Call) -> Outcome:
        """Return who answered, at what cost, how fast."""
        usage = served.answer.used(call.raw)
        return Outcome(
            seq=0,
            time=0.0,
            decision_id=self._decision_id,
            model=served.model.name,
            cost_usd=usage.cost(served.model, served.endpoint),
            latency_ms=1000.0 * (monotonic() - served.started),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens or None,
            reasoning_tokens=usage.reasoning_tokens or None,
            estimated=usage.estimated,
            endpoint=where(served.endpoint),
        )

    def log(self, outcome: Outcome) -> None:
        """Log what was observed."""
        tracing.model_call(outcome, self.decision)
        if self.decision is not None:
            self._engine.note(outcome)
        else:
            self._bill(outcome.cost_usd)

    def _bill(self, usd: float | None) -> None:
        if self._key is not None and usd:
            self._engine.bill(self._key, usd)

    @property
    def _decision_id(self) -> str:
        return "" if self.decision is None else self.decision.decision_id


def _typical(model: Model, call: Call) -> float:
    """Return what a request costs if its answer is of a usual length."""
    return estimate(call.raw, _USUAL_BYTES).cost(model, model.endpoints[0]) or 0.0


def headers(decision: Decision | None, served: Served | None = None) -> dict[str, str]:
    """Return the headers that say what happened; a name's odd characters are percent-encoded."""
    model = served.model.name if served else decision.model if decision else None
    out = {} if model is None else {MODEL: quote(model, safe=_SAFE)}
    if decision is not None:
        out |= {DECISION: decision.decision_id, CLUSTER: str(decision.cluster)}
        out |= dict.fromkeys(_REQUEST_IDS, decision.decision_id)
    if served is not None:
        out[ENDPOINT] = quote(where(served.endpoint), safe=_SAFE)
        out |= failures(served.failures, 1 + len(served.failures))
    return out


def failures(failed: list[Failure], attempts: int) -> dict[str, str]:
    """Return the headers that say which calls failed."""
    out = {ATTEMPTS: str(attempts)}
    if failed:
        names = dict.fromkeys(quote(f.model.name, safe=_SAFE) for f in failed)
        calls = [
            f"{quote(f.model.name, safe=_SAFE)} at {quote(where(f.endpoint), safe=_SAFE)}: "
            f"{f.error.kind}"
            for f in failed[:20]
        ]
        out |= {FAILED: ", ".join(names), FAILURES: "; ".join(calls)}
    return out


def costs(outcome: Outcome) -> dict[str, str]:
    """Return the headers that say what a whole answer cost, and how that is known."""
    out = {USAGE: "estimated" if outcome.estimated else "reported"}
    if outcome.cost_usd is not None:
        out[COST] = f"{outcome.cost_usd:.9g}"
    return out
