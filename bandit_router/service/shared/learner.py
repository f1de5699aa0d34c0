"""The learner: of all that try, the one that holds the database's advisory lock.

It takes what the replicas delivered, in the order of the inbox; makes events of it; folds them;
and commits events and inbox in one transaction, over the very connection that holds the lock. So
whoever loses the lock can write no more, and what was not committed is still in the inbox.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from contextlib import suppress

import msgspec

from ... import codec
from ...config import Config, StoreSettings
from ...embedding import Embedder
from ...exceptions import BanditRouterError, InvalidInput, StoreError, StoreHeld, UnknownDecision
from ...fold import FOLD_VERSION
from ...precompile import Stopped, precompile
from ...router import Router
from ...store.postgres import Item, LearnerStore, Published
from ...store.postgres.inbox import Taken
from ...store.retention import with_text
from ...store.rows import pack
from ...types import Change, Decision, Event, LineageEvent, Outcome
from ..configured import configured
from ..keyring import terms_of
from .compaction import Compaction

log = logging.getLogger(__name__)

PUBLISH_SECONDS = 0.3
"""States are published at most so often, and never for more than a fifth of the time."""

_BATCH = 500
_WAIT_SECONDS = 0.1
_BEAT_SECONDS = 0.25
_KEYS_SECONDS = 1.0
_ERASE_SECONDS = 3_600.0
_DAY = 86_400.0
_TRY_SECONDS = 0.5


class Learner:
    """Tries to be elected, learns while it is, and tries again.

    Parameters
    ----------
    url
        Of the shared database.
    config
        Settings and models, as the log is to have them.
    embedder
        Only its name counts: nothing is embedded here.
    """

    def __init__(self, url: str, config: Config, embedder: Embedder | None = None) -> None:
        self._url = url
        self._config = config
        self._embedder = embedder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name="bandit-router-learner")

    def start(self) -> None:
        """Run on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Let `run` return soon."""
        self._stop.set()

    def close(self) -> None:
        """Stop, and wait for the thread."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def run(self) -> None:
        """Learn whenever nobody else does, until `stop`."""
        # Not while it holds the lock: the server ends the session of whoever is silent for long.
        with suppress(Stopped):
            precompile(self._config.settings, self._stop)
        told = ""
        while not self._stop.is_set():
            try:
                with LearnerStore.open(self._url) as store:
                    log.info("%s: elected, folding the log", store.path)
                    self._lead(store)
            except StoreHeld:
                told = ""
            except BanditRouterError as error:
                if str(error) != told:  # once, not twice a second while the database is away
                    log.warning("not learning: %s", error)
                told = str(error)
            except Exception:
                log.exception("the learner stopped; it begins anew from the log")
            self._stop.wait(_TRY_SECONDS * random.uniform(0.5, 1.5))

    def _lead(self, store: LearnerStore) -> None:
        store.listen()
        if any(known.fold_version != FOLD_VERSION for known in store.snapshots()):
            store.drop_stale(FOLD_VERSION)
        router = configured(store, self._config, self._embedder)
        desk = Desk(store, router, self._config.settings.store)
        while not self._stop.is_set():
            if not desk.work():
                store.wait(_WAIT_SECONDS)
        desk.close()


