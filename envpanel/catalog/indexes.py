"""The package indexes as uv sees them: from its variables, from settings.yaml, and the one that uv knows by itself."""

from __future__ import annotations

import re
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from envpanel import process
from envpanel.errors import EngineFailed, InvalidSettings
from envpanel.model import wire
from envpanel.settings import Settings

_TRUE = frozenset({"1", "y", "yes", "t", "true", "on"})


@dataclass(frozen=True, kw_only=True)
class PackageIndex:
    """A place where packages come from. `name` is for people: the configured one, else the host or the folder.

    `url` has no user name and no password in it; `login` is `user:password`, for requests to this host alone. An
    `index` has a page for each package (PEP 503); `links` is a folder or page of files (`--find-links`).
    """

    name: str
    url: str
    kind: Literal["index", "links"] = "index"
    login: str | None = field(default=None, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine: asked without a network, and without a cache."""
        return self.url.startswith("file:")

    @property
    def key(self) -> str:
        """Under which something of it is kept: no address can be read from it, and no login goes into it."""
        return wire.sha256(wire.canonical([self.kind, self.url]))[:24]


class Indexes:
    """The indexes of one user in one project. `environ` is the user's environment."""

    def __init__(self, *, uv: str, environ: Mapping[str, str], settings: Settings) -> None:
        self._uv = uv
        self._environ = environ
        self._settings = settings
        self._found: tuple[PackageIndex, ...] | None = None

    @property
    def offline(self) -> bool:
        """Whether the network is not to be used (UV_OFFLINE)."""
        return _is_true(self._environ.get("UV_OFFLINE"))

    @property
    def first_only(self) -> bool:
        """Whether a package is taken from the first index alone that has it, as uv does unless told otherwise."""
        return self._environ.get("UV_INDEX_STRATEGY", "first-index") == "first-index"

    async def all(self) -> tuple[PackageIndex, ...]:
        """The indexes in the order in which uv asks them, the places of UV_FIND_LINKS last.

        Raises:
            InvalidSettings: an address cannot be read; it is not repeated.
            EngineFailed: uv did not say which index it takes by itself.
        """
        if self._found is None:
            self._found = tuple(_with_names_apart([index async for index in self._configured()]))
        return self._found

    async def _configured(self) -> AsyncIterator[PackageIndex]:
        environ = self._environ
        if not _is_true(environ.get("UV_NO_INDEX")):
            for name, address in _entries(environ.get("UV_INDEX", "")):
                yield self._index(name, address, "UV_INDEX")
            for index in self._settings.indexes:
                if not index.default:
                    yield self._index(index.name, index.url, "settings.yaml")
            for name, address in _entries(environ.get("UV_EXTRA_INDEX_URL", "")):
                yield self._index(name, address, "UV_EXTRA_INDEX_URL")
            yield await self._default()
        for address in environ.get("UV_FIND_LINKS", "").split(","):
            if address.strip():
                yield replace(self._index("", address.strip(), "UV_FIND_LINKS"), kind="links")

    async def _default(self) -> PackageIndex:
        for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
            for name, address in _entries(self._environ.get(variable, "")):
                return self._index(name, address, variable)
        for index in self._settings.indexes:
            if index.default:
                return self._index(index.name, index.url, "settings.yaml")
        return self._index("", await self._own_default(), "uv")

    async def _own_default(self) -> str:
        """The index that uv takes where nobody names one: it writes that down when asked to lock nothing."""
        env = process.allowed(self._environ) | {"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never"}
        argv = [self._uv, "pip", "compile", "nothing.in", "--emit-index-url", "--no-header", "--offline"]
        argv += ["--python", sys.executable]
        with tempfile.TemporaryDirectory(prefix="envpanel-") as folder:
            (Path(folder) / "nothing.in").touch()
            try:
                finished = await process.run(argv, env=env, cwd=Path(folder), streams="stdout", timeout=60)
            except (OSError, process.TimedOut) as error:
                raise EngineFailed("uv could not be asked for its package index.") from error
        match = re.search(r"^(?:--index-url|-i|--default-index)[ =](\S+)$", "\n".join(finished.lines), re.MULTILINE)
        if match is None:
            raise EngineFailed("uv does not say which package index it takes.", hint="Set UV_DEFAULT_INDEX.")
        return match[1]

    def _index(self, name: str, address: str, source: str) -> PackageIndex:
        try:
            parts = urllib.parse.urlsplit(address)
            host, port, user, password = parts.hostname, parts.port, parts.username, parts.password
        except ValueError as error:
            raise InvalidSettings(f"An address in {source} cannot be read.") from error
        if not parts.scheme or (parts.scheme == "file" and not host):
            path = Path(urllib.request.url2pathname(parts.path) if parts.scheme else address)
            if not path.is_absolute():
                raise InvalidSettings(
                    f"{source} names a relative folder, and uv runs elsewhere.", hint="Give its whole path."
                )
            return PackageIndex(name=name or _printable(str(path)), url=path.as_uri())
        if parts.scheme not in ("http", "https") or not host:
            raise InvalidSettings(f"An address in {source} begins with neither https:// nor http:// nor file://.")
        prefix = f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', name.upper())}"
        given = self._environ.get(f"{prefix}_USERNAME"), self._environ.get(f"{prefix}_PASSWORD")
        login = None
        if name and any(given):
            login = f"{given[0] or ''}:{given[1] or ''}"
        elif user or password:
            login = f"{urllib.parse.unquote(user or '')}:{urllib.parse.unquote(password or '')}"
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
        # Of an address without a name no more than the host is shown: some have a token in their path.
        shown = name or _printable(host if port is None else f"{host}:{port}")
        return PackageIndex(name=shown, url=bare, login=login)


def _entries(value: str) -> Iterator[tuple[str, str]]:
    """Name (or an empty string) and address of each entry of a variable: `name=https://...` or the address alone."""
    for entry in value.split():
        named = re.match(r"([A-Za-z0-9_.-]+)=(.+)", entry)
        yield (named[1], named[2]) if named else ("", entry)


def _with_names_apart(indexes: list[PackageIndex]) -> Iterator[PackageIndex]:
    """No two of one name; an index that is named twice is asked once, at its first place."""
    seen: set[tuple[str, str]] = set()
    names: set[str] = set()
    for index in indexes:
        if (index.kind, index.url) in seen:
            continue
        seen.add((index.kind, index.url))
        name, number = index.name, 2
        while name in names:
            name, number = f"{index.name} ({number})", number + 1
        names.add(name)
        yield replace(index, name=name)


def _is_true(value: str | None) -> bool:
    return (value or "").strip().lower() in _TRUE


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
