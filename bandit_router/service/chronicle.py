"""The recent past, read from the event log: what the pages show beside the posteriors.

It follows the log on disk, so that what is shown has happened, and so that a service and a
finished database show the same. Bounded: the newest decisions only; nothing is read before
somebody looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from ..bandits.change import ChangeDetector, PriceWatch
from ..bandits.credit import Credit
from ..config import FeedbackSettings, Settings
from ..memory import settle, standing, with_event
from ..store import Log
from ..types import Change, Decision, Event, Feedback, History, LineageEvent, Outcome

WINDOW = 10_000
"""Decisions that are remembered."""

_EVENTS = 4 * WINDOW  # read back at most: decisions, outcomes, feedback and what came late
_ALARMS = 50
_RECENT = 1_000


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something changed: an arm's quality or price, or a region's share of the traffic."""

    time: float
    what: str
    subject: str
    detail: str


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at the log has brought."""

    decisions: list[Decision]
    feedback: int
    lineage: list[LineageEvent]


class Chronicle:
    """The newest decisions and what was said of them.

    Attributes
    ----------
    histories
        By decision id, oldest first; vectors left out.
    alarms
        The newest drift alarms.
    totals
        Events of each kind over the whole log, by kind.
    """

    def __init__(self, window: int = WINDOW) -> None:
        self.histories: dict[str, History] = {}
        self.alarms: list[Alarm] = []
        self.totals: Counter[str] = Counter()
        self.lineage: list[LineageEvent] = []
        self.seq = 0
        self._window = window
        self._settings = FeedbackSettings()
        self._heirs: dict[int, int] = {}
        self._detectors: dict[str, ChangeDetector] = {}
        self._prices: dict[str, PriceWatch] = {}

    def catch_up(self, store: Log) -> News:
        """Read what the log has more than at the last look."""
        if not self.seq:
            self._begin(store)
        start = self.seq
        news = News(decisions=[], feedback=0, lineage=[])
        said = 0
        for event in store.events(after=self.seq):
            self._add(event)
            self.seq = event.seq
            if isinstance(event, Decision):
                news.decisions.append(event)
            said += isinstance(event, Feedback)
        for seen in _lineage(store, start):
            if seen.seq <= self.seq:
                news.lineage.append(seen)
                self._follow(seen)
        return msgspec.structs.replace(news, feedback=said)

    def credit(self, history: History) -> Credit:
        """Return what a decision has taught so far."""
        return settle(history, self._settings)

    def shares(self) -> dict[str, float]:
        """Return each model's share of the newest decisions."""
        recent = list(self.histories.values())[-_RECENT:]
        counts = Counter(h.decision.model for h in recent)
        return {name: count / len(recent) for name, count in counts.most_common()}

    def heir(self, cluster: int) -> int:
        """Return the cluster of the same level that this one has merged into, or itself."""
        heirs = self._heirs
        while cluster in heirs:
            cluster = heirs[cluster]
        return cluster

    def _begin(self, store: Log) -> None:
        """Skip what is older than the window; of it only numbers and the settings count."""
        self.seq = max(0, store.last_seq() - _EVENTS)
        self.totals.update(store.counts(until=self.seq))
        for change in store.events(kind="change"):
            if change.seq <= self.seq and isinstance(change, Change):
                self._configure(change)

    def _add(self, event: Event) -> None:
        self.totals[_kind(event)] += 1
        if isinstance(event, Decision):
            bare = msgspec.structs.replace(event, vector=b"")
            self.histories[event.decision_id] = History(decision=bare)
            if len(self.histories) > self._window:
                del self.histories[next(iter(self.histories))]
        elif isinstance(event, Change):
            self._configure(event)
            if event.what == "erased":
                self._forget(event.body["decision_ids"])
        elif event.decision_id in self.histories:
            before = self.histories[event.decision_id]
            after = with_event(before, event)
            self.histories[event.decision_id] = after
            self._watch(before, after, event)

    def _configure(self, event: Change) -> None:
        if event.what == "configured":
            self._settings = msgspec.convert(event.body["settings"], Settings).feedback

    def _forget(self, decisions: Iterable[str]) -> None:
        """Drop the words of decisions that were erased."""
        for id_ in decisions:
            if id_ in self.histories:
                old = self.histories[id_]
                bare = msgspec.structs.replace(
                    old.decision, prompt=None, prompt_sha256=None, prompt_chars=None
                )
                self.histories[id_] = msgspec.structs.replace(old, decision=bare)

    def _watch(self, before: History, after: History, event: Feedback | Outcome) -> None:
        """Let the detectors of the bandit see what came, and note what they tell."""
        expected = after.decision.candidate(after.answered_by)
        if expected is None:
            return
        arm = expected.model
        reward = event.reward if isinstance(event, Feedback) else None
        fresh = isinstance(event, Feedback) and event.source not in standing(before)
        if fresh and reward is not None and expected.quality is not None:
            detector = self._detectors.setdefault(arm, ChangeDetector())
            by = detector.update(reward - expected.quality)
            if by is not None:
                self._alarm(event.time, "quality", arm, f"its quality moved by {by:+.2f}")
        if event.cost_usd is not None and expected.cost_usd:
            watch = self._prices.setdefault(arm, PriceWatch())
            ratio = watch.update(event.cost_usd, expected.cost_usd)
            if ratio is not None:
                self._alarm(event.time, "price", arm, f"its cost changed {ratio:.2g} times")

    def _follow(self, event: LineageEvent) -> None:
        self.lineage.append(event)
        del self.lineage[: -4 * self._window]
        if event.what == "merged":
            self._heirs[event.cluster] = event.other
        elif event.what == "drifted":
            self._alarm(event.time, "traffic", f"region {event.cluster}", event.cause)

    def _alarm(self, time: float, what: str, subject: str, detail: str) -> None:
        self.alarms.append(Alarm(time=time, what=what, subject=subject, detail=detail))
        del self.alarms[:-_ALARMS]


def _kind(event: Event) -> str:
    return type(event).__name__.lower()


def _lineage(store: Log, after: int) -> Iterator[LineageEvent]:
    while found := store.lineage(after=after):
        yield from found
        after = found[-1].seq
