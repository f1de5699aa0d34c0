"""Real processes: the lock dies with its owner, and what was acknowledged survives a kill."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from event_samples import feedback

from bandit_router.exceptions import StoreHeld
from bandit_router.store import EventStore

HOLD = """
import sys
from bandit_router.store import EventStore
store = EventStore.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""

WRITE = """
import sys
from bandit_router.store import EventStore, Writer, pack
from bandit_router.types import Feedback
store = EventStore.open(sys.argv[1])
writer = Writer(store)
seq = store.last_seq()
waiting = []
while True:
    batch = [Feedback(seq=seq + i, time=1.0, decision_id="d", source="x" * 300) for i in (1, 2, 3)]
    seq += 3
    waiting.append((seq, writer.submit(pack(batch))))
    if len(waiting) == 4:  # several share a transaction
        done, future = waiting.pop(0)
        future.result()
        print(done, flush=True)
"""


LEFT = """
import sys
from bandit_router.store import EventStore, Writer, pack
from bandit_router.types import Feedback
writer = Writer(EventStore.open(sys.argv[1]))
for seq in range(1, 501):
    writer.submit(pack([Feedback(seq=seq, time=1.0, decision_id="d")]))
"""


@contextmanager
def python(script: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_another_process_holds_it_until_it_is_killed(path):
    with python(HOLD, path) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "open\n"
        with pytest.raises(StoreHeld, match=f"process {owner.pid} writes"):
            EventStore.open(path)
        with EventStore.open(path, readonly=True) as reader:
            assert reader.last_seq() == 0
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        with EventStore.open(path) as store:
            store.append([feedback(1)])


@pytest.mark.parametrize("readonly_first", [False, True])
def test_what_was_acknowledged_survives_a_kill(path, readonly_first):
    last = 0
    for lines in (1, 7, 40):
        with python(WRITE, path) as writer:
            assert writer.stdout is not None
            said = [writer.stdout.readline() for _ in range(lines)]
            writer.send_signal(signal.SIGKILL)
            said += writer.stdout.readlines()
            writer.wait()
        acknowledged = int([line for line in said if line.endswith("\n")][-1])
        with EventStore.open(path, readonly=readonly_first) as store:
            assert store.last_seq() >= acknowledged > last
            assert store.last_seq() % 3 == 0  # all of a write or nothing
            assert [e.seq for e in store.events()] == list(range(1, store.last_seq() + 1))
            last = store.last_seq()


def test_a_process_ends_though_its_writer_was_not_closed(path: Path) -> None:
    subprocess.run([sys.executable, "-c", LEFT, str(path)], check=True, timeout=60)
    with EventStore.open(path, readonly=True) as store:
        assert store.last_seq() == 500
