"""How many processors there are for this process."""

from __future__ import annotations

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""What a container may take of them: microseconds of work, and in how many."""


def cores(quota: Path = QUOTA) -> int:
    """Return how many processors this process may use, at least 1.

    Those it may run on, and no more than its container is given: threads that wait for one
    another in a loop would use up its share by waiting.
    """
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # neither on macOS nor on Windows
        found = os.cpu_count() or 1
    try:
        work, of = map(int, quota.read_text("ascii").split())
        return min(found, max(1, math.ceil(work / of)))
    except (OSError, ValueError, ZeroDivisionError):  # no container, or "max"
        return found
