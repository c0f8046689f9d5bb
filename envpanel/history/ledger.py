"""The ledger: the chain of records of each environment, and the blobs that they name.

A revision exists exactly when its record does, and creating the record is the commit: a create-only put under the next
number. Who finds the number taken looks whether the record there has its own id (an answer was lost) and
otherwise starts again from the new head. Nothing else is needed for safety; locks only save double work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from envpanel.errors import FormatTooNew, KeyExists, KeyMissing, NotFound, RecordDamaged, StoreError
from envpanel.history.store import Store
from envpanel.model import wire
from envpanel.model.nouns import FORMAT, Record, is_name

_NUMBER = re.compile(r"(\d{8})\.json")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that `verify` found. `what`: record, chain, number, blob."""

    environment: str
    revision: int | None
    what: str
    message: str


class Ledger:
    """The environments, records and blobs of one home."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def names(self) -> list[str]:
        """The environments that have a record, or had the first one begun, sorted."""
        folders = [entry.rstrip("/") for entry in self.store.list("environments") if entry.endswith("/")]
        return [name for name in folders if is_name(name)]

    def head(self, name: str) -> Record:
        """The newest record.

        Raises:
            NotFound: there is none.
            RecordDamaged: it does not hold what its digest says.
        """
        number = self.last_number(name)
        if number == 0:
            raise NotFound(f"There is no environment {name[:80]!r} in this project.")
        return self.get(name, number)

    def last_number(self, name: str) -> int:
        """The number of the newest record, which may be damaged; 0 where there is none."""
        if not is_name(name):
            return 0
        # A hint may be lost or wrong, and a listing may be late: each is only where probing starts.
        number = self._hint(name)
        if not (number and self._exists(name, number)):
            number = max(self._numbers(name), default=0)
        while self._exists(name, number + 1):
            number += 1
        return number

    def get(self, name: str, number: int) -> Record:
        """The record of a revision.

        Raises:
            NotFound: there is none of this number.
            RecordDamaged: it does not hold what its digest says.
        """
        if not is_name(name):
            raise NotFound(f"There is no environment {name[:80]!r} in this project.")
        try:
            data = self.store.get(_key(name, number))
        except KeyMissing as error:
            raise NotFound(f"{name} has no revision {number}.", hint=f"envpanel history {name} lists them.") from error
        try:
            record = wire.unseal(data)
        except RecordDamaged as error:
            raise _damaged(name, number, error) from error
        if (record.environment, record.number) != (name, number):
            raise _damaged(name, number, RecordDamaged(f"it is that of {record.ref}"))
        return record

    def newest_first(self, name: str, *, before: int | None = None) -> Iterator[Record]:
        """The records from the head, or from below number `before`, down to the first."""
        number = self.head(name).number if before is None else before - 1
        for current in range(number, 0, -1):
            yield self.get(name, current)

    def newest_readable(self, name: str) -> Record | None:
        """The newest record that holds what its digest says, where the head may not."""
        for number in sorted(self._numbers(name), reverse=True):
            record = self._whole(name, number)
            if record is not None:
                return record
        return None

    def commit(self, draft: Record) -> Record:
        """Write the record under its number, on top of the one before it.

        `number`, `parent` and `previous` are the draft's; `digest` is set here. All its blobs must be there already.

        Raises:
            KeyExists: another record has this number; nothing was changed.
        RecordDamaged: this number is missing, and later ones are there.
            FormatTooNew: a newer envpanel wrote the record before.
            StoreError: it could not be written; nothing was changed.
        """
        if draft.format > FORMAT:
            raise FormatTooNew(
                f"{draft.environment} was changed by a newer envpanel (format {draft.format}, not {FORMAT}).",
                hint="Upgrade envpanel here to change it; reading it works.",
            )
        record, data = wire.seal(draft)
        key = _key(record.environment, record.number)
        if self._exists(draft.environment, draft.number + 1) and not self._exists(draft.environment, draft.number):
            # To fill the hole would hide that something is lost.
            raise RecordDamaged(
                f"The record of {draft.ref} is missing, though later ones are there, so nothing can be added.",
                hint="A backup of the home has it.",
            )
        try:
            self.store.create(key, data)
        except StoreError:
            # "Exists", or a failure whose answer was lost: either way what is there decides.
            try:
                written = wire.unseal(self.store.get(key))
            except StoreError:
                written = None
            if written is None or written.id != record.id:
                raise
            record = written
        self._publish(record)
        return record

    def put_blob(self, data: bytes) -> str:
        """Keep these bytes; their digest is the name that they are found by."""
        digest = wire.sha256(data)
        try:
            self.store.create(_blob(digest), data)
        except KeyExists:
            # The same name is the same content, unless it was damaged, or whoever was at it failed: this mends it.
            try:
                written = self.store.get(_blob(digest))
            except KeyMissing:
                written = None
            if written != data:
                self.store.put(_blob(digest), data)
        return digest

    def get_blob(self, digest: str) -> bytes:
        """The bytes of this digest.

        Raises:
            KeyMissing: there are none.
            RecordDamaged: they are not those of the digest.
        """
        data = self.store.get(_blob(digest))
        if wire.sha256(data) != digest:
            raise RecordDamaged(f"The stored file {digest[:12]} does not hold what its digest says.")
        return data

    def mend_yaml(self, record: Record) -> None:
        """Write the copy of the YAML for people beside the record where it is missing or different."""
        key = f"environments/{record.environment}/{record.number:08d}.yml"
        text = self.get_blob(record.digests.yaml)
        try:
            if self.store.get(key) == text:
                return
        except KeyMissing:
            pass
        self.store.put(key, text)

    def verify(self, name: str, number: int | None = None) -> tuple[int, list[Problem]]:
        """How many records were checked, and what is wrong with them: numbers, chain, digests and blobs.

        All of the environment's, or that of one revision (its place in the chain included).
        """
        numbers = self._numbers(name)
        last = max(numbers, default=0)
        if number is not None and not 1 <= number <= last:
            raise NotFound(f"{name} has no revision {number}.", hint=f"envpanel history {name} lists them.")
        problems: list[Problem] = []

        def found(what: str, message: str) -> None:
            problems.append(Problem(environment=name, revision=current, what=what, message=message))

        wanted = range(1, last + 1) if number is None else range(number, number + 1)
        previous: Record | None = None
        for current in wanted:
            try:
                record = self.get(name, current)
            except NotFound:
                found("number", f"{name} has no record of revision {current}, though later ones are there.")
                previous = None
                continue
            except RecordDamaged as error:
                found("record", error.message)
                previous = None
                continue
            if number is not None and current > 1:
                previous = self._whole(name, current - 1)
            if record.parent != (current - 1 or None):
                found("chain", f"The record of {record.ref} names {record.parent} as its parent.")
            if current == 1 and record.previous is not None:
                found("chain", f"The record of {record.ref} is the first and names one before it.")
            if previous is not None and record.previous != previous.digest:
                found("chain", f"The record of {record.ref} does not follow from that of revision {current - 1}.")
            for role, digest in wire.plain(record.digests).items():
                if digest is None:
                    continue
                try:
                    self.get_blob(digest)
                except KeyMissing:
                    found("blob", f"The {role} of {record.ref} is missing.")
                except RecordDamaged:
                    found("blob", f"The {role} of {record.ref} does not hold what its digest says.")
            previous = record
        return len(wanted), problems

    def missing_blobs(self, record: Record) -> list[str]:
        """The roles (lock, yaml, log, commands) of the record's blobs that are missing or damaged."""
        wrong = []
        for role, digest in wire.plain(record.digests).items():
            if digest is not None:
                try:
                    self.get_blob(digest)
                except (KeyMissing, RecordDamaged):
                    wrong.append(role)
        return wrong

    def hints(self) -> Mapping[str, str]:
        """For each environment that was written to a text that is another one after a commit; hints may be lost."""
        return self.store.versions("live/heads")

    def put_aside(self, name: str, number: int) -> bool:
        """Move a damaged record that is the newest one into `quarantine/`: the one before is the head then.

        False where it is whole, or not the newest: what came after it names it, so it stays where it is.
        """
        if self._numbers(name) != set(range(1, number + 1)) or self._whole(name, number) is not None:
            return False
        data = self.store.get(_key(name, number))
        self.store.put(f"quarantine/{name}/{number:08d}-{wire.sha256(data)[:16]}.json", data)
        self.store.delete(_key(name, number))
        self.store.delete(f"environments/{name}/{number:08d}.yml")
        self.store.delete(f"live/heads/{name}")
        return True

    def _whole(self, name: str, number: int) -> Record | None:
        try:
            return self.get(name, number)
        except (NotFound, RecordDamaged):
            return None

    def _publish(self, record: Record) -> None:
        """What others look at; losing it loses nothing, so no failure of it is one of the commit."""
        try:
            self.store.put(f"live/heads/{record.environment}", str(record.number).encode())
            self.mend_yaml(record)
        except StoreError:
            pass

    def _exists(self, name: str, number: int) -> bool:
        try:
            self.store.get(_key(name, number))
        except KeyMissing:
            return False
        return True

    def _hint(self, name: str) -> int:
        try:
            return int(self.store.get(f"live/heads/{name}"))
        except (StoreError, ValueError):
            return 0

    def _numbers(self, name: str) -> set[int]:
        matches = map(_NUMBER.fullmatch, self.store.list(f"environments/{name}"))
        return {int(match[1]) for match in matches if match}


def _key(name: str, number: int) -> str:
    return f"environments/{name}/{number:08d}.json"


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _damaged(name: str, number: int, error: RecordDamaged) -> RecordDamaged:
    return RecordDamaged(
        f"The record of {name}@{number} is damaged: {error.message}.",
        hint="envpanel verify names all that is damaged; a backup of the home has the record.",
    )
