"""The pages of packages at the indexes: kept for ten minutes, and for longer where an index does not answer."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from envpanel.catalog import index_pages, simple_index
from envpanel.catalog.index_pages import Answer, File
from envpanel.catalog.indexes import PackageIndex
from envpanel.catalog.releases import names_in
from envpanel.catalog.shelf import Kept, Shelf
from envpanel.errors import IndexUnreachable
from envpanel.model import wire

AGE = 10 * 60.0
"""A page is asked for again after so many seconds."""
PAUSE = 15.0
"""An index that did not answer is left alone for so long: one question follows another while somebody types."""

_READ = 32
"""So many pages are held as they were read."""
_LONGEST_PAGE = 32 << 20
_LONGEST_METADATA = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Page:
    """The files that an index lists, and the packages that they belong to.

    `checked` (seconds since 1970) is when it did; `is_stale`: it could not be asked again since.
    """

    files: tuple[File, ...]
    names: frozenset[str]
    checked: float
    is_stale: bool = False


class PackagePages:
    """The pages, kept on a shelf. `environ` is the user's environment; `offline`: the network is not to be used."""

    def __init__(self, *, shelf: Shelf, environ: Mapping[str, str], offline: bool) -> None:
        self._shelf = shelf
        self._environ = environ
        self._offline = offline
        self._silent: dict[tuple[str, str], tuple[float, IndexUnreachable]] = {}
        self._read: dict[str, Page] = {}

    async def get(self, index: PackageIndex, name: str | None, *, seconds: float, silence: float) -> Page:
        """The page of a package at an index; of one of links, its only page.

        Raises:
            IndexUnreachable: it did not answer in so many seconds, or was silent for too long, and nothing is kept
                from before.
        """
        ask = partial(self._ask, index, seconds=seconds, silence=silence)
        if index.kind == "links" or name is None:
            return await self._page(index, simple_index.root_url(index), f"{index.key}.links", ask)
        key = f"{index.key}.{wire.sha256(name.encode())[:16]}.page"
        return await self._page(index, simple_index.project_url(index, name), key, ask)

    async def summary(self, index: PackageIndex, wheel: File, *, seconds: float) -> str | None:
        """What a wheel says of itself: from the METADATA beside it, or in it where it is on this machine, else None."""
        if urllib.parse.urlsplit(wheel.url).scheme == "file":
            return await asyncio.to_thread(_summary_in, wheel)
        if not wheel.has_metadata:
            return None
        # Without a checksum another file may stand there one day, which nobody would notice: the shelf forgets it.
        key = f"{wire.sha256(f'{index.key} {wheel.url} {wheel.metadata_sha256}'.encode())[:32]}.metadata"
        kept = await asyncio.to_thread(self._shelf.get, key)
        if kept is not None:
            return kept.header.get("summary") or None
        parts = urllib.parse.urlsplit(wheel.url)
        url = parts._replace(path=f"{parts.path}.metadata").geturl()
        try:
            answer = await self._ask(index, url, seconds=seconds, silence=seconds, most=_LONGEST_METADATA)
        except IndexUnreachable:
            return None
        if answer.state != "found" or wheel.metadata_sha256 not in (None, wire.sha256(answer.body)):
            return None
        summary = await asyncio.to_thread(index_pages.summary_of, answer.body)
        await asyncio.to_thread(self._shelf.put, key, {"summary": summary or ""}, b"")
        return summary

    def leave_alone(self, index: PackageIndex, error: IndexUnreachable) -> None:
        """This index was found not to answer: do not ask it for a while."""
        self._silent[_door(index, index.url)] = time.monotonic(), error

    async def _page(self, index: PackageIndex, url: str, key: str, ask: Callable[..., Awaitable[Answer]]) -> Page:
        if index.is_local:
            answer = await ask(url)
            return await asyncio.to_thread(_read, answer, time.time())
        kept = await asyncio.to_thread(self._shelf.get, key)
        if kept is not None and 0 <= kept.age < AGE:
            return await self._kept(key, kept)
        before = kept.header if kept is not None else {}
        try:
            answer = await ask(url, etag=before.get("etag", ""), modified=before.get("modified", ""))
        except IndexUnreachable:
            if kept is None:
                raise
            return await self._kept(key, kept, is_stale=True)
        if answer.state == "unchanged" and kept is not None:
            await asyncio.to_thread(self._shelf.touch, key)
            return await self._kept(key, Kept(header=kept.header, body=kept.body, moment=time.time()))
        header = {"state": answer.state, "url": answer.url, "type": answer.content_type}
        header |= {"etag": answer.etag, "modified": answer.modified}
        await asyncio.to_thread(self._shelf.put, key, header, answer.body)
        return await self._kept(key, Kept(header=header, body=answer.body, moment=time.time()))

    async def _kept(self, key: str, kept: Kept, *, is_stale: bool = False) -> Page:
        """The page that lies on the shelf, which is read once."""
        page = self._read.pop(key, None)
        if page is None or page.checked != kept.moment:
            header = kept.header
            state: Literal["found", "absent"] = "found" if header.get("state") == "found" else "absent"
            url, kind = header.get("url", ""), header.get("type", "")
            answer = Answer(state=state, url=url, content_type=kind, body=kept.body)
            page = await asyncio.to_thread(_read, answer, kept.moment)
        self._read[key] = page
        while len(self._read) > _READ:
            del self._read[next(iter(self._read))]
        return replace(page, is_stale=is_stale)

    async def _ask(
        self,
        index: PackageIndex,
        url: str,
        *,
        seconds: float,
        silence: float,
        most: int = _LONGEST_PAGE,
        etag: str = "",
        modified: str = "",
    ) -> Answer:
        if self._offline and not index.is_local:
            raise IndexUnreachable(f"UV_OFFLINE is set, and {index.name} was not asked before.")
        silent = self._silent.get(_door(index, url))
        if silent is not None and time.monotonic() - silent[0] < PAUSE:
            raise silent[1]
        try:
            answer = await simple_index.ask(
                index,
                url,
                environ=self._environ,
                seconds=seconds,
                silence=silence,
                most=most,
                etag=etag,
                modified=modified,
            )
        except IndexUnreachable as error:
            self._silent[_door(index, url)] = time.monotonic(), error
            raise
        self._silent.pop(_door(index, url), None)
        return answer


def _read(answer: Answer, checked: float) -> Page:
    files = tuple(index_pages.files_of(answer)) if answer.state == "found" else ()
    return Page(files=files, names=names_in(files), checked=checked)


def _door(index: PackageIndex, url: str) -> tuple[str, str]:
    """What answers or does not: an index may have its files at another host than its pages."""
    return index.key, urllib.parse.urlsplit(url).netloc


def _summary_in(wheel: File) -> str | None:
    """From a wheel of this machine, or the file beside it."""
    path = Path(urllib.request.url2pathname(urllib.parse.urlsplit(wheel.url).path))
    beside = path.with_name(f"{path.name}.metadata")
    try:
        if beside.is_file():
            with beside.open("rb") as file:
                return index_pages.summary_of(file.read(_LONGEST_METADATA))
        with zipfile.ZipFile(path) as archive:
            inside = [entry for entry in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", entry)]
            with archive.open(inside[0]) as metadata:
                return index_pages.summary_of(metadata.read(_LONGEST_METADATA))
    except (OSError, IndexError, zipfile.BadZipFile, zlib.error, ValueError, RuntimeError):
        # Which damage it is does not matter here: the installer will tell.
        return None
