"""`Writer`: one thread that writes everything waiting in one transaction."""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from ..exceptions import StoreBusy, StoreError
from .rows import Rows


class Target(Protocol):
    """What a `Writer` writes to."""

    def write(self, group: Sequence[Rows]) -> None:
        """Write several packed appends in one transaction."""


_Job = tuple[Rows, "Future[None]"]


class Writer:
    """Group commit: what arrives while the disk is busy shares the next transaction.

    A write that fails fails all that come after it, since the log would have a gap: every later
    submit raises until `reset`, before which the state has to be folded anew from the log.

    Parameters
    ----------
    store
        Open for writing; the writer does not close it.
    max_pending
        Events that may wait; more are refused with `StoreBusy`.
    """

    def __init__(self, store: Target, *, max_pending: int = 10_000) -> None:
        self._store = store
        self._max_pending = max_pending
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._pending = 0  # events waiting or being written
        self._submitted = 0
        self._settled = 0
        self._failed: StoreError | None = None
        self._closed = False
        # Started with the first write: an owner that fails before it leaves no thread behind.
        self._thread: threading.Thread | None = None

    @property
    def failed(self) -> StoreError | None:
        """The error that stopped the writer, or None."""
        return self._failed

    @property
    def pending(self) -> int:
        """Events not yet on disk."""
        return self._pending

    def submit(self, rows: Rows) -> Future[None]:
        """Queue events; the future is done when they are on disk. It cannot be cancelled.

        Raises
        ------
        StoreBusy
            If too much waits already; nothing was queued.
        StoreError
            If the writer has failed or been closed.
        """
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        with self._changed:
            self._refuse(len(rows.events))
            self._waiting.append((rows, future))
            self._pending += len(rows.events)
            self._submitted += 1
            if self._thread is None:
                # A daemon that is ended in order: no process waits for ever for who forgot to.
                self._thread = threading.Thread(
                    target=self._run, name="bandit-router-writer", daemon=True
                )
                self._thread.start()
                atexit.register(self.close)
            self._changed.notify_all()
        return future

    def _refuse(self, more: int) -> None:
        if self._closed:
            raise StoreError("the writer has been closed")
        if self._failed is not None:
            raise StoreError(f"an earlier write failed: {self._failed}") from self._failed
        if self._pending and self._pending + more > self._max_pending:
            raise StoreBusy(f"{self._pending} events wait for the disk already: try again")

    def flush(self) -> None:
        """Wait until all that was submitted before is on disk, or has failed."""
        with self._changed:
            target = self._submitted
            self._changed.wait_for(lambda: self._settled >= target)

    def reset(self) -> None:
        """Write again after a failure; the next event must follow the last one on disk."""
        self.flush()
        with self._changed:
            self._failed = None

    def close(self) -> None:
        """Write what waits and stop. Safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            atexit.unregister(self.close)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run(self) -> None:
        while group := self._take():
            error = self._failed or self._write([rows for rows, _ in group])
            self._settle(group, error)

    def _take(self) -> list[_Job]:
        """Return everything waiting, as soon as there is any; nothing once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            group = list(self._waiting)
            self._waiting.clear()
            return group

    def _write(self, group: list[Rows]) -> StoreError | None:
        try:
            self._store.write(group)
        except StoreError as error:
            return error
        except BaseException as error:  # nobody may wait for ever on a thread that has died
            return StoreError(f"the event log cannot be written: {error!r}")
        return None

    def _settle(self, group: list[_Job], error: StoreError | None) -> None:
        with self._changed:
            self._pending -= sum(len(rows.events) for rows, _ in group)
            self._failed = error
        for _, future in group:
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        with self._changed:
            self._settled += len(group)
            self._changed.notify_all()
