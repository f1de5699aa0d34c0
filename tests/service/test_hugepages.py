"""The heap in large pages: where there are any it is in them, and holds what it held."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bandit_router.service.hugepages import SIZE, collapse_heap


def heap_in_large_pages() -> int:
    """Return what of the heap is in large pages, bytes."""
    smaps = Path("/proc/self/smaps").read_text()
    heap = smaps.partition("[heap]")[2]
    found = re.search(r"AnonHugePages: +(\d+) kB", heap)
    return 1024 * int(found[1]) if found else 0


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_the_heap_is_in_large_pages_and_holds_what_it_held() -> None:
    held = [bytes([i % 256]) * 1000 for i in range(20_000)]  # 20 MB
    found = collapse_heap()
    if not found:
        pytest.skip("this system has no large pages to give")
    assert heap_in_large_pages() >= found * SIZE / 2
    assert all(block == bytes([i % 256]) * 1000 for i, block in enumerate(held))


def test_where_there_are_none_all_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert collapse_heap() == 0
