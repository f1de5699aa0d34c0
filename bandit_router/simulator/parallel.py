"""Work in parallel processes, with progress, that an interrupt (Ctrl-C) does not lose."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from tqdm import tqdm

Task = TypeVar("Task")
Work = Callable[[Any, Any, Callable[[int], object]], Any]
"""What a process does: ``work(shared, task, tick)``; a function that can be pickled."""

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_LOOK = 0.3  # seconds from one look at the progress to the next


class Workers:
    """Processes that share one object and are given one task after another.

    Parameters
    ----------
    work, shared
        A task's result is ``work(shared, task, tick)``; `tick` takes the progress made since
        its last call, in the units of `bar`.
    processes
        How many; with 1, tasks run here, at once.
    """

    def __init__(self, work: Work, shared: Any, processes: int, bar: tqdm[Any]) -> None:
        self._work, self._shared, self._bar = work, shared, bar
        self._processes, self._seen = processes, 0
        self._pool: ProcessPoolExecutor | None = None
        if processes > 1:
            context = multiprocessing.get_context("spawn")
            self._done = context.Value("q", 0)
            self._pool = ProcessPoolExecutor(
                processes, context, initializer=_begin, initargs=(work, shared, self._done)
            )

    def __enter__(self) -> Workers:
        self._others = set(multiprocessing.active_children())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        if kind is not None:
            for process in set(multiprocessing.active_children()) - self._others:
                process.terminate()

    def submit(self, task: Any) -> Future[Any]:
        """Begin a task."""
        if self._pool is None:
            found: Future[Any] = Future()
            found.set_result(self._work(self._shared, task, self._bar.update))
            return found
        with _one_blas_thread(), _deaf_to_interrupts():  # both are inherited
            return self._pool.submit(_do, task)

    def wait(self, futures: Sequence[Future[Any]] | set[Future[Any]]) -> set[Future[Any]]:
        """Wait, moving the bar, until a task is finished; return those that are."""
        finished: set[Future[Any]] = set()
        while futures and not finished:
            finished = wait(futures, timeout=_LOOK, return_when=FIRST_COMPLETED).done
            if self._pool is not None:
                self._bar.update(self._done.value - self._seen)
                self._seen = self._done.value
        return finished


class Lane:
    """A worker that keeps what it has from one task to the next: ``make(*args)(task)``.

    Parameters
    ----------
    make, args
        Makes the worker; both can be pickled.
    apart
        Whether in a process of its own; tasks run here, at once, otherwise.
    """

    def __init__(self, make: Callable[..., Any], args: Sequence[Any], *, apart: bool) -> None:
        self._worker = None if apart else make(*args)
        self._pool: ProcessPoolExecutor | None = None
        if apart:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                1, context, initializer=_settle, initargs=(make, tuple(args))
            )

    def submit(self, task: Any) -> Future[Any]:
        """Begin a task; tasks of a lane are done in order."""
        if self._pool is None:
            assert self._worker is not None
            found: Future[Any] = Future()
            found.set_result(self._worker(task))
            return found
        with _one_blas_thread(), _deaf_to_interrupts():  # both are inherited
            return self._pool.submit(_next, task)

    def close(self) -> None:
        """End the process; a task under way is finished first, those that wait are not begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def run_all(
    work: Work, shared: Any, tasks: Sequence[Task], processes: int, bar: tqdm[Any]
) -> tuple[dict[Task, Any], bool]:
    """Run tasks in order; return the results, and whether an interrupt cut them short.

    A task that fails ends the whole with its error.
    """
    found: dict[Task, Any] = {}
    futures: dict[Future[Any], Task] = {}
    try:
        with Workers(work, shared, min(processes, len(tasks)), bar) as workers:
            for task in tasks:
                future = workers.submit(task)
                futures[future] = task
                if processes == 1 or len(tasks) == 1:
                    found[task] = future.result()
            left = set(futures)
            while left:
                for future in workers.wait(left):
                    left.discard(future)
                    found[futures[future]] = future.result()
    except KeyboardInterrupt:
        return found, True
    return found, False


_state: dict[str, Any] = {}


def _begin(work: Work, shared: Any, done: Any) -> None:
    _state.update(work=work, shared=shared, done=done)


def _do(task: Any) -> Any:
    def tick(steps: int) -> None:
        with _state["done"].get_lock():
            _state["done"].value += steps

    return _state["work"](_state["shared"], task, tick)


def _settle(make: Callable[..., Any], args: tuple[Any, ...]) -> None:
    _state["worker"] = make(*args)


def _next(task: Any) -> Any:
    return _state["worker"](task)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes started inside ignore Ctrl-C: the one that started them ends them.

    One that comes meanwhile waits until the end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # starting it would let signals through again
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Let processes started inside use one BLAS thread each."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
