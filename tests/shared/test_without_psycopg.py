"""Who shares no database needs no driver for one."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
sys.modules["psycopg"] = None
import bandit_router.service
from bandit_router.exceptions import StoreError
from bandit_router.store import open_log
try:
    open_log("postgresql://host/name")
except StoreError as error:
    print(error)
"""


def test_the_service_is_imported_and_a_url_is_told_what_it_needs() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert "pip install 'bandit-router[postgres]'" in done.stdout