class Desk:
    """Where the learner works: one router, one inbox.

    Parameters
    ----------
    store
        The log; the router is its fold.
    settings
        `[store]`.
    """

    def __init__(self, store: LearnerStore, router: Router, settings: StoreSettings) -> None:
        self._store = store
        self._router = router
        self._settings = settings
        self._marks = store.marks()
        self._parked: dict[str, list[Item]] = {}
        for item in store.waiting():
            self._parked.setdefault(_about(item), []).append(item)
        latest = store.latest_snapshot()
        self._snapshot_seq = latest.seq if latest else 0
        self._published = 0
        self._publish_at = 0.0
        self._unpublished_since = time.monotonic()
        self._beat_at = 0.0
        self._keys_at = 0.0
        self._erase_at = 0.0
        keep = settings.keep_days
        self._compaction = None if keep is None else Compaction(store, router, keep)
        self._text_until = 0  # no decision up to this event has text that is too old

    def work(self) -> int:
        """Fold what has come, publish if it is time; return how many items there were."""
        if not self._router.restorable:
            raise StoreError("this strategy cannot be handed to replicas: choose another")
        items = self._store.take(_BATCH)
        if items:
            self._fold(items)
        now = time.monotonic()
        if now - self._keys_at >= _KEYS_SECONDS:
            self._keys_at = now
            self._tell_keys()
        if self._router.seq != self._published and now >= self._publish_at:
            self._publish(now)
        if now - self._beat_at >= _BEAT_SECONDS:
            self._beat_at = now
            waiting = now - self._unpublished_since
            self._store.beat(0.0 if self._published == self._router.seq else waiting)
        if self._router.seq - self._snapshot_seq >= self._settings.snapshot_every:
            self._save()
        if self._settings.prompt_days is not None and now >= self._erase_at:
            self._erase(time.time() - self._settings.prompt_days * _DAY)
        if self._compaction is not None:
            self._compaction.turn()
        return len(items)

    def close(self) -> None:
        """Keep a snapshot, so that the next one begins soon."""
        if self._router.seq > self._snapshot_seq:
            self._save()

    def _fold(self, items: list[Item]) -> None:
        sitting = Sitting(self._router, self._parked)
        for item in items:
            sitting.take(item)
            self._marks[item.replica] = item.number
        if self._published == self._router.seq - len(sitting.events):
            self._unpublished_since = time.monotonic()
        taken = Taken(
            done=list(sitting.done),
            waiting=sitting.waiting,
            refused=sitting.refused,
            marks={item.replica: self._marks[item.replica] for item in items},
        )
        self._store.commit(pack(sitting.events, sitting.lineage), taken)
        for id_, why in sitting.refused.items():
            log.warning("item %d of the inbox cannot be used: %s", id_, why)

    def _tell_keys(self) -> None:
        terms = terms_of(self._store.api_keys())
        if terms != self._router.accounts.terms:
            change = self._router.change("keys", {"keys": terms}, time=time.time())
            self._store.append([change], self._router.apply(change))

    def _erase(self, before: float) -> None:
        """Erase some of the prompts that were kept long enough; again soon if there are more."""
        ids, seen = with_text(self._store, before, self._text_until, _BATCH)
        if ids:
            body = {"decision_ids": ids}
            change = self._router.change("erased", body, time=time.time())
            self._store.append([change], self._router.apply(change))
        if seen == self._text_until:
            self._erase_at = time.monotonic() + _ERASE_SECONDS
        self._text_until = seen

    def _publish(self, now: float) -> None:
        router = self._router
        body = router.snapshot()
        self._store.publish(
            Published(
                seq=router.seq,
                fold_version=FOLD_VERSION,
                digest=codec.digest(body),
                marks=self._marks,
                body=body,
            )
        )
        self._published = router.seq
        self._publish_at = now + max(PUBLISH_SECONDS, 5.0 * (time.monotonic() - now))

    def _save(self) -> None:
        body = self._router.snapshot()
        self._store.save_snapshot(self._router.seq, body, codec.digest(body), FOLD_VERSION)
        self._snapshot_seq = self._router.seq


class Sitting:
    """Items of one transaction, folded as they are taken.

    Parameters
    ----------
    router
        Folds them.
    parked
        What waits for a decision, by its id; altered.
    """

    def __init__(self, router: Router, parked: dict[str, list[Item]]) -> None:
        self.events: list[Event] = []
        self.lineage: list[LineageEvent] = []
        self.done: list[int] = []
        self.waiting: list[int] = []
        self.refused: dict[int, str] = {}
        self._router = router
        self._parked = parked

    def take(self, item: Item) -> None:
        """Fold an item, and what has waited for it."""
        try:
            event = self._event(item.event)
        except UnknownDecision:
            self._parked.setdefault(_about(item), []).append(item)
            self.waiting.append(item.id)
            return
        except InvalidInput as error:
            self.refused[item.id] = str(error)
            return
        self.done.append(item.id)
        if event is None:  # says nothing new
            return
        self.events.append(event)
        self.lineage.extend(self._router.apply(event))
        failures = self._router.strategies.failures
        while failures:
            log.warning("the strategy %r failed beside the live one: %s", *failures.popleft())
        if isinstance(event, Decision):
            for waiting in self._parked.pop(event.decision_id, ()):
                self.take(waiting)

    def _event(self, said: Event) -> Event | None:
        router = self._router
        if isinstance(said, Decision):
            return router.adopt(said)
        if isinstance(said, Outcome):
            return router.outcome(said, time=said.time)
        if isinstance(said, Change):
            return router.change(said.what, said.body, time=said.time)
        return router.judge(said, time=said.time)[1]


def _about(item: Item) -> str:
    """Return the decision that an item is about."""
    found: str = msgspec.structs.asdict(item.event)["decision_id"]
    return found
