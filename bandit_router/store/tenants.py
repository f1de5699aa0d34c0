"""Where a tenant's part is: a file beside the deployment's, or a schema beside its schema."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from .base import Place, is_shared

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
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    options = query.get("options", "")
    given = _SEARCH_PATH.search(options)
    own = f"search_path={given[1] if given else 'tenant'}_{tenant}"
    query["options"] = (
        _SEARCH_PATH.sub(own, options, count=1) if given else f"{options} -c{own}".strip()
    )
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))
