"""Work on a Ray cluster instead of this machine's processes (extra `ray`).

Every machine of the cluster needs this release of bandit-router. Ray takes `RAY_ADDRESS`, or a
cluster that `ray start` began here, or else starts one on this machine alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from tqdm import tqdm

from ..exceptions import InvalidInput, MissingExtra
from .parallel import ONE_THREAD, Task, Work

_WAIT_SECONDS = 0.3  # so that an interrupt is heard


def run_on_ray(
    work: Work, shared: Any, tasks: Sequence[Task], bar: tqdm[Any]
) -> tuple[dict[Task, Any], bool]:
    """See `parallel.run_all`; tasks run wherever the cluster has a free core.

    The shared object goes to each machine once. A task whose machine dies is run again on
    another: it is a function of its arguments alone. The bar moves when a task is finished.

    Raises
    ------
    InvalidInput
        If Ray is not installed or not to be reached, or a machine has another release.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
    except ImportError:
        raise MissingExtra(
            "engine 'ray' needs Ray: pip install 'bandit-router[ray]'", "engine"
        ) from None
    if not ray.is_initialized():  # then it stays until the process ends: there may be more to do
        try:
            ray.init(
                log_to_driver=False,
                logging_level="error",
                runtime_env={"env_vars": dict.fromkeys(ONE_THREAD, "1")},
            )
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise InvalidInput(f"no Ray cluster can be reached: {error}") from None
    remote = ray.remote(num_cpus=1)(_do)
    there = ray.put(shared)
    running = {remote.remote(work, there, task, _release()): task for task in tasks}
    found: dict[Task, Any] = {}
    try:
        while running:
            finished, _ = ray.wait(list(running), timeout=_WAIT_SECONDS)
            for reference in finished:
                try:
                    found[running.pop(reference)], steps = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                bar.update(steps)
    except BaseException as error:
        for reference in running:
            ray.cancel(reference, force=True)
        if not isinstance(error, KeyboardInterrupt):
            raise
        return found, True
    return found, False


def _do(work: Work, shared: Any, task: Any, release: str) -> tuple[Any, int]:
    if (here := _release()) != release:
        raise InvalidInput(
            f"a machine of the Ray cluster has bandit-router {here}, this one {release}: "
            "bring all to the same"
        )
    steps = 0

    def tick(more: int) -> None:
        nonlocal steps
        steps += more

    return work(shared, task, tick), steps


def _release() -> str:
    return version("bandit-router")
