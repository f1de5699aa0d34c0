"""Starts replicas and learners fast: see `tests/crash/nursery.py`, of which this is a sibling."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import bandit_router.service.shared.learner  # noqa: F401  imported before the forks
from bandit_router.config import parse_config
from bandit_router.precompile import precompile
from bandit_router.service import learn, run
from bandit_router.service.shared import link
from bandit_router.store.postgres import events

sys.path.insert(0, str(Path(__file__).parent))
from machines import enter


def serve(order: dict[str, str], config: dict[str, object]) -> None:
    def echo(line: str) -> None:
        sys.stdout.write(f"{os.getpid()} {line}\n")
        sys.stdout.flush()

    # The patience of the server with a writer that says nothing, and of a replica with the
    # server: short, or the test is long.
    events.SILENCE_SECONDS = link.SILENCE_SECONDS = 2
    if "machine" in order:
        enter(order["machine"])
    if "outbox" in order:
        run(
            parse_config(config),
            db=order["db"],
            host=order.get("host", "127.0.0.1"),
            port=int(order.get("port", 0)),
            allow_open=True,
            outbox=Path(order["outbox"]),
            learns=False,
            echo=echo,
        )
    else:
        echo("learning")
        learn(parse_config(config), db=order["db"])


def main() -> None:
    config = json.loads(sys.argv[1])
    precompile(parse_config(config).settings)  # once, and what is imported late is imported
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            os.close(0)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            code = 1
            try:
                serve(json.loads(line), config)
                code = 0
            finally:
                os._exit(code)


if __name__ == "__main__":
    main()
