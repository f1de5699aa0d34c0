"""Serves with the tests' embedder: a process of its own, so that it can be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from bandit_router.config import load_config
from bandit_router.exceptions import StoreHeld
from bandit_router.service import run


def main() -> int:
    folder = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(folder))
    from conftest import WordsEmbedder

    config, db = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        run(load_config(config), db=db, port=0, embedder=WordsEmbedder())
    except StoreHeld as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
