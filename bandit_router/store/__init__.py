"""The event log on disk: append-only, one process writes, anybody may read."""

from .events import EventStore
from .rows import Snapshot, SnapshotInfo
from .writer import Writer

__all__ = ["EventStore", "Snapshot", "SnapshotInfo", "Writer"]
