"""Builds: a prefix for a lock where this machine has none yet, one builder at a time, with a log and progress."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import ClassVar

from filelock import AsyncFileLock, Timeout

from envpanel.engines.interface import Engine, Log, Report
from envpanel.engines.interpreters import Interpreter, Interpreters
from envpanel.errors import InterpreterNotFound, OtherPlatform, StoreError
from envpanel.history.ledger import Ledger
from envpanel.model import wire
from envpanel.model.lock import Lock
from envpanel.model.nouns import Progress, Record
from envpanel.model.target import this_platform
from envpanel.prefixes import bytecode, verify
from envpanel.prefixes.distributions import Distribution, metadata, read_all
from envpanel.prefixes.prefix import Prefix, Prefixes
from envpanel.prefixes.tree import Tree


class BuildLog:
    """The log of a change: a file in the cache while it runs, and its text at the end. Cut at `limit` bytes.

    `follow` gets each line as it comes.
    """

    _CUT: ClassVar = b"(the log was cut here: 'limits.log_mib' in settings.yaml)\n"

    def __init__(self, folder: Path, name: str, limit: int, follow: Log = lambda _: None) -> None:
        self.path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{name}-{secrets.token_hex(3)}.log"
        self._room = limit
        self._follow = follow
        self._cut = False
        self._empty = True
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab", buffering=0)

    def __enter__(self) -> BuildLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None or self._empty:
            # What it held is a blob of the revision now.
            self.path.unlink(missing_ok=True)

    def __call__(self, line: str) -> None:
        """Write a line. A full disk must not hide why something failed, so it ends the log and nothing else."""
        if self._cut:
            return
        data = f"{line}\n".encode(errors="replace")
        self._cut = len(data) > self._room
        if self._cut:
            data = self._CUT
        self._follow(data.decode().rstrip("\n"))
        self._room -= len(data)
        self._empty = False
        with contextlib.suppress(OSError):
            self._file.write(data)

    def text(self) -> str:
        """All lines so far."""
        return self.path.read_text(encoding="utf-8", errors="replace")


class Builds:
    """What builds on this machine: `prefixes` of a cache, made by an engine."""

    def __init__(
        self, *, ledger: Ledger, prefixes: Prefixes, engine: Engine, interpreters: Interpreters, cache: Path
    ) -> None:
        self._ledger = ledger
        self._prefixes = prefixes
        self._engine = engine
        self._interpreters = interpreters
        self._cache = cache

    async def find(self, record: Record) -> tuple[Prefix | None, bool]:
        """The prefix of a revision on this machine, if there is one, and whether one is being built.

        The prefix may be damaged: see `Prefix.is_whole`.
        """
        interpreter = await self.interpreter(record.python)
        return await asyncio.to_thread(self.find_by, record.content_id, record.platform, interpreter)

    async def interpreter(self, minor: str) -> Interpreter | None:
        """The Python of this minor version that prefixes are built on here, if there is one."""
        try:
            return await self._interpreters.find(minor)
        except InterpreterNotFound:
            return None

    def find_by(self, content_id: str, platform: str, interpreter: Interpreter | None) -> tuple[Prefix | None, bool]:
        """As `find`, of this content on this interpreter; for lists of many."""
        if interpreter is None or platform != this_platform():
            return None, False
        key = prefix_key(content_id, interpreter)
        return self._prefixes.find(key), self._prefixes.is_building(key)

    async def ensure(
        self,
        content_id: str,
        lock: Lock,
        *,
        parent: Record | None = None,
        instead_of: Prefix | None = None,
        report: Report,
        log: Log,
    ) -> Prefix:
        """The whole prefix of this content; built if it is missing or damaged.

        `parent` is a revision whose bytecode may be taken over; `instead_of` a prefix that is to be replaced, though
        it can be started.

        Raises:
            OtherPlatform: the lock is for another platform.
            Failed: it could not be built; nothing is left behind.
            StoreError: the cache cannot be written.
        """
        if lock.platform != this_platform():
            raise OtherPlatform(f"This revision was locked for {lock.platform}; this machine is {this_platform()}.")
        interpreter = await self._interpreters.find(lock.python)
        key = prefix_key(content_id, interpreter)
        found = self._prefixes.find(key)
        if found is not None and found.is_whole and found != instead_of:
            return found
        # Safe without: who comes second takes the winner's directory. With it, nobody builds for nothing.
        async with turn(self._cache / "locks" / f"prefix-{key}.lock", "this build", report):
            found = self._prefixes.find(key)
            if found is not None and found.is_whole and found != instead_of:
                return found
            site = await asyncio.to_thread(self._prefixes.begin, key)
            try:
                wheels = await asyncio.to_thread(self._kept_wheels, lock)
                pass_fds = (site.lock,)
                await self._engine.build(
                    lock, site.path, interpreter, wheels=wheels, pass_fds=pass_fds, report=report, log=log
                )
                tree, distributions = await self._look(parent, lock, site.path, interpreter)
                env = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
                await bytecode.compile_all(tree, env=env, pass_fds=pass_fds, report=report, log=log)
                return await asyncio.to_thread(
                    self._prefixes.publish, site, tree=tree, distributions=distributions, instead_of=instead_of
                )
            finally:
                await asyncio.to_thread(self._prefixes.end, site)

    async def forget(self, packages: Collection[str], *, log: Log) -> None:
        """Drop packages from the engine's cache; the next build gets them anew."""
        await self._engine.forget(packages, log=log)

    async def _look(
        self, parent: Record | None, lock: Lock, path: Path, interpreter: Interpreter
    ) -> tuple[Tree, list[Distribution]]:
        """What has been installed; with the parent's bytecode, where it has a prefix that will do."""
        source = self._bytecode_source(parent, interpreter) if parent is not None else None
        before = await asyncio.to_thread(self._lock, parent) if parent is not None and source is not None else None
        return await asyncio.to_thread(_look, path, lock, source, before)

    def _bytecode_source(self, parent: Record, interpreter: Interpreter) -> Prefix | None:
        if parent.digests.commands is not None:
            # Its scripts may have changed any source.
            return None
        prefix = self._prefixes.find(prefix_key(parent.content_id, interpreter))
        return prefix if prefix is not None and prefix.is_whole else None

    def _lock(self, record: Record) -> Lock:
        return Lock.from_toml(self._ledger.get_blob(record.digests.lock).decode())

    def _kept_wheels(self, lock: Lock) -> Path:
        """A folder with the kept files of the lock, by their names."""
        folder = self._cache / "wheels" / lock.content_id()[:20]
        for package in lock.packages:
            path = folder / package.file
            if not package.kept or (path.exists() and wire.sha256(path.read_bytes()) == package.sha256):
                continue
            data = self._ledger.get_blob(package.sha256)
            folder.mkdir(parents=True, exist_ok=True)
            temp = path.with_suffix(f".{secrets.token_hex(4)}")
            try:
                temp.write_bytes(data)
                temp.replace(path)
            except OSError as error:
                temp.unlink(missing_ok=True)
                raise StoreError(f"{path} could not be written: {error.strerror}.") from error
        return folder


