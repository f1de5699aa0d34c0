"""Work in parallel processes, with progress, that an interrupt (Ctrl-C) does not lose."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

Task = TypeVar("Task")
Work = Callable[[Any, Any, Callable[[int], object]], Any]
"""What a process does: ``work(shared, task, tick)``; a function that can be pickled."""

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
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


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes started inside ignore Ctrl-C: the one that started them ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Let processes started inside use one BLAS thread each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
