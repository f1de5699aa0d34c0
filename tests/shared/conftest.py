"""A real PostgreSQL, started by the tests where Debian's package `postgresql` is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

USER = "postgres"


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).parent if there else None


class Server:
    """A server of PostgreSQL in a temporary folder, on a port of its own."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        # It refuses to run as root.
        self._as = {"user": USER} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(folder, USER)
        data = folder / "data"
        self._run("initdb", "-D", data, "-U", USER, "-A", "trust", "-N", "-E", "UTF8")
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "max_connections": 60}
        settings |= {"unix_socket_directories": folder, "fsync": "off"}
        with (data / "postgresql.conf").open("a") as out:
            out.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        self._databases = 0

    def start(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def database(self) -> str:
        """Make an empty database and return its URL."""
        import psycopg

        self._databases += 1
        name = f"test{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str, port: int | None = None) -> str:
        return f"postgresql://{USER}@127.0.0.1:{port or self.port}/{name}"

    def _run(self, program: str, *args: object) -> None:
        command = [str(self.programs / program), *map(str, args)]
        done = subprocess.run(
            command,
            cwd="/",
            stdout=subprocess.DEVNULL,  # a pipe would be held open by the server
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
            **self._as,
        )
        assert done.returncode == 0, f"{program} failed"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    pytest.importorskip(
        "psycopg",
        reason="psycopg is not installed: pip install '.[postgres]'",
        exc_type=ImportError,  # it is there, and its library is not
    )
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with tempfile.TemporaryDirectory(
        prefix="bandit-router-pg-", ignore_cleanup_errors=True
    ) as name:
        server = Server(programs, Path(name))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.database()


@pytest.fixture
def new_url(postgres: Server) -> Callable[[], str]:
    return postgres.database
