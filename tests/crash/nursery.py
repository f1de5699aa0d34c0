"""Starts services fast: a process that has imported everything forks one for each line it reads.

A line is a JSON object with the arguments of `run`; the answer is the line that `run` prints,
after the process id of the service. Forked before it has any thread, killed by whoever likes.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

from bandit_router import Router
from bandit_router.config import parse_config
from bandit_router.service import run


def serve(order: dict[str, object]) -> None:
    if limit := order.get("file_bytes"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))

    def echo(line: str) -> None:
        sys.stdout.write(f"{os.getpid()} {line}\n")
        sys.stdout.flush()

    run(parse_config(order["config"]), db=Path(order["db"]), port=0, echo=echo)


def main() -> None:
    Router(["a"], embedder="none").route(vector=[1.0, 0.0])  # imports what is imported late
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            os.close(0)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            code = 1
            try:
                serve(json.loads(line))
                code = 0
            finally:
                os._exit(code)


if __name__ == "__main__":
    main()
