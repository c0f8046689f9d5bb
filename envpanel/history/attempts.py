"""Attempts: changes that ended badly, kept with who, what, why and the log. No revision comes of them.

    attempts/<environment>/<id>.json     create-only, canonical JSON; the log is a blob

A change that is killed cannot write its own: while it runs it leaves a note beside its log in the cache of its
machine, locked by it, and whoever comes next there finds the note without a lock and writes the attempt.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from envpanel.errors import KeyExists, KeyMissing, NotFound, RecordDamaged
from envpanel.history.ledger import Ledger
from envpanel.model import wire
from envpanel.model.nouns import FORMAT, Author, Via, is_name

_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")


class AttemptState(StrEnum):
    """How it ended. `interrupted`: the program that was at it was killed."""

    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A change that made no revision.

    `head` is the revision that it was for, None for a new environment; `created` and `ended` are UTC and end in Z,
    `ended` being None where nobody saw it. `code`, `reason` and `hint` are those of the error; `log` is the digest of a
    blob. `record` is the id that the record of the change was to have.
    """

    id: str
    environment: str
    state: AttemptState = AttemptState.INTERRUPTED
    head: int | None
    author: Author
    via: Via
    created: str
    ended: str | None = None
    operation: str
    arguments: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    code: str | None = None
    reason: str = "The program that was at it was ended before it could finish."
    hint: str | None = None
    log: str | None = None
    record: str
    format: int = FORMAT


def new_id() -> str:
    """By time, so that a listing is in order; and random, for two may begin at once."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


class Attempts:
    """The attempts of a home. `notes` is the folder of this machine for those that are running."""

    def __init__(self, ledger: Ledger, notes: Path) -> None:
        self._ledger = ledger
        self._notes = notes

    def newest_first(self, name: str, *, limit: int) -> list[Attempt]:
        """The newest attempts at an environment, which need not exist."""
        if not is_name(name):
            return []
        ids = [entry.removesuffix(".json") for entry in self._ledger.store.list(f"attempts/{name}")]
        return [self.get(name, each) for each in sorted(filter(_ID.fullmatch, ids), reverse=True)[:limit]]

    def get(self, name: str, attempt_id: str) -> Attempt:
        """One attempt.

        Raises:
            NotFound: there is none of this id.
            RecordDamaged: it cannot be read.
        """
        absent = NotFound(
            f"{name[:80]} has no attempt {attempt_id[:80]!r}.", hint=f"envpanel history {name[:80]} --attempts"
        )
        if not is_name(name) or not _ID.fullmatch(attempt_id):
            raise absent
        try:
            return wire.read(json.loads(self._ledger.store.get(_key(name, attempt_id))), Attempt)
        except KeyMissing as error:
            raise absent from error
        except ValueError as error:
            raise RecordDamaged(f"The attempt {attempt_id} at {name} cannot be read: {error}.") from error

    def keep(self, attempt: Attempt, log: str) -> None:
        """Write it, with its log.

        Raises:
            StoreError: it could not be written.
        """
        digest = self._ledger.put_blob(log.encode()) if log else None
        content = wire.canonical(wire.plain(replace(attempt, log=digest))) + b"\n"
        # Whoever else recovers it writes the same.
        with contextlib.suppress(KeyExists):
            self._ledger.store.create(_key(attempt.environment, attempt.id), content)

    def recover(self) -> None:
        """Write the attempts that were killed on this machine.

        Raises:
            StoreError: one could not be written; its note stays.
        """
        try:
            notes = sorted(self._notes.glob("*.running"))
        except OSError:
            return
        for path in notes:
            note = Note.left(path)
            if note is not None:
                with note:
                    if note.attempt is not None and not self._has_become(note.attempt):
                        self.keep(note.attempt, note.log())

    def _has_become(self, attempt: Attempt) -> bool:
        """Whether it was killed too late, and there is a revision of it."""
        try:
            head = self._ledger.head(attempt.environment)
            for number in range(head.number, attempt.head or 0, -1):
                if self._ledger.get(attempt.environment, number).id == attempt.record:
                    return True
        except (NotFound, RecordDamaged):
            pass
        return False


class Note:
    """The note of a running change: a `.running` file beside its log, locked as long as the change runs."""

    def __init__(self, path: Path, descriptor: int, attempt: Attempt | None) -> None:
        self.path = path
        self.attempt = attempt
        self._descriptor = descriptor

    @classmethod
    def begin(cls, log: Path, attempt: Attempt) -> Note:
        """Leave a note for this attempt beside its log.

        Raises:
            OSError: it could not be written.
        """
        path = log.with_suffix(".running")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, wire.canonical(wire.plain(attempt)))
        return cls(path, descriptor, attempt)

    @classmethod
    def left(cls, path: Path) -> Note | None:
        """The note that a killed change has left; None where the change is running, or somebody else is at the note."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Taken away by its owner between our looking and our locking it.
            if not path.exists():
                raise FileNotFoundError(path)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read()
        except OSError:
            os.close(descriptor)
            return None
        try:
            attempt = wire.read(json.loads(data), Attempt)
        except ValueError:
            # Killed while it wrote the note: nothing had begun.
            attempt = None
        return cls(path, descriptor, attempt)

    def __enter__(self) -> Note:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def log(self) -> str:
        """What the change had logged."""
        try:
            return self.path.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def _key(name: str, attempt_id: str) -> str:
    return f"attempts/{name}/{attempt_id}.json"
