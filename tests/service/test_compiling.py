"""A service that finds nothing compiled: alive while it compiles, ready when it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def call(url: str, body: object = None) -> tuple[int, str | None, str]:
    """Return status, `Retry-After` and body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, None, response.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.headers["Retry-After"], refused.read().decode()


def stopped_while_it_compiles(words: list[str], environment: dict[str, str]) -> None:
    """Let a service end as soon as it has begun; it leaves what it has compiled."""
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        assert "compiling" in process.stderr.readline()
        process.terminate()
        assert "compiled" not in process.stderr.read()  # the rest was not waited for
    assert process.returncode == 0


def test_it_compiles_before_it_is_ready_and_lives_meanwhile(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NUMBA_CACHE_DIR": str(tmp_path / "compiled"),
        "BANDIT_ROUTER_EMBEDDER_NAME": "static",
    }
    command = [sys.executable, "-m", "bandit_router"]
    config = tmp_path / "router.toml"
    config.write_text("[[models]]\nname = 'small'\n[[models]]\nname = 'large'\n")
    words = [*command, "serve", "--config", str(config), "--port", "0", "--db", f"{tmp_path}/x.db"]
    said, early = tmp_path / "stderr", []
    stopped_while_it_compiles(words, environment)
    with (
        said.open("w") as stderr,
        subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            route = threading.Thread(
                target=lambda: early.append(call(f"{url}/route", {"prompt": "Hello"})[0])
            )
            route.start()
            alive, (status, later, why) = 0, call(f"{url}/readyz")
            assert (status, later) == (503, "1")
            assert "compiling" in why
            while "compiling" in why:
                assert call(f"{url}/healthz")[0] == 200
                alive += 1
                status, _, why = call(f"{url}/readyz")
            assert alive > 20  # while one thing was compiled after another
            route.join()
            assert early == [200]  # it waited
            assert call(f"{url}/readyz")[0] == 200
        finally:
            process.terminate()
    first, last = (line for line in said.read_text().splitlines() if "compil" in line)
    assert "compiling for this processor" in first
    assert "compiled" in last
    done = subprocess.run(
        [*command, "precompile", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["compiled"] == 0
    assert done.stderr == ""
