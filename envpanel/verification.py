"""Verification: whether a home and what is built of it are whole, and mending what is not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from envpanel.builds import BuildLog, Builds
from envpanel.engines.interface import Report
from envpanel.errors import Failed, NotFound, RecordDamaged, StoreError
from envpanel.history.ledger import Ledger, Problem
from envpanel.model import environment_yml
from envpanel.model.lock import Lock
from envpanel.model.nouns import Progress, Record
from envpanel.prefixes.prefix import Prefix
from envpanel.prefixes.verify import Damage, check


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How many records were checked, what is wrong, and what was wrong and is repaired."""

    checked: int
    problems: tuple[Problem, ...]
    repaired: tuple[Problem, ...] = ()


class Verifier:
    """Checks and mends. `logged` gives the log of a repair for an environment."""

    def __init__(
        self, ledger: Ledger, builds: Builds, logged: Callable[[str], AbstractAsyncContextManager[BuildLog]]
    ) -> None:
        self._ledger = ledger
        self._builds = builds
        self._logged = logged

    async def verify(self, names: Sequence[str], number: int | None, *, repair: bool, report: Report) -> Verification:
        """Check these environments, or a revision of one: records, blobs, and the prefixes of this machine.

        Raises:
            NotFound: there is no such revision.
        """
        checked = 0
        problems: list[Problem] = []
        for each in names:
            count, found = await asyncio.to_thread(self._ledger.verify, each, number)
            checked += count
            problems += found
            problems += await self._damaged_prefixes(each, number, report)
        if not repair:
            return Verification(checked=checked, problems=tuple(problems))
        left = [problem for problem in problems if not await self._repaired(problem, report)]
        mended = [problem for problem in problems if problem not in left]
        return Verification(checked=checked, problems=tuple(left), repaired=tuple(mended))

    async def _damaged_prefixes(self, name: str, number: int | None, report: Report) -> list[Problem]:
        """One problem for each prefix with a damaged file; a prefix that several revisions share is read once."""
        problems = []
        seen: set[Path] = set()
        for record in await asyncio.to_thread(self._readable, name, number):
            found, _ = await self._builds.find(record)
            if found is None or found.path in seen:
                continue
            seen.add(found.path)
            report(Progress(phase="verifying", detail=str(record.ref)))
            damage = await self._damage(record, found)
            if damage:
                message = f"What is built of {record.ref} here is damaged: {damage[0].message}"
                if len(damage) > 1:
                    message += f" And {len(damage) - 1} more."
                problems.append(Problem(environment=name, revision=record.number, what="prefix", message=message))
        return problems

    async def _damage(self, record: Record, found: Prefix) -> list[Damage]:
        lock = await asyncio.to_thread(self._lock, record)
        return await asyncio.to_thread(check, found.path, lock.versions, manifest=found.manifest)

    def _readable(self, name: str, number: int | None) -> list[Record]:
        """The records of an environment, or the one of this number, leaving out what cannot be read."""
        records = []
        with contextlib.suppress(NotFound, RecordDamaged):
            last = self._ledger.head(name).number
            for current in [number] if number is not None else range(last, 0, -1):
                with contextlib.suppress(NotFound, RecordDamaged):
                    records.append(self._ledger.get(name, current))
        return records

    async def _repaired(self, problem: Problem, report: Report) -> bool:
        """Mend what was found, where that is possible."""
        if problem.revision is None:
            return False
        try:
            if problem.what == "record":
                return await asyncio.to_thread(self._ledger.put_aside, problem.environment, problem.revision)
            record = await asyncio.to_thread(self._ledger.get, problem.environment, problem.revision)
            if problem.what == "blob":
                return await asyncio.to_thread(self._remade_yaml, record)
            if problem.what == "prefix":
                return await self._rebuilt(record, report)
        except (NotFound, Failed, StoreError):
            # It stays a problem, and is told as one.
            return False
        return False

    def _remade_yaml(self, record: Record) -> bool:
        """The YAML follows from the lock."""
        text = environment_yml.dump(record.environment, self._lock(record))
        self._ledger.put_blob(text.encode())
        return not self._ledger.missing_blobs(record)

    async def _rebuilt(self, record: Record, report: Report) -> bool:
        found, _ = await self._builds.find(record)
        if found is None:
            return True
        lock = await asyncio.to_thread(self._lock, record)
        damage = await self._damage(record, found)
        async with self._logged(record.environment) as log:
            # What is damaged here may be so in the engine's cache, which has the same files under other names.
            await self._builds.forget([item.package for item in damage if item.package is not None], log=log)
            whole = await self._builds.ensure(record.content_id, lock, instead_of=found, report=report, log=log)
        return not await self._damage(record, whole)

    def _lock(self, record: Record) -> Lock:
        return Lock.from_toml(self._ledger.get_blob(record.digests.lock).decode())
