"""The names of all packages of one index, in a SQLite file that is written once and then only read.

A newer list is a new file at the same place. An index may have 700,000 names: reading them from its answer takes
seconds of work, which this module does as a program of its own (`python -m`) where an event loop must not feel it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import urllib.parse
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from envpanel.catalog import index_pages

FORMAT = 1
"""Files of another format are not read, but made again."""

NO_LIST = 2
"""The exit code where an answer is no list of names."""

_SCHEMA = """
CREATE TABLE names (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE lengths (length INTEGER PRIMARY KEY, names TEXT NOT NULL);
"""
_BATCH = 4000
"""So many names are compared at a time: the interpreter is held for a millisecond or two."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A name that is like another, and by how many letters it differs."""

    name: str
    distance: int


def build(target: Path, names: Iterable[str]) -> int:
    """Write a list to a new file; how many names it has.

    Raises:
        OSError, sqlite3.Error: it cannot be written.
    """
    ordered = sorted(set(names))
    by_length: dict[int, list[str]] = {}
    for name in ordered:
        by_length.setdefault(len(name), []).append(name)
    with contextlib.closing(sqlite3.connect(target)) as database:
        # What is half written is thrown away.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA user_version = {FORMAT}")
        database.executescript(_SCHEMA)
        with database:
            database.executemany("INSERT INTO names VALUES (?)", ((name,) for name in ordered))
            database.executemany(
                "INSERT INTO lengths VALUES (?, ?)", ((key, "\n".join(value)) for key, value in by_length.items())
            )
    return len(ordered)


class NameList:
    """The list in this file. Names in questions are canonical (PEP 503).

    Raises (each method):
        sqlite3.Error: the file is damaged, or of another format.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def among(self, names: Collection[str]) -> set[str]:
        """Those of these names that are in the list."""
        with self._open() as database:
            found = (database.execute("SELECT name FROM names WHERE name = ?", [name]).fetchone() for name in names)
            return {row[0] for row in found if row is not None}

    def starting(self, text: str, limit: int) -> list[str]:
        """The names that begin so, shortest first, without the text itself."""
        sql = "SELECT name FROM names WHERE name > ? AND name < ? ORDER BY length(name), name LIMIT ?"
        with self._open() as database:
            # No letter of a name comes behind "~".
            return [name for (name,) in database.execute(sql, [text, f"{text}~", limit])]

    def containing(self, text: str, limit: int) -> list[str]:
        """The names that have it in them, not at their beginning; where it begins a word, first."""
        sql = (
            "SELECT name FROM names WHERE instr(name, ?) > 1"
            " ORDER BY instr(name, '-' || ?) = 0, length(name), name LIMIT ?"
        )
        with self._open() as database:
            return [name for (name,) in database.execute(sql, [text, text, limit])]

    def similar(self, text: str, limit: int) -> list[Hit]:
        """The names that are it with a letter more, less, other, or two exchanged; in longer ones, two such."""
        most = typos(text)
        sql = "SELECT names FROM lengths WHERE length BETWEEN ? AND ?"
        found: list[Hit] = []
        with self._open() as database:
            for (joined,) in database.execute(sql, [len(text) - most, len(text) + most]):
                found += similar_among(text, joined.split("\n"), limit)
        return sorted(found, key=lambda hit: (hit.distance, hit.name))[:limit]

    def discard(self) -> None:
        """Delete the file, which was found to be damaged; who still reads it is not disturbed."""
        self._path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # The file is never written again, only replaced: no locks, and a read-only folder will do.
        address = f"file:{urllib.parse.quote(str(self._path))}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            if database.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                raise sqlite3.DatabaseError("of another format")
            yield database


def typos(text: str) -> int:
    """How many letters may be wrong in a name as it was typed."""
    return 0 if len(text) < 3 else 1 if len(text) < 8 else 2


def similar_among(text: str, names: Collection[str], limit: int) -> list[Hit]:
    """Of these names, those that differ by a typo or two."""
    # Takes a moment to import, and most questions do not need it.
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    most = typos(text)
    if not most:
        return []
    found: list[Hit] = []
    ordered = list(names)
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        for name, distance, _ in process.extract(text, batch, scorer=OSA.distance, score_cutoff=most, limit=limit):
            if distance:
                found.append(Hit(name=name, distance=int(distance)))
    return found


def main(argv: list[str]) -> int:
    """`<answer of the index> <its content type> <file to write>`; the exit code."""
    answer, content_type, target = argv
    try:
        count = build(Path(target), index_pages.names_of(Path(answer), content_type))
    except ValueError:
        return NO_LIST
    return 0 if count else NO_LIST


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
