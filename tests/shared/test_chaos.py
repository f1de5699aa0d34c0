"""Three replicas and two learners as processes under load: killed, stopped, cut off.

Every acknowledgement is checked: what a client was told is recorded is in the log, once.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from .load import Client, Nursery, all_is_there, leader, serving
from .machines import Machine, permitted
from .proxy import Proxy

SECONDS = 12.0
CLIENTS = 6
CONFIG = {
    "embedder": {"name": "none"},
    "store": {"snapshot_every": 100},
    "models": [{"name": "small"}, {"name": "large"}],
}


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("nursery.py")), json.dumps(CONFIG)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        made = Nursery(process)
        yield made
        for pid in list(made.alive):
            made.signal(pid, signal.SIGKILL)
        process.kill()


class Scene:
    """Three replicas and two learners, and all that may happen to them.

    Parameters
    ----------
    replicas, learners
        What starts each of them.
    cut
        Cuts a replica (0, 1, 2) or a learner (3, 4) off, or connects it again; of proxies, in
        which of the ways that there are.
    """

    def __init__(
        self,
        nursery: Nursery,
        url: str,
        replicas: list[dict[str, str]],
        learners: list[dict[str, str]],
        cut: Callable[[int, str], None],
    ) -> None:
        self._nursery, self._url, self._cut = nursery, url, cut
        self._orders = [*replicas, *learners]
        started = [nursery.start(**order) for order in [*learners, *replicas]]
        started = [*started[len(learners) :], *started[: len(learners)]]
        self._pids = [pid for pid, _ in started]
        self.urls = [url for _, url in started[: len(replicas)]]
        self._rng = random.Random(11)

    async def happen(self, kinds: list[str]) -> None:
        """Let things happen, one after another."""
        for kind in kinds:
            what, who = kind.split()
            i = self._rng.randrange(len(self.urls))
            if who == "learner":
                i = self._pids.index(await leader(self._url))
            # A learner is away for longer than the server is patient, and loses the lock.
            long = 3.0 if who == "learner" else 1.0
            if what == "kill":
                self._nursery.signal(self._pids[i], signal.SIGKILL)
                self._pids[i], at = self._nursery.start(**self._orders[i])
                if i < len(self.urls):
                    self.urls[i] = at
            elif what == "stop":
                self._nursery.signal(self._pids[i], signal.SIGSTOP)
                await asyncio.sleep(long)
                self._nursery.signal(self._pids[i], signal.SIGCONT)
            else:
                self._cut(i, what)
                await asyncio.sleep(long)
                self._cut(i, "mend")
            await asyncio.sleep(0.3)


async def under_load(scene: Scene, urls: list[str], kinds: list[str], url: str) -> None:
    """Let things happen while clients talk to `urls`; hold what they were told against the log."""
    clients = [Client(seed, urls) for seed in range(CLIENTS)]
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3.0)) as session:
        await serving(session, scene.urls)
        await serving(session, urls)
        happening = asyncio.create_task(scene.happen(kinds))
        end = loop.time() + SECONDS
        await asyncio.gather(happening, *(client.talk(session, end) for client in clients))
    await all_is_there(clients, url)


async def test_nothing_acknowledged_is_lost_and_nothing_counts_twice(
    nursery: Nursery, postgres: Any, url: str, tmp_path: Path
) -> None:
    """Replicas reach the database over a network that breaks in both ways."""
    proxies = [Proxy(postgres.port) for _ in range(3)]
    for proxy in proxies:
        await proxy.start()
    name = url.rsplit("/", 1)[-1]
    replicas = [
        {"db": postgres.url(name, proxy.port), "outbox": str(tmp_path / f"{i}.db")}
        for i, proxy in enumerate(proxies)
    ]
    scene = Scene(
        nursery, url, replicas, [{"db": url}] * 2, lambda i, how: getattr(proxies[i], how)()
    )
    kinds = ["kill replica", "cut replica", "kill learner", "stop learner", "stop replica"]
    try:
        await under_load(
            scene, scene.urls, [*kinds, "hold replica", "kill replica", "kill learner"], url
        )
    finally:
        for proxy in proxies:
            await proxy.stop()


@pytest.fixture
async def machines(postgres: Any) -> AsyncIterator[list[tuple[Machine, Proxy]]]:
    """Five machines, each with its way to the database."""
    if not permitted():
        pytest.skip("network namespaces need root, and iproute2")
    made: list[tuple[Machine, Proxy]] = []
    try:
        for number in range(5):
            machine = Machine(number)
            made.append((machine, Proxy(postgres.port, machine.host)))
            await made[-1][1].start()
        yield made
    finally:
        for machine, proxy in made:
            await proxy.stop()
            machine.remove()


FRONTS = {
    "haproxy": ("haproxy.cfg", ["-db", "-f"], ["-c", "-f"]),
    "nginx": ("nginx.conf", ["-g", "daemon off;", "-c"], ["-t", "-c"]),
}
"""Of each load balancer its configuration in docs/ops, how it is started, and how it checks it."""


def installed(name: str) -> str:
    program = shutil.which(name) or shutil.which(f"/usr/sbin/{name}")
    if program is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return program


@pytest.mark.parametrize("front", FRONTS)
def test_a_load_balancer_takes_its_configuration(front: str, tmp_path: Path) -> None:
    program = installed(front)
    name, _, check = FRONTS[front]
    file = shutil.copy(Path(__file__).parents[2] / "docs/ops" / name, tmp_path)
    where = ["-p", str(tmp_path)] if front == "nginx" else []
    done = subprocess.run(
        [program, *where, *check, file], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower().replace("warnings", "")


@pytest.fixture(params=list(FRONTS))
def balanced(request: Any, tmp_path: Path) -> Iterator[Callable[[list[str]], str]]:
    """Starts a load balancer with its configuration of docs/ops before these addresses."""
    program = installed(request.param)
    name, started, _ = FRONTS[request.param]
    text = (Path(__file__).parents[2] / "docs/ops" / name).read_text()
    running: list[subprocess.Popen[bytes]] = []

    def start(addresses: list[str]) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        ours = text.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        for number, address in enumerate(addresses, start=11):
            ours = ours.replace(f"192.0.2.{number}:8080", address)
        assert "192.0.2." not in ours
        (tmp_path / name).write_text(ours)
        where = ["-p", str(tmp_path)] if request.param == "nginx" else []
        command = [program, *where, *started, str(tmp_path / name)]
        running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        return f"http://127.0.0.1:{port}"

    yield start
    for process in running:
        process.terminate()  # killed, nginx would leave its workers
        process.wait()


async def test_machines_behind_a_load_balancer(
    nursery: Nursery,
    machines: list[tuple[Machine, Proxy]],
    balanced: Callable[[list[str]], str],
    postgres: Any,
    url: str,
    tmp_path: Path,
) -> None:
    """Every process on a machine of its own, and the cable of one is pulled after another's."""
    name = url.rsplit("/", 1)[-1]
    orders = [
        {
            "machine": machine.name,
            "db": postgres.url(name, proxy.port).replace("127.0.0.1", machine.host),
        }
        for machine, proxy in machines
    ]
    replicas = [
        order | {"outbox": str(tmp_path / f"{i}.db"), "host": machine.address, "port": "8080"}
        for i, (order, (machine, _)) in enumerate(zip(orders[:3], machines, strict=False))
    ]

    def cut(i: int, how: str) -> None:
        machine = machines[i][0]
        (machine.plug if how == "mend" else machine.pull)()

    scene = Scene(nursery, url, replicas, orders[3:], cut)
    front = balanced([f"{machine.address}:8080" for machine, _ in machines[:3]])
    kinds = ["pull replica", "kill replica", "pull learner", "stop replica", "kill learner"]
    await under_load(scene, [front], [*kinds, "pull replica"], url)
