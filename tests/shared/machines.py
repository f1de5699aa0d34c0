"""Machines of our own: network namespaces, each on a cable that can be pulled."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

_CLONE_NEWNET = 0x40000000


def permitted() -> bool:
    """Tell whether this user may make network namespaces here."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"br-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return made.returncode == 0


class Machine:
    """A namespace; `address` is the machine's, `host` that of this one as the machine sees it.

    Addresses are those that RFC 2544 sets aside for tests.
    """

    def __init__(self, number: int) -> None:
        self.name = f"br-{os.getpid()}-{number}"
        self._cable = f"br{os.getpid() % 100_000}c{number}"
        net = f"198.18.{os.getpid() % 250}"
        self.host, self.address = (f"{net}.{4 * number + i}" for i in (1, 2))
        self._inside = inside = f"{self._cable}i"
        # Whatever becomes of the cable, nothing meant for the machine leaves this one.
        self._fence = ["unreachable", f"{net}.{4 * number}/30", "metric", "9999"]
        self._ip("netns", "add", self.name)
        self._ip("route", "add", *self._fence)
        self._ip("link", "add", self._cable, "type", "veth", "peer", "name", inside)
        self._ip("link", "set", inside, "netns", self.name)
        self._ip("addr", "add", f"{self.host}/30", "dev", self._cable)
        self._ip("link", "set", self._cable, "up")
        self._ip("-n", self.name, "addr", "add", f"{self.address}/30", "dev", inside)
        self._ip("-n", self.name, "link", "set", inside, "up")
        self._ip("-n", self.name, "link", "set", "lo", "up")

    def pull(self) -> None:
        """Cut the machine off: what is sent arrives nowhere, and nobody is told."""
        self._ip("-n", self.name, "link", "set", self._inside, "down")

    def plug(self) -> None:
        """Connect it again."""
        self._ip("-n", self.name, "link", "set", self._inside, "up")

    def remove(self) -> None:
        """Take the machine away, once its processes have ended."""
        self._ip("link", "del", self._cable)
        self._ip("netns", "del", self.name)
        self._ip("route", "del", *self._fence)

    @staticmethod
    def _ip(*words: str) -> None:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stderr)


def enter(name: str) -> None:
    """Move this process, which has one thread, into a namespace."""
    with Path("/run/netns", name).open() as place:
        assert ctypes.CDLL(None).setns(place.fileno(), _CLONE_NEWNET) == 0