def prefix_key(content_id: str, interpreter: Interpreter) -> str:
    """The identity of a prefix on this machine: what is in it, and the interpreter that it stands on.

    Short, for it is part of the first line of every script in the prefix.
    """
    return wire.sha256(wire.canonical([content_id, str(interpreter.path), interpreter.version]))[:20]


def _look(path: Path, lock: Lock, parent: Prefix | None, before: Lock | None) -> tuple[Tree, list[Distribution]]:
    tree = Tree.scan(path)
    distributions = read_all(tree)
    if parent is not None and before is not None:
        hashes = {package.name: package.sha256 for package in before.packages}
        same = {package.name for package in lock.packages if hashes.get(package.name) == package.sha256}
        theirs = read_all(metadata(parent.path), known=distributions)
        listed = verify.listed(parent.path, parent.manifest) if parent.manifest is not None else None
        bytecode.take_over(parent.path, theirs, tree, distributions, same, listed=listed)
    return tree, distributions


@contextlib.asynccontextmanager
async def turn(path: Path, what: str, report: Report) -> AsyncIterator[None]:
    """Wait for one's turn at a lock file; who waits is told what the holder is at.

    Only saves work: safety never depends on it.
    """
    holder = path.with_suffix(".json")
    lock = AsyncFileLock(path, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            await lock.acquire(timeout=0)
        except Timeout:
            report(Progress(phase="waiting", detail=f"for {_holder(holder)}"))
            await lock.acquire(poll_interval=0.05)
    except OSError as error:
        raise StoreError(f"{path} could not be locked: {error.strerror}.") from error
    try:
        with contextlib.suppress(OSError):
            holder.write_text(json.dumps({"what": what}), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        await lock.release()


def _holder(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["what"])
    except (OSError, ValueError, KeyError, TypeError):
        return "another change"
