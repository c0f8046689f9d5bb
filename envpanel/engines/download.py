"""Fetches one file of a package index, with the login that the index settings or a netrc file have for its host.

uv has no command that only downloads.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import http.client
import netrc
import re
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from envpanel import process
from envpanel.engines.interface import Report
from envpanel.errors import EngineFailed
from envpanel.model.nouns import Progress

_SILENCE = 60
"""Seconds without a byte after which an index is given up."""

_MIB = 1 << 20


async def fetch(
    address: str, env: Mapping[str, str], *, folder: Path, target: Path, seconds: float, report: Report = lambda _: None
) -> str:
    """Write what is at an address (https, http, file), or in a file relative to `folder`, to `target`; its sha256.

    `env` has the indexes and their credentials as uv takes them: `UV_INDEX`, `UV_INDEX_<NAME>_PASSWORD` and so on.

    Raises:
        EngineFailed: it could not be had, or not in so many seconds; the sentence has no credentials in it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()
    transfer = _Transfer()

    def settle(digest: str, error: Exception | None) -> None:
        if not future.done():
            future.set_exception(error) if error is not None else future.set_result(digest)

    def work() -> None:
        digest, failure = "", None
        try:
            with file:
                digest = _copy(address, env, folder, file, transfer)
        except (OSError, ValueError, http.client.HTTPException) as error:
            failure = EngineFailed(f"{process.redacted(address)} could not be downloaded: {_reason(error)}.")
        # The loop may be closed by then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, digest, failure)

    try:
        # Opened here, for the folder may be gone before the thread gets that far.
        file = target.open("wb")
    except OSError as error:
        raise EngineFailed(f"{target.name} could not be written: {error.strerror}.") from error
    # A thread that nobody waits for: reading from a silent index cannot be interrupted, only left alone.
    threading.Thread(target=work, daemon=True, name="envpanel-download").start()
    try:
        async with asyncio.timeout(seconds):
            while not future.done():
                await asyncio.wait([future], timeout=0.5)
                if transfer.total:
                    done, total = transfer.done / _MIB, transfer.total / _MIB
                    report(Progress(phase="downloading", done=done, total=total, unit="MiB", detail=target.name))
            return future.result()
    except TimeoutError as error:
        raise EngineFailed(
            f"{process.redacted(address)} did not come in {seconds:g} seconds.",
            hint="'limits.build_minutes' in settings.yaml allows more.",
        ) from error
    finally:
        transfer.is_wanted = False
        future.cancel()


class _Transfer:
    """How far it is, in bytes (a total of 0 is not known), and whether anybody still waits for it."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.is_wanted = True


def _copy(address: str, env: Mapping[str, str], folder: Path, file: BinaryIO, transfer: _Transfer) -> str:
    digest = hashlib.sha256()
    with _opened(address, env, folder) as source:
        transfer.total = int(getattr(source, "length", None) or 0)
        while transfer.is_wanted and (chunk := source.read(_MIB)):
            digest.update(chunk)
            file.write(chunk)
            transfer.done += len(chunk)
    return digest.hexdigest()


def _opened(address: str, env: Mapping[str, str], folder: Path) -> BinaryIO | http.client.HTTPResponse:
    parts = urllib.parse.urlsplit(address)
    if not parts.scheme:
        return (folder / address).open("rb")
    if parts.scheme == "file":
        return Path(urllib.request.url2pathname(parts.path)).open("rb")
    if env.get("UV_OFFLINE", "").lower() not in ("", "0", "n", "no", "f", "false", "off"):
        raise OSError("the network is disabled by UV_OFFLINE")
    # Two indexes of one host may have passwords of their own, and the lock does not say whose file it is.
    logins: list[str | None] = [*_logins(parts, env)] or [None]
    for login in logins:
        request = urllib.request.Request(address, headers={"User-Agent": "envpanel"})
        if login:
            # Not passed on where the index redirects to another host.
            request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
        try:
            context = ssl.create_default_context()
            answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_SILENCE, context=context)
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403) or login == logins[-1]:
                raise
        else:
            return answer
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
