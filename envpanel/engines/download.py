"""Fetches one file of a package index, with the login that the index settings or a netrc file have for its host.

uv has no command that only downloads.
"""

from __future__ import annotations

import base64
import contextlib
import netrc
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from envpanel import process
from envpanel.errors import EngineFailed

_SECONDS = 60


def fetch(address: str, env: Mapping[str, str], *, folder: Path) -> bytes:
    """The bytes at an address (https, http, file), or in a file relative to `folder`.

    `env` has the indexes and their credentials as uv takes them: `UV_INDEX`, `UV_INDEX_<NAME>_PASSWORD` and so on.

    Raises:
        EngineFailed: it could not be had; the sentence has no credentials in it.
    """
    parts = urllib.parse.urlsplit(address)
    try:
        if not parts.scheme:
            return (folder / address).read_bytes()
        if parts.scheme == "file":
            return Path(urllib.request.url2pathname(parts.path)).read_bytes()
        request = urllib.request.Request(address, headers={"User-Agent": "envpanel"})
        login = _login(parts.hostname or "", env)
        if login:
            # Not passed on where the index redirects to another host.
            request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
        context = ssl.create_default_context()
        with urllib.request.urlopen(request, timeout=_SECONDS, context=context) as answer:
            data: bytes = answer.read()
            return data
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = process.redacted(str(error))
        raise EngineFailed(f"{process.redacted(address)} could not be downloaded: {reason}.") from error


def _login(host: str, env: Mapping[str, str]) -> str | None:
    """`user:password` for this host."""
    for name, address in _indexes(env):
        parts = urllib.parse.urlsplit(address)
        if parts.hostname != host:
            continue
        prefix = f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"
        user, password = env.get(f"{prefix}_USERNAME"), env.get(f"{prefix}_PASSWORD")
        if user or password:
            return f"{user or ''}:{password or ''}"
        if parts.username:
            return f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        entry = netrc.netrc(env.get("NETRC")).authenticators(host)
        if entry:
            return f"{entry[0]}:{entry[2]}"
    return None


def _indexes(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Name (or an empty string) and address of each index that the variables name."""
    for variable in ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        for entry in env.get(variable, "").split():
            named = re.match(r"([A-Za-z0-9_.-]+)=(.+)", entry)
            yield (named[1], named[2]) if named else ("", entry)
