"""The local index: a SQLite file, fed from the ledger, that answers what would need many records to be read.

It is rebuildable and belongs to one machine: never in the shared home, for SQLite and network shares do not go
together. Any error of the database: it is deleted and built again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from envpanel.errors import NotFound
from envpanel.history.ledger import Ledger
from envpanel.model import wire
from envpanel.model.diff import Diff
from envpanel.model.nouns import Author, Record
from envpanel.model.versions import canonicalize_name

_SCHEMA = """
CREATE TABLE IF NOT EXISTS revisions (
    environment TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL, entry TEXT NOT NULL,
    PRIMARY KEY (environment, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (
    package TEXT NOT NULL, environment TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (package, environment, number)) WITHOUT ROWID;
"""
_VERSION = 2
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """A line of the history: the parts of a record that lists show. `commands`: scripts ran for it."""

    number: int
    parent: int | None
    author: Author
    created: str
    operation: str
    arguments: dict[str, Any]
    message: str
    diff: Diff
    commands: bool


class Index:
    """The index of one home, at `path` (None: in memory)."""

    def __init__(self, ledger: Ledger, path: Path | None) -> None:
        self._ledger = ledger
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._mutex = threading.Lock()

    def history(
        self, name: str, *, limit: int, before: int | None = None, package: str | None = None
    ) -> list[HistoryEntry]:
        """The newest `limit` entries below number `before`; with `package`, those whose diff names it.

        Raises:
            NotFound: there is no such environment.
            RecordDamaged: a record that is to be read does not hold what its digest says.
        """

        def query(database: sqlite3.Connection) -> list[HistoryEntry]:
            self._catch_up(database, name)
            sql = "SELECT entry FROM revisions r WHERE environment = ? AND number < ?"
            values: list[object] = [name, before if before is not None else 1 << 62]
            if package is not None:
                sql += " AND EXISTS (SELECT 1 FROM changes c WHERE c.package = ? AND c.environment = r.environment"
                sql += " AND c.number = r.number)"
                values.append(canonicalize_name(package))
            rows = database.execute(f"{sql} ORDER BY number DESC LIMIT ?", [*values, limit])
            return [wire.read(json.loads(entry), HistoryEntry) for (entry,) in rows]

        return self._ask(query)

    def _ask(self, query: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        with self._mutex:
            try:
                return query(self._open())
            except (sqlite3.Error, ValueError, OSError):
                # Damaged, of another version, or not to be written: what it held is in the ledger.
                self._discard()
                try:
                    return query(self._open())
                except (sqlite3.Error, OSError):
                    self._discard()
                    self._path = None
                    return query(self._open())

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            # One connection under a mutex, so threads may share it.
            database = sqlite3.connect(self._path or ":memory:", timeout=10, check_same_thread=False)
            self._database = database
            if database.execute("PRAGMA user_version").fetchone()[0] not in (0, _VERSION):
                raise sqlite3.DatabaseError("of another version")
            # What is lost in a crash is read again from the ledger.
            database.execute("PRAGMA synchronous = OFF")
            database.executescript(_SCHEMA)
            database.execute(f"PRAGMA user_version = {_VERSION}")
        return self._database

    def _discard(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None
        if self._path is not None:
            for suffix in ("", "-journal", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _catch_up(self, database: sqlite3.Connection, name: str) -> None:
        """Read the records that came since, newest first, down to the last one that is known and still the same."""
        row = database.execute(
            "SELECT number, digest FROM revisions WHERE environment = ? ORDER BY number DESC LIMIT 1", [name]
        ).fetchone()
        try:
            head = self._ledger.head(name)
        except NotFound:
            _forget(database, name)
            raise
        if row is not None and row == (head.number, head.digest):
            return
        known = 0
        if row is not None and row[0] < head.number and self._ledger.get(name, row[0]).digest == row[1]:
            known = row[0]
        with database:
            if not known:
                _forget(database, name)
            for record in self._since(head, known):
                entry = json.dumps(wire.plain(entry_of(record)))
                database.execute(
                    "INSERT OR REPLACE INTO revisions VALUES (?, ?, ?, ?)", [name, record.number, record.digest, entry]
                )
                database.executemany(
                    "INSERT OR IGNORE INTO changes VALUES (?, ?, ?)",
                    [(package, name, record.number) for package in record.diff.names],
                )

    def _since(self, head: Record, known: int) -> Iterator[Record]:
        yield head
        if head.number - 1 > known:
            for record in self._ledger.newest_first(head.environment, before=head.number):
                if record.number <= known:
                    return
                yield record


def entry_of(record: Record) -> HistoryEntry:
    """The line of the history that stands for this record."""
    return HistoryEntry(
        number=record.number,
        parent=record.parent,
        author=record.author,
        created=record.created,
        operation=record.operation,
        arguments=record.arguments,
        message=record.message,
        diff=record.diff,
        commands=record.digests.commands is not None,
    )


def _forget(database: sqlite3.Connection, name: str) -> None:
    database.execute("DELETE FROM revisions WHERE environment = ?", [name])
    database.execute("DELETE FROM changes WHERE environment = ?", [name])
    database.commit()
