"""Figures kept from run to run, so that a regression is seen."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..exceptions import InvalidInput


def last(file: Path) -> dict[str, float]:
    """Return the newest value of each figure in a history; empty if there is none yet.

    Raises
    ------
    InvalidInput
        If the file is no history.
    """
    figures: dict[str, float] = {}
    if not file.exists():
        return figures
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        try:
            entry: dict[str, Any] = json.loads(line)
            figures |= entry["figures"]
        except (ValueError, KeyError, TypeError):
            raise InvalidInput(f"{file}: line {number} is no run of the benchmarks") from None
    return figures


def keep(file: Path, figures: dict[str, float]) -> None:
    """Add a run to a history: one JSON object a line."""
    entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "figures": figures}
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(entry) + "\n")
