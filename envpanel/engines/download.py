"""Fetches one file of a package index, with the login that the index settings or a netrc file have for its host.

uv has no command that only downloads.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import netrc
import re
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from envpanel import process
from envpanel.errors import EngineFailed

_SILENCE = 60
"""Seconds without a byte after which an index is given up."""


async def fetch(address: str, env: Mapping[str, str], *, folder: Path, seconds: float) -> bytes:
    """The bytes at an address (https, http, file), or in a file relative to `folder`.

    `env` has the indexes and their credentials as uv takes them: `UV_INDEX`, `UV_INDEX_<NAME>_PASSWORD` and so on.

    Raises:
        EngineFailed: it could not be had, or not in so many seconds; the sentence has no credentials in it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes] = loop.create_future()

    def settle(data: bytes | None, error: Exception | None) -> None:
        if not future.done():
            future.set_exception(error) if error is not None else future.set_result(data or b"")

    def work() -> None:
        data, failure = None, None
        try:
            data = _read(address, env, folder)
        except (OSError, ValueError) as error:
            failure = EngineFailed(f"{process.redacted(address)} could not be downloaded: {_reason(error)}.")
        # The loop may be closed by then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, data, failure)

    # A thread that nobody waits for: reading from a silent index cannot be interrupted, only left alone.
    threading.Thread(target=work, daemon=True, name="envpanel-download").start()
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError as error:
        raise EngineFailed(
            f"{process.redacted(address)} did not come in {seconds:g} seconds.",
            hint="'limits.build_minutes' in settings.yaml allows more.",
        ) from error


def _read(address: str, env: Mapping[str, str], folder: Path) -> bytes:
    parts = urllib.parse.urlsplit(address)
    if not parts.scheme:
        return (folder / address).read_bytes()
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path)).read_bytes()
    # Two indexes of one host may have passwords of their own, and the lock does not say whose file it is.
    logins: list[str | None] = [*_logins(parts, env)] or [None]
    for login in logins:
        request = urllib.request.Request(address, headers={"User-Agent": "envpanel"})
        if login:
            # Not passed on where the index redirects to another host.
            request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=_SILENCE, context=ssl.create_default_context()) as answer:
                data: bytes = answer.read()
                return data
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403) or login == logins[-1]:
                raise
    raise OSError("no login was accepted")


def _reason(error: Exception) -> str:
    return process.redacted(str(getattr(error, "reason", None) or error)).rstrip(".")


def _logins(wanted: urllib.parse.SplitResult, env: Mapping[str, str]) -> Iterator[str]:
    """`user:password` for this address: of each index of the same service (host and port), and of a netrc file."""
    for name, address in _indexes(env):
        parts = urllib.parse.urlsplit(address)
        if (parts.scheme, parts.netloc.rpartition("@")[2]) != (wanted.scheme, wanted.netloc.rpartition("@")[2]):
            continue
        prefix = f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"
        user, password = env.get(f"{prefix}_USERNAME"), env.get(f"{prefix}_PASSWORD")
        if user or password:
            yield f"{user or ''}:{password or ''}"
        elif parts.username:
            yield f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        entry = netrc.netrc(env.get("NETRC")).authenticators(wanted.hostname or "")
        if entry:
            yield f"{entry[0]}:{entry[2]}"


def _indexes(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Name (or an empty string) and address of each index that the variables name."""
    for variable in ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        for entry in env.get(variable, "").split():
            named = re.match(r"([A-Za-z0-9_.-]+)=(.+)", entry)
            yield (named[1], named[2]) if named else ("", entry)
