"""What has been said of each decision, and what it comes to."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from .bandits.credit import Credit, credit, nothing
from .config import FeedbackSettings, family_of
from .exceptions import InvalidInput, UnknownDecision
from .types import Decision, Feedback, History, Model, Outcome, without_text

_SAID = ("reward", "cost_usd", "latency_ms", "prompt_tokens", "completion_tokens")
_MAX_WEIGHT = 100.0
_FAR = 10.0
_MOST_UNKNOWN = {"cost_usd": 10.0, "latency_ms": 600_000.0}  # of what nothing was expected
_MOST = 1e12  # dollars, milliseconds, tokens: their squares are summed up
_UNHEARD = (1.0, None)
_LIMITS = tuple(zip(_SAID, (1.0, _MOST, _MOST, _MOST, _MOST), strict=True))

Recall = Callable[[str, int], History | None]
"""``(decision_id, before_seq)`` -> what the log holds of that decision before `before_seq`."""


class Memory:
    """The most recent histories, with the log behind them.

    Parameters
    ----------
    recall
        Looks a decision up in the log; None: what is no longer held is forgotten.
    size
        Decisions held.
    """

    def __init__(self, recall: Recall | None = None, size: int = 50_000) -> None:
        self._recall = recall
        self._unknown_until = 0
        self._size = size
        self._recent: OrderedDict[str, History] = OrderedDict()

    def history(self, decision_id: str, before_seq: int) -> History:
        """Return what was said of a decision before the event `before_seq`.

        Raises
        ------
        UnknownDecision
            If there is no such decision, or it is no longer held.
        """
        found = self._recent.get(decision_id)
        if found is None and self._recall is not None:
            found = self._recall(decision_id, before_seq)
            if found is not None and found.decision.seq <= self._unknown_until:
                found = None
        if found is None:
            hint = "" if self._recall else f" (the last {self._size} are held without a database)"
            raise UnknownDecision(f"no decision {decision_id!r} is known{hint}")
        return found

    def erase(self, decision_ids: Iterable[str]) -> None:
        """Hold decisions without text, hash and metadata from now on."""
        for id_ in decision_ids:
            if (found := self._recent.get(id_)) is not None:
                left = without_text(found.decision)
                self._recent[id_] = msgspec.structs.replace(found, decision=left)

    def forget_until(self, seq: int) -> None:
        """Know no decision up to event `seq` until told otherwise; hold none of them."""
        self._unknown_until = seq
        for id_ in [i for i, h in self._recent.items() if h.decision.seq <= seq]:
            del self._recent[id_]

    def holds(self, decision_id: str, before_seq: int, logged: bool = True) -> bool:
        """Tell whether there is such a decision, in the log too if `logged`."""
        if not logged:
            return decision_id in self._recent
        try:
            self.history(decision_id, before_seq)
        except UnknownDecision:
            return False
        return True

    def put(self, history: History) -> None:
        """Hold a history, newest last; the oldest falls out."""
        recent, id_ = self._recent, history.decision.decision_id
        if id_ in recent:
            recent.move_to_end(id_)
        recent[id_] = history
        if len(recent) > self._size:
            recent.popitem(last=False)


def with_event(history: History, event: Outcome | Feedback) -> History:
    """Return `history` with one more event.

    What a source says again takes the place of what it said: who changes their mind a thousand
    times is one voice, and no more work than one.
    """
    if type(event) is Outcome:
        return msgspec.structs.replace(history, outcomes=(*history.outcomes, event))
    source = event.source
    before = history.feedback and [f for f in history.feedback if f.source == source]
    if not before:
        return msgspec.structs.replace(history, feedback=(*history.feedback, event))
    # What its word counts goes with the first one, or with its vote: see `_over`.
    voted = next((f for f in before if f.reward is not None), None)
    if voted is not None:
        event = msgspec.structs.replace(event, reliability=voted.reliability)
    elif event.reward is None:
        event = msgspec.structs.replace(event, weight=before[0].weight)
    again = _said(event)
    ours = [left for f in before if (left := _without(f, again)) is not None] + [event]
    heard: list[Feedback] = []
    for f in history.feedback:  # sources stay in the order in which they first spoke
        if f is before[0]:
            heard += ours
        elif f.source != source:
            heard.append(f)
    return msgspec.structs.replace(history, feedback=tuple(heard))


def _without(feedback: Feedback, fields: set[str]) -> Feedback | None:
    """Return what is left of a feedback without some of its fields; None if that is nothing."""
    said = _said(feedback)
    if not said & fields:
        return feedback
    if said <= fields:
        return None
    gone: dict[str, None] = dict.fromkeys(said & fields)
    if "cost_usd" in gone:
        gone["prices"] = None
    return msgspec.structs.replace(feedback, **gone)


def _said(feedback: Feedback) -> set[str]:
    return {name for name in _SAID if getattr(feedback, name) is not None}


def standing(history: History) -> dict[str, Feedback]:
    """Return what each source says in the end: a later feedback replaces the fields it gives."""
    out: dict[str, Feedback] = {}
    for feedback in history.feedback:
        before = out.get(feedback.source)
        out[feedback.source] = feedback if before is None else _over(before, feedback)
    return out


def _over(before: Feedback, after: Feedback) -> Feedback:
    given = {name: value for name in _SAID if (value := getattr(after, name)) is not None}
    # What a vote counts belongs to its reward: a late cost must not alter it. The source's word
    # goes on counting what it did at its first vote: a revision is no occasion to judge it anew.
    weight = after.weight if after.reward is not None else before.weight
    first = after if before.reward is None else before
    given |= {"weight": weight, "reliability": first.reliability}
    if after.cost_usd is not None:
        given["prices"] = after.prices
    return msgspec.structs.replace(before, **given, seq=after.seq, time=after.time)


def settle(history: History, settings: FeedbackSettings) -> Credit:
    """Return what a decision has taught so far; what a new event teaches is the difference.

    Every source adds its reward with the weight of the feedback times that of the source and its
    reliability. The last cost and latency reported are the ones that count. Of a decision that
    is capped, no feedback weighs more than its source does, all of them no more than all sources
    together, and a reported cost or latency is taken for at most ten times what was expected.
    """
    decision = history.decision
    if not (history.outcomes or history.feedback):
        return nothing(decision.model)
    rewards, heard = [], history.feedback
    for f in heard if len(heard) == 1 else standing(history).values():
        if f.reward is not None:
            said = min(f.weight, 1.0) if decision.capped else f.weight
            rewards.append((said * f.reliability * settings.weight(f.source), f.reward))
    scale = decision.trust
    if decision.capped:
        most = settings.default_weight + sum(settings.weights.values())
        scale *= min(1.0, most / max(sum(weight for weight, _ in rewards), 1e-12))
    if scale != 1.0:
        rewards = [(scale * weight, reward) for weight, reward in rewards]
    (bill, cost), (clock, latency) = _reported(history)
    return credit(history.answered_by, rewards, cost, latency, (bill, clock))


def reported_cost(history: History) -> float | None:
    """Return the cost that was reported last, US dollars; None if none was."""
    return _reported(history)[0][1]


Weighed = tuple[float, float | None]


def _reported(history: History) -> tuple[Weighed, Weighed]:
    """Return the weights and the values of cost and latency as they were reported last."""
    bill: Outcome | Feedback | None = None
    clock: Outcome | Feedback | None = None
    reports: tuple[Outcome | Feedback, ...] = (*history.outcomes, *history.feedback)
    for report in reports:
        if report.cost_usd is not None and (bill is None or report.seq > bill.seq):
            bill = report
        if report.latency_ms is not None and (clock is None or report.seq > clock.seq):
            clock = report
    return (
        _UNHEARD if bill is None else _believed(history, bill, "cost_usd"),
        _UNHEARD if clock is None else _believed(history, clock, "latency_ms"),
    )


def _believed(history: History, last: Outcome | Feedback, what: str) -> Weighed:
    """Return the weight and the value of what a report says; what serving saw is believed."""
    value: float = getattr(last, what)
    decision = history.decision
    if isinstance(last, Outcome) or not decision.capped:
        return 1.0, value
    expected = getattr(decision.candidate(history.answered_by), what, None)
    return decision.trust, min(value, _FAR * expected if expected else _MOST_UNKNOWN[what])


def spoken(decision: Decision, source: str) -> str:
    """Return under which name a source's word is judged.

    The same word of two keys is two's. Sources of one family are one: some of them only ever
    find fault, and others only praise.
    """
    key, family = decision.request.key, family_of(source)
    return family if key is None else f"{key}/{family}"


def priced(said: Feedback, history: History, model: Model | None) -> Feedback:
    """Return a feedback with what the tokens come to at list price, unless the cost is known.

    A cost that was said, or that serving saw, is worth more. Counts that came apart are taken
    together, the last of each. The prices of a decision are those that its first tokens were
    priced by: saying them again after a price has changed is no news.
    """
    if said.prices is None and (said.cost_usd is not None or not _counted(said)):
        return said
    bill = said.cost_usd if said.prices is None else None  # a replica has priced its own
    heard = (f.prices for f in (*history.feedback, said) if f.prices is not None)
    prices = next(heard, None) or _list_prices(model)
    if bill is not None or not _counted(said) or _billed(history) or prices is None:
        return msgspec.structs.replace(said, cost_usd=bill, prices=None)
    ours = [o for o in history.outcomes if o.error is None and o.model == history.answered_by]
    reports: list[Outcome | Feedback] = [*ours, *history.feedback]
    counts = (0, 0)
    for report in (*sorted(reports, key=lambda report: report.seq), said):
        counts = (
            counts[0] if report.prompt_tokens is None else report.prompt_tokens,
            counts[1] if report.completion_tokens is None else report.completion_tokens,
        )
    return msgspec.structs.replace(said, cost_usd=_cost(counts, prices), prices=prices)


def observed_cost(outcome: Outcome, model: Model) -> float | None:
    """Return the cost that serving saw, else what the tokens come to at list price."""
    prices = _list_prices(model)
    if outcome.cost_usd is not None or not _counted(outcome) or prices is None:
        return outcome.cost_usd
    return _cost((outcome.prompt_tokens or 0, outcome.completion_tokens or 0), prices)


def _counted(said: Feedback | Outcome) -> bool:
    return said.prompt_tokens is not None or said.completion_tokens is not None


def _billed(history: History) -> bool:
    """Tell whether a cost stands that was no estimate."""
    return any(f.cost_usd is not None and f.prices is None for f in history.feedback) or any(
        o.cost_usd is not None and o.error is None and not o.estimated for o in history.outcomes
    )


def _list_prices(model: Model | None) -> tuple[float, float] | None:
    """Return the prices of input and output, US dollars per million tokens; None if unknown."""
    if model is None or (model.input_usd_per_m is None and model.output_usd_per_m is None):
        return None
    return model.input_usd_per_m or 0.0, model.output_usd_per_m or 0.0


def _cost(counts: tuple[int, int], prices: tuple[float, float]) -> float:
    return (counts[0] * prices[0] + counts[1] * prices[1]) / 1e6


def expected_cost(decision: Decision) -> float:
    """Return what the chosen arm was expected to cost, US dollars; 0 if nobody knew."""
    return decision.chosen.cost_usd or 0.0


def check_feedback(feedback: Feedback) -> None:
    """Refuse feedback that says nothing, or a value out of range.

    Raises
    ------
    InvalidInput
        With the `field`.
    """
    said = False
    for field, high in _LIMITS:
        value = getattr(feedback, field)
        if value is None:
            continue
        said = True
        if type(value) is float and 0.0 <= value <= high:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidInput(f"{field} must be a number, not {value!r}", field)
        if not (math.isfinite(value) and 0.0 <= value <= high):
            limit = f"between 0 and {high:g}"
            raise InvalidInput(f"{field} must be {limit}, not {value!r}", field)
    if not said:
        raise InvalidInput("give a reward, a cost, a latency or token counts", "reward")
    if not 0.0 < feedback.weight <= _MAX_WEIGHT:
        raise InvalidInput(f"weight must be above 0 and at most {_MAX_WEIGHT:g}", "weight")
    if not feedback.source.strip():
        raise InvalidInput("source must not be empty", "source")
