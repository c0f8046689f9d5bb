"""The names that indexes have: their lists, fetched in the background, kept, and compared again at most daily."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from envpanel import process
from envpanel.catalog import name_list, simple_index
from envpanel.catalog.index_pages import Answer
from envpanel.catalog.indexes import PackageIndex
from envpanel.catalog.name_list import NameList
from envpanel.catalog.shelf import Shelf
from envpanel.errors import IndexUnreachable

_AGE = 24 * 3600.0
_AGE_OF_SMALL = 10 * 60.0
_SMALL = 1 << 20
"""A list of up to so many bytes is read within this process, and compared as often as a page."""
_LONGEST = 128 << 20
_SECONDS = 15 * 60.0
_SILENCE = 30.0
_PAUSE = 60.0
"""A list that could not be had is tried again after so many seconds."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the names of an index: their list, or that it has none, or neither.

    `checked` (seconds since 1970) is when the list was last compared with the index; `is_old`: it is time to do so
    again. `error` is why that failed lately.
    """

    names: NameList | None = None
    is_unlisted: bool = False
    checked: float = 0.0
    is_old: bool = True
    error: IndexUnreachable | None = None


class Names:
    """The lists of names, kept beside a shelf. `environ` is the user's environment."""

    def __init__(self, *, shelf: Shelf, environ: Mapping[str, str]) -> None:
        self._shelf = shelf
        self._environ = environ
        self._loads: dict[str, _Load] = {}
        self._failed: dict[str, tuple[float, IndexUnreachable]] = {}

    def known(self, index: PackageIndex) -> Known:
        """What is known of this index, without asking it."""
        failed = self._failed.get(index.key)
        error = failed[1] if failed is not None and time.monotonic() - failed[0] < _PAUSE else None
        kept, path = self._shelf.get(_key(index)), self._path(index)
        listed = kept is not None and kept.header.get("listed") == "yes"
        if kept is None or (listed and not path.is_file()):
            return Known(error=error)
        longest = _AGE_OF_SMALL if kept.header.get("small") == "yes" else _AGE
        return Known(
            names=NameList(path) if listed else None,
            is_unlisted=not listed,
            checked=kept.moment,
            is_old=not 0 <= kept.age < longest,
            error=error,
        )

    def load(self, index: PackageIndex) -> None:
        """Begin to fetch the list, or to compare it, unless that is under way or has just failed."""
        running, known = self._loads.get(index.key), self.known(index)
        if known.error is None and (running is None or running.is_over):
            load = self._loads[index.key] = _Load(index)
            load.task = asyncio.create_task(self._load(load, known))

    async def wait(self, indexes: Sequence[PackageIndex], wait: float, *, patience: float) -> list[PackageIndex]:
        """Wait for what is being loaded; those that had not even begun to answer after `patience` seconds.

        For folders of this machine, as long as that; for others, up to `wait` seconds.
        """
        until = time.monotonic() + wait
        loads = [load for index in indexes if (load := self._loads.get(index.key)) and not load.is_over]
        local = [load.task for load in loads if load.index.is_local]
        if local:
            await asyncio.wait(local, timeout=max(wait, patience))
        remote = [load for load in loads if not load.index.is_local]
        if not remote or wait <= 0:
            return []
        await asyncio.wait([load.task for load in remote], timeout=min(wait, patience))
        left = [load for load in remote if not load.task.done()]
        # Who has begun to answer is worth the rest of the time.
        answering = [load.task for load in left if load.has_answer]
        if answering:
            await asyncio.wait(answering, timeout=max(0.0, until - time.monotonic()))
        return [load.index for load in left if not load.has_answer] if wait >= patience else []

    def close(self) -> None:
        """Have what is still being fetched ended."""
        for load in self._loads.values():
            # The loop may be closed by now.
            with contextlib.suppress(RuntimeError):
                load.task.get_loop().call_soon_threadsafe(load.task.cancel)

    async def _load(self, load: _Load, known: Known) -> None:
        """Fetch the list of an index, or learn that it is as before, or that there is none."""
        index = load.index
        kept = self._shelf.get(_key(index))
        # Without the list, "as before" would be no help.
        before = kept.header if kept is not None and (known.names or known.is_unlisted) else {}
        part = self._shelf.folder / f"{index.key}.{secrets.token_hex(4)}.part"
        new = part.with_suffix(".sqlite.part")
        try:
            await asyncio.to_thread(self._shelf.prepare)
            answer = await simple_index.ask(
                index,
                simple_index.root_url(index),
                environ=self._environ,
                seconds=_SECONDS,
                silence=_SILENCE,
                most=_LONGEST,
                etag=before.get("etag", ""),
                modified=before.get("modified", ""),
                into=part,
                on_answer=load.answered,
            )
            if answer.state == "unchanged":
                self._shelf.touch(_key(index))
                return
            small = part.stat().st_size <= _SMALL
            listed = answer.state == "found" and await self._build(part, answer, new, small=small)
            if listed:
                new.replace(self._path(index))
            header = {"etag": answer.etag, "modified": answer.modified}
            header |= {"listed": "yes" if listed else "no", "small": "yes" if small else "no"}
            await asyncio.to_thread(self._shelf.put, _key(index), header, b"")
            self._failed.pop(index.key, None)
        except IndexUnreachable as error:
            self._failed[index.key] = time.monotonic(), error
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            failure = IndexUnreachable(f"The list of names of {index.name} could not be kept here: {reason}.")
            self._failed[index.key] = time.monotonic(), failure
        finally:
            for path in (part, new):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    async def _build(self, part: Path, answer: Answer, new: Path, *, small: bool) -> bool:
        """Make the list from an answer; False where that is no list of names, or an empty one."""
        kind = "json" if "json" in answer.content_type else "html"
        arguments = [str(part), kind, str(new)]
        if small:
            return await asyncio.to_thread(name_list.main, arguments) == 0
        # -P: not from the working directory.
        argv = [sys.executable, "-P", "-m", name_list.__name__, *arguments]
        env = process.allowed(self._environ)
        try:
            finished = await process.run(argv, env=env, cwd=self._shelf.folder, timeout=_SECONDS)
        except process.TimedOut as error:
            raise OSError(0, "it took too long") from error
        if finished.code not in (0, name_list.NO_LIST):
            raise OSError(0, finished.lines[-1] if finished.lines else f"exit code {finished.code}")
        return finished.code == 0

    def _path(self, index: PackageIndex) -> Path:
        return self._shelf.folder / f"{index.key}.names-{name_list.FORMAT}.sqlite"


class _Load:
    """The fetching of a list in the background."""

    task: asyncio.Task[None]

    def __init__(self, index: PackageIndex) -> None:
        self.index = index
        self.has_answer = False

    def answered(self) -> None:
        """The index has begun to answer."""
        self.has_answer = True

    @property
    def is_over(self) -> bool:
        """Whether it has ended, perhaps with the event loop that it ran in."""
        return self.task.done() or self.task.get_loop() is not asyncio.get_running_loop()


def _key(index: PackageIndex) -> str:
    return f"{index.key}.list"
