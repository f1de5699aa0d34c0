"""Where a tenant's part is: a file beside the deployment's, or a schema beside its schema."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote

from .base import Place, is_shared

_OPTIONS = "options="
_SEARCH_PATH = re.compile(r"search_path=(\S+)")


def place_of(tenant: str | None, place: Place) -> Place:
    """Return the place of a tenant's database; None is the deployment itself.

    Examples
    --------
    >>> place_of("acme", "router.db")
    PosixPath('router.acme.db')
    >>> place_of("acme", "postgresql://db/router")
    'postgresql://db/router?options=-csearch_path%3Dtenant_acme'
    """
    if tenant is None:
        return place
    return _schema(tenant, str(place)) if is_shared(place) else file_of(tenant, Path(place))


def file_of(tenant: str | None, file: Path) -> Path:
    """Return a tenant's file beside one of the deployment."""
    return file if tenant is None else file.with_name(f"{file.stem}.{tenant}{file.suffix}")


def _schema(tenant: str, url: str) -> str:
    """Return the URL of a tenant's schema; deployments that have a schema themselves keep apart."""
    base, _, query = url.partition("?")
    parts = [part for part in query.split("&") if part]
    options = "".join(unquote(p.removeprefix(_OPTIONS)) for p in parts if p.startswith(_OPTIONS))
    given = _SEARCH_PATH.findall(options)
    beside = given[-1].partition(",")[0].strip('"') if given else "tenant"
    options = f"{options} -csearch_path={beside}_{tenant}".strip()  # of several the last one holds
    rest = [part for part in parts if not part.startswith(_OPTIONS)]
    return f"{base}?{'&'.join([*rest, _OPTIONS + quote(options, safe='')])}"
