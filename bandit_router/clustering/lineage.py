"""Who became of whom: ids handed out once, heirs of the dead, parents of the living.

The law of evidence. A feedback is credited, at every level, to the heir there of the cluster
that held its prompt when it was decided. It *rests* in the finest of these that lives, or in
the whole map if none does: so its weight lies in exactly one cluster, and every level's sums
hold it at most once. A merge moves what rests in the dead to its heir at the same level; a fade
lets it fall back to the coarser cluster that held the prompt, whose sums have had it all along.
"""

from __future__ import annotations

from array import array
from typing import Any, Literal

import numpy as np

from ..types import LineageEvent

WHOLE = 0
"""The id of the whole map."""

What = Literal["born", "merged", "faded", "split", "moved", "drifted"]


class Lineage:
    """The family tree of a map's clusters.

    Parameters
    ----------
    first_id
        The first id to hand out.

    Attributes
    ----------
    events
        What was noted since `begin`.
    """

    def __init__(self, first_id: int) -> None:
        self.first_id = first_id
        self.next_id = first_id
        self._heirs = array("q")  # per id from first_id: 0 alive, else heir + 1 negated
        self._level_of = array("b")
        self._parents: dict[int, int] = {}  # of the living, by id
        self._origins: dict[int, int] = {}  # of the living that split from another: from which
        self.events: list[LineageEvent] = []
        self._at = (0, 0.0)

    def begin(self, seq: int, time: float) -> None:
        """Note what follows as caused by this event."""
        self._at, self.events = (seq, time), []

    # -- ids ------------------------------------------------------------------------------------

    def new_id(self, level: int) -> int:
        """Hand out an id for a cluster of this level."""
        self.next_id += 1
        self._heirs.append(0)
        self._level_of.append(level)
        return self.next_id - 1

    def heir(self, id_: int) -> int:
        """Return the live cluster that `id_` has come to (0: the whole map).

        The heir of a cluster that merged is at its own level, that of one that faded is its
        parent. An id that was never handed out, or before the map was rebuilt, leads to 0.
        """
        while self.first_id <= id_ < self.next_id:
            fate = self._heirs[id_ - self.first_id]
            if fate == 0:
                return id_
            id_ = -fate - 1
        return WHOLE

    def heirs(self, path: tuple[int, ...]) -> tuple[int, ...]:
        """Return the heir of each entry of a path at its own level; 0 where it has faded."""
        alive, level_of, first = self._parents, self._level_of, self.first_id
        for depth, id_ in enumerate(path):
            if id_ not in alive or level_of[id_ - first] != depth:
                break
        else:  # as most are
            return path
        found = map(self.heir, path)
        return tuple(
            [id_ if id_ and self.level(id_) == depth else WHOLE for depth, id_ in enumerate(found)]
        )

    def level(self, id_: int) -> int:
        """Return the level of an id that was handed out; -1 of the whole map."""
        return self._level_of[id_ - self.first_id] if self.first_id <= id_ < self.next_id else -1

    def parent(self, id_: int) -> int:
        """Return the cluster of the next coarser level that a living cluster lies in."""
        return self._parents.get(id_, WHOLE)

    def origin(self, id_: int) -> int | None:
        """Return the cluster that a living one split from, or None."""
        return self._origins.get(id_)

    def children(self, id_: int) -> list[int]:
        """Return the living clusters of the next finer level that lie in this one."""
        return [child for child, parent in self._parents.items() if parent == id_]

    # -- what happens ---------------------------------------------------------------------------

    def born(self, id_: int, parent: int) -> None:
        """Note a birth."""
        self._parents[id_] = parent
        self._note("born", id_, parent, "a prompt that no cluster held")

    def merged(self, id_: int, heir: int) -> None:
        """Note that a cluster went into another of its level, and its children with it."""
        self._die(id_, heir)
        self._note("merged", id_, heir, "the bound on live clusters")
        for child in self.children(id_):
            self.moved(child, heir, "its parent merged")

    def faded(self, id_: int) -> list[int]:
        """Note that a cluster faded into its parent; return the children that need another."""
        parent = self.parent(id_)
        self._die(id_, parent)
        self._note("faded", id_, parent, "no prompt came for long")
        return self.children(id_)

    def moved(self, id_: int, parent: int, cause: str) -> None:
        """Note a change of parent."""
        self._parents[id_] = parent
        self._note("moved", id_, parent, cause)

    def drawn(self, id_: int, parent: int) -> None:
        """Note that a cluster has come to lie in another parent, and so may have split the old."""
        old = self.parent(id_)
        self.moved(id_, parent, "another parent is nearer now")
        if old != WHOLE and parent > old and parent not in self._origins:
            self._origins[parent] = old
            self._note("split", parent, old, "it took over clusters of an older one")

    def drifted(self, id_: int, before: float, now: float) -> None:
        """Note that a living cluster's share of the traffic has changed."""
        self._note(
            "drifted",
            id_,
            self.parent(id_),
            f"its share of prompts went from {before:.1%} to {now:.1%}",
        )

    def _die(self, id_: int, heir: int) -> None:
        self._heirs[id_ - self.first_id] = -(heir + 1)
        self._parents.pop(id_, None)
        self._origins.pop(id_, None)

    def _note(self, what: What, cluster: int, other: int, cause: str) -> None:
        seq, time = self._at
        self.events.append(
            LineageEvent(
                seq=seq,
                time=time,
                what=what,
                cluster=cluster,
                other=other,
                level=self.level(cluster),
                cause=cause,
            )
        )

    # -- state ----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {
            "next_id": self.next_id,
            "first_id": self.first_id,
            "heirs": np.array(self._heirs, dtype=np.int64),
            "level_of": np.array(self._level_of, dtype=np.int32),
            "parents": _pairs(self._parents),
            "origins": _pairs(self._origins),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.next_id, self.first_id = state["next_id"], state["first_id"]
        self._heirs = array("q", state["heirs"].tolist())
        self._level_of = array("b", state["level_of"].tolist())
        self._parents = dict(state["parents"].tolist())
        self._origins = dict(state["origins"].tolist())


def _pairs(found: dict[int, int]) -> Any:
    return np.array(sorted(found.items()), dtype=np.int64).reshape(-1, 2)
