"""How many processors there are for this process."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTAS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
"""Of control groups version 2 and 1: microseconds of work, and in how many."""


def cores(system: Path = Path("/")) -> int:
    """Return how many processors this process may use, at least 1.

    Those it may run on, and no more than its container (or its systemd unit) is given: threads
    that wait for one another in a loop would use up its share by waiting.

    Parameters
    ----------
    system
        Where ``/proc`` and ``/sys`` are.
    """
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # neither on macOS nor on Windows
        found = os.cpu_count() or 1
    return min(found, max(1, math.ceil(_quota(system))))


def _quota(system: Path) -> float:
    """Return how many processors' work the process's control group may do, or many."""
    groups = system / "sys/fs/cgroup"
    for folder in (groups / _own_group(system), groups):
        for names in _QUOTAS:
            try:
                work, of = map(int, [w for n in names for w in (folder / n).read_text().split()])
            except (OSError, ValueError):  # there is none, or it says "max"
                continue
            if work > 0 and of > 0:
                return work / of
    return 2.0**31


def _own_group(system: Path) -> str:
    """Return the name of the process's control group, "" where none is told."""
    try:
        lines = (system / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return ""
    return next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
