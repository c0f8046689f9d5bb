"""The verbs: everything that can be done with the environments of a home, for every edge alike.

Verbs that only read are plain functions: an edge with an event loop calls them in a thread. Verbs that may wait for a
program are coroutines, and end cleanly when cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import secrets
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from envpanel.bases.bundle import Base, Bundle
from envpanel.bases.revision import bundled_revision, is_newer
from envpanel.builds import BuildLog, Builds, turn
from envpanel.catalog.catalog import Catalog, PackageInfo, Search
from envpanel.engines import host
from envpanel.engines.interface import Engine, Log, Report
from envpanel.engines.interpreters import Interpreter, Interpreters
from envpanel.errors import (
    BaseImmutable,
    Cancelled,
    EnvironmentArchived,
    EnvPanelError,
    Failed,
    HeadMoved,
    IndexUnreachable,
    InvalidInput,
    KeyExists,
    KeyMissing,
    NameTaken,
    NotFound,
    OtherPlatform,
    RecordDamaged,
    Refused,
    StoreError,
)
from envpanel.history.attempts import Attempt, Attempts, AttemptState, Note, new_id
from envpanel.history.index import HistoryEntry, Index, entry_of
from envpanel.history.ledger import Ledger
from envpanel.history.store import Store
from envpanel.model import change as changes
from envpanel.model import environment_yml, requirements, wire
from envpanel.model.change import Change
from envpanel.model.diff import Diff, diff
from envpanel.model.lock import Lock
from envpanel.model.nouns import (
    FORMAT,
    PYTHONS,
    Author,
    Digests,
    Group,
    Kind,
    PlanWarning,
    Progress,
    Record,
    RevisionRef,
    State,
    Via,
    check_name,
    check_text,
)
from envpanel.model.plan import Plan, SavedPlan
from envpanel.model.target import default_python, this_platform
from envpanel.model.versions import canonicalize_name
from envpanel.planner import Planner
from envpanel.prefixes.prefix import Prefix, Prefixes
from envpanel.settings import Settings
from envpanel.verification import Verification, Verifier

KERNEL_REQUIREMENTS = ("ipykernel", "ipywidgets")
"""What an environment needs to run notebooks; `create` adds it unless told not to."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Who makes a change, through which edge, and why."""

    author: Author
    via: Via
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """An environment as lists show it.

    `head` is the newest number, `packages` how many that has, `author` and `created` are who made it and when. Two with
    the same `content_id` hold the same files. With `record_damaged` the newest record is not to be read: told is the
    one before.
    """

    name: str
    group: Group
    kind: Kind
    base: RevisionRef | None
    description: str
    head: int
    author: Author
    created: str
    python: str
    platform: str
    packages: int
    content_id: str
    state: State
    record_damaged: bool = False


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a change would do. `id` applies exactly this plan.

    `download`: bytes of the files that the head does not have, of which this machine may have some already; None where
    an index does not tell the size of one.
    """

    plan: Diff
    id: str
    warnings: tuple[PlanWarning, ...]
    download: int | None = None


@dataclass(frozen=True, kw_only=True)
class Outdated:
    """A package, the newest version that the requirements allow (None: they need it no more) and the newest there is
    (None: no index has it)."""

    name: str
    current: str
    allowed: str | None
    newest: str | None
    requested: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a change ended: the head's record, and whether the change made it (or there was nothing to change)."""

    record: Record
    changed: bool
    warnings: tuple[PlanWarning, ...] = ()


_Result = TypeVar("_Result")

_USED_FOR = 60.0
"""The names in use are put together again after so many seconds."""


def _quiet(_: Progress) -> None:
    """Progress that nobody watches."""


def _unread(_: str) -> None:
    """A log that nobody reads as it is written."""


class Environments:
    """The environments of one home."""

    def __init__(
        self,
        *,
        store: Store,
        cache: Path,
        index: Path | None,
        bundle: Bundle,
        engine: Engine,
        interpreters: Interpreters,
        settings: Settings,
        environ: Mapping[str, str],
        catalog: Catalog | None = None,
    ) -> None:
        self.ledger = Ledger(store)
        self._cache = cache
        self._bundle = bundle
        self._settings = settings
        self._environ = environ
        self._catalog = catalog
        self._used: tuple[float, frozenset[str]] | None = None
        self._index = Index(self.ledger, index)
        self._attempts = Attempts(self.ledger, cache / "logs")
        self._bases_are_up = False
        self._closing = False
        self._versions: dict[str, Mapping[str, str]] = {}
        self._planner = Planner(engine, interpreters)
        self._builds = Builds(
            ledger=self.ledger,
            prefixes=Prefixes(cache / "prefixes"),
            engine=engine,
            interpreters=interpreters,
            cache=cache,
        )
        self._verifier = Verifier(self.ledger, self._builds, self._logged)

    @property
    def cache(self) -> Path:
        """The folder of what can be made again: prefixes, kernelspecs, locks."""
        return self._cache

    def close(self) -> None:
        """From now on, what is cancelled is so because the program ends: its attempts are `interrupted`."""
        self._closing = True
        if self._catalog is not None:
            self._catalog.close()

    # Reading

    async def overview(self, *, archived: bool = False) -> list[Environment]:
        """All environments: bases and custom ones, by group, archived ones only where asked for.

        One whose newest record is damaged stands as of the last one that can be read, in state `damaged`.
        """
        heads = [head for head in await asyncio.to_thread(self._heads) if archived or not head[0].archived]
        found = await self._environments(heads)
        groups = list(Group)
        return sorted(found, key=lambda item: (groups.index(item.group), item.kind, item.name))

    def having(self, spec: str, environments: Sequence[Environment]) -> dict[str, str]:
        """Those of the environments whose head has this package in a version that `spec` (`numpy`, `numpy<2`) allows:
        the version by the name of the environment.

        Raises:
            InvalidRequirement: it names no package.
        """
        wanted = requirements.parse(spec)
        found = {}
        for item in environments:
            version = self._versions_of(item).get(wanted.name)
            if version is not None and wanted.specifier.contains(version, prereleases=True):
                found[item.name] = version
        return found

    def _versions_of(self, environment: Environment) -> Mapping[str, str]:
        """Version by name, kept by content: to read the records of hundreds of heads takes a second."""
        known = self._versions.get(environment.content_id)
        if known is None:
            with contextlib.suppress(NotFound, RecordDamaged):
                record = self.show(environment.name, environment.head)
                known = self._versions[environment.content_id] = {each.name: each.version for each in record.packages}
        return known or {}

    async def environment(self, name: str) -> Environment:
        """One environment, as `overview` shows it, archived or not.

        Raises:
            NotFound: with the closest name, where there is none of this.
        """
        try:
            record, damaged = await asyncio.to_thread(self.show, name), False
        except RecordDamaged:
            readable = await asyncio.to_thread(self.ledger.newest_readable, name)
            if readable is None:
                raise
            record, damaged = readable, True
        return (await self._environments([(record, damaged)]))[0]

    def show(self, name: str, number: int | None = None) -> Record:
        """The record of a revision, of the head where no number is given.

        Raises:
            NotFound: with the closest name, where there is no such environment or revision.
            RecordDamaged: it does not hold what its digest says.
        """
        try:
            return self.ledger.head(name) if number is None else self.ledger.get(name, number)
        except NotFound:
            if number in (None, 1) and self._is_unwritten_base(name):
                return bundled_revision(self._bundle.get(name))[0]
            if name in self._names():
                raise
            raise self._unknown(name) from None

    def lock(self, record: Record) -> Lock:
        """The lock of a revision.

        Raises:
            RecordDamaged: it does not hold what its digest says.
        """
        return Lock.from_toml(self.file(record, "lock"))

    def file(self, record: Record, kind: str) -> str:
        """The text of a revision's `lock`, `yaml` or `log`.

        Raises:
            NotFound: the revision has none.
        """
        digest: str | None = getattr(record.digests, kind)
        if digest is None:
            raise NotFound(f"{record.ref} has no {kind}: nothing ran for it.")
        try:
            return self.ledger.get_blob(digest).decode()
        except KeyMissing:
            # A base that nobody has used yet is not in the home, only in the bundle.
            if record.environment in self._bundle:
                drafted, blobs = bundled_revision(self._bundle.get(record.environment))
                if drafted.digests == record.digests:
                    return blobs[digest].decode()
            raise NotFound(f"The {kind} of {record.ref} is missing.", hint="envpanel verify tells more.") from None

    def history(
        self, name: str, *, limit: int = 20, before: int | None = None, package: str | None = None
    ) -> list[HistoryEntry]:
        """The newest `limit` lines of the history below number `before`; with `package`, those that touched it.

        Raises:
            NotFound: there is no such environment.
        """
        try:
            return self._index.history(name, limit=limit, before=before, package=package)
        except NotFound:
            record = self.show(name)
            entry = entry_of(record)
            wanted = package is None or canonicalize_name(package) in record.diff.names
            return [entry] if wanted and (before is None or before > 1) and limit > 0 else []

    def attempts(self, name: str, *, limit: int = 20) -> list[Attempt]:
        """The newest changes of this environment that failed, were cancelled or interrupted; it need not exist."""
        self._recover()
        return self._attempts.newest_first(name, limit=limit)

    def attempt(self, name: str, attempt_id: str) -> Attempt:
        """One of them.

        Raises:
            NotFound: there is none of this id.
        """
        return self._attempts.get(name, attempt_id)

    def attempt_log(self, attempt: Attempt) -> str:
        """What resolver and installer had said.

        Raises:
            NotFound: nothing had run.
        """
        if attempt.log is None:
            raise NotFound(f"The attempt {attempt.id} has no log: nothing had run for it.")
        return self.ledger.get_blob(attempt.log).decode()

    def diff(self, old: Record, new: Record) -> Diff:
        """What is different in `new`; the two may be of different environments."""
        return diff(old.packages, new.packages, old_python=old.python, new_python=new.python)

    async def verify(
        self, name: str | None = None, number: int | None = None, *, repair: bool = False, report: Report = _quiet
    ) -> Verification:
        """Check records (numbers, chain, digests), blobs, and every file of the prefixes of this machine.

        Of a revision, an environment, or all of them. With `repair`, a newest record that is damaged is put aside, so
        that the environment goes on from the one before; a YAML is made again from its lock; and a damaged prefix is
        built anew beside the old one, which running programs keep.

        Raises:
            NotFound: there is no such environment or revision.
        """
        written = await asyncio.to_thread(self.ledger.names)
        if name is not None and name not in written:
            await asyncio.to_thread(self.show, name, number)
            return Verification(checked=0, problems=())
        return await self._verifier.verify(
            [name] if name is not None else written, number, repair=repair, report=report
        )

    async def prefix(self, record: Record) -> Prefix | None:
        """The prefix of a revision on this machine, or None where it is not built, or damaged."""
        found, _ = await self._builds.find(record)
        return found if found is not None and found.is_whole else None

    async def outdated(self, name: str) -> list[Outdated]:
        """For each package of the head: the newest version that the requirements allow, and the newest there is.

        Raises:
            NotFound: there is no such environment.
            Failed: the index could not be asked.
        """
        head = await asyncio.to_thread(self.show, name)
        lock = await asyncio.to_thread(self.lock, head)
        async with self._logged(name) as log:
            allowed, newest = await self._planner.newest(head, lock, log=log)
        return [
            Outdated(
                name=package.name,
                current=package.version,
                allowed=allowed.get(package.name),
                newest=newest.get(package.name),
                requested=package.requested,
            )
            for package in head.packages
        ]

    async def search(self, query: str, *, limit: int = 20, wait: float = 0.0) -> Search:
        """The packages that the query may name: exactly, as a beginning or a part, or but for a typo.

        What this project's environments and the bundled bases have comes first. Waits up to `wait` seconds for lists
        of names that are missing or old.

        Raises:
            InvalidInput: no name can be meant.
            IndexUnreachable: no index answered, and nothing is known of any from before.
        """
        used = await asyncio.to_thread(self._names_in_use)
        return await self._catalog_to_ask().search(query, limit=limit, wait=wait, known=used)

    async def package(self, name: str, *, python: str | None = None) -> PackageInfo:
        """A package and its versions, newest first, for this platform and a minor version of Python.

        Raises:
            InvalidInput: it is no name, or the Python is not supported.
            NotFound: no index has it.
            IndexUnreachable: nobody who answered has it, and somebody did not answer.
        """
        if python is not None and python not in PYTHONS:
            raise InvalidInput(f"Python {python!r} is not supported; choose {', '.join(PYTHONS)}.")
        return await self._catalog_to_ask().package(name, python=python or default_python())

    # Changes that need to know what there is; the others are made of their own classes

    def creating(
        self,
        specs: Sequence[str],
        *,
        group: Group,
        kind: Kind = Kind.CUSTOM,
        description: str = "",
        python: str | None = None,
        kernel: bool = True,
        constraints: Sequence[str] = (),
        hashes: Mapping[str, tuple[str, ...]] | None = None,
    ) -> changes.Create:
        """The change that makes an environment of these requirements, and of what a kernel needs unless told not to.

        `constraints` and `hashes` are those of a requirements file.

        Raises:
            InvalidInput: one of the specifications is not one, or the Python is not supported.
        """
        if python is not None and python not in PYTHONS:
            raise InvalidInput(f"Python {python!r} is not supported; choose {', '.join(PYTHONS)}.")
        asked = requirements.merge((), specs)
        if kernel:
            named = {requirements.parse(line).name for line in asked}
            asked = requirements.merge(asked, [each for each in KERNEL_REQUIREMENTS if each not in named])
        return changes.Create(
            kind=kind,
            group=group,
            description=description,
            python=python or default_python(),
            requirements=asked,
            constraints=tuple(constraints),
            hashes=dict(hashes or {}),
        )

    def cloning(self, source: str, number: int | None = None, *, description: str | None = None) -> changes.Clone:
        """The change that makes a custom environment of a revision (None: the head); it copies and builds nothing.

        Raises:
            NotFound: there is no such revision.
        """
        return changes.Clone(source=self.show(source, number).ref, description=description)

    def restoring(self, name: str, number: int) -> changes.Restore:
        """The change that goes back to a revision.

        Raises:
            NotFound: there is none of this number.
            OtherPlatform: it was locked for another platform.
        """
        self._refuse_base(name)
        target = self.show(name, number)
        if target.platform != this_platform():
            raise OtherPlatform(
                f"{target.ref} was locked for {target.platform}, and this machine is {this_platform()}.",
                hint="Restore it on a machine of that platform.",
            )
        return changes.Restore(revision=number, requirements=target.requirements, python=target.python)

    # Changing

    async def change(
        self, name: str, change: Change, *, by: Signature, report: Report = _quiet, follow: Log = _unread
    ) -> Outcome:
        """Apply a change to an environment: resolved, built, committed, or nothing of it.

        Raises:
            EnvPanelError: nothing was changed.
        """
        return await self._change(name, change, by, report, follow)

    async def preview(self, name: str, change: Change, *, report: Report = _quiet, follow: Log = _unread) -> Preview:
        """Resolve a change and show what it would do; nothing is changed, and the plan can be applied.

        Raises:
            EnvPanelError: the change could not be made.
        """
        head = await asyncio.to_thread(self._open, name, change)
        async with self._logged(name, follow=follow) as log:
            plan = await self._plan(name, change, head, None, report, log)
            return await asyncio.to_thread(self._save, plan)

    async def apply(self, plan_id: str, *, by: Signature, report: Report = _quiet, follow: Log = _unread) -> Outcome:
        """Commit a plan that was shown before: exactly its lock, or, where the head has moved, the very same diff.

        Raises:
            NotFound: there is no plan of this id.
            HeadMoved: a colleague's change came first, and the diff would be another now.
            EnvPanelError: nothing was changed.
        """
        saved = await asyncio.to_thread(self._saved, plan_id)
        return await self._change(saved.environment, saved.change, by, report, follow, confirmed=saved)

    async def build(
        self, name: str, number: int | None = None, *, report: Report = _quiet, follow: Log = _unread
    ) -> Prefix:
        """The prefix of a revision, built where this machine has none.

        Raises:
            EnvPanelError: it could not be built.
        """
        await asyncio.to_thread(self._bring_bases_up)
        record = await asyncio.to_thread(self._settled, name, number)
        lock = await asyncio.to_thread(self.lock, record)
        parent = await asyncio.to_thread(self._before, record)
        async with self._logged(name, follow=follow) as log:
            return await self._builds.ensure(record.content_id, lock, parent=parent, report=report, log=log)

    # How

    async def _change(
        self,
        name: str,
        change: Change,
        by: Signature,
        report: Report,
        follow: Log,
        *,
        confirmed: SavedPlan | None = None,
    ) -> Outcome:
        started = time.monotonic()
        check_text(by.message, "message")
        await asyncio.to_thread(self._recover)
        await asyncio.to_thread(self._bring_bases_up)
        # The head that the change was decided on is the one before any wait.
        seen = await asyncio.to_thread(self._open, name, change)
        if confirmed is not None and not isinstance(change, changes.Install | changes.Uninstall):
            self._refuse_moved(confirmed, seen)
        what = f"{by.author.name}: {change.operation} in {name}"
        attempt = Attempt(
            id=new_id(),
            environment=name,
            head=seen.number if seen is not None else None,
            author=by.author,
            via=by.via,
            created=_now(),
            operation=change.operation,
            arguments=change.arguments,
            message=by.message,
            record=secrets.token_hex(16),
        )
        async with (
            self._logged(name, attempt, follow) as log,
            turn(self._cache / "locks" / f"{name}.lock", what, report),
        ):
            while True:
                head = await asyncio.to_thread(self._open, name, change)
                if seen is not None and head is not None and head.digest != seen.digest and not change.follows_head:
                    raise self._moved(seen, head)
                plan = await self._plan(name, change, head, confirmed, report, log)
                if plan.changes_nothing and head is not None:
                    return Outcome(record=head, changed=False)
                await asyncio.to_thread(self._keep_wheels, plan)
                # A clone is committed at once: what it needs is its source's, and built where it is used.
                if change.resolves or isinstance(change, changes.Restore):
                    await self._built(plan, report, log)
                duration = round(time.monotonic() - started, 3)
                try:
                    record = await _finished(
                        asyncio.to_thread(self._commit, plan, by, attempt.record, duration, log.text())
                    )
                except KeyExists:
                    # Somebody without our lock was first. What that left decides what happens now.
                    if head is None:
                        raise NameTaken(f"There is an environment {name!r} already.") from None
                    continue
                return Outcome(record=record, changed=True, warnings=self._warnings(plan))

    async def _plan(
        self, name: str, change: Change, head: Record | None, confirmed: SavedPlan | None, report: Report, log: Log
    ) -> Plan:
        """Resolve the change against this head, or take the lock of the confirmed plan where it is still for it."""
        if confirmed is not None and confirmed.head_digest == (head.digest if head is not None else None):
            return await asyncio.to_thread(self._resolved, name, change, head, confirmed.lock)
        if not change.resolves:
            return await asyncio.to_thread(self._resolved, name, change, head, None)
        lock = await asyncio.to_thread(self.lock, head) if head is not None else None
        plan = await self._planner.resolve(name, change, head, lock, report=report, log=log)
        if confirmed is not None and head is not None and confirmed.head is not None:
            before = await asyncio.to_thread(self.show, name, confirmed.head)
            promised = await asyncio.to_thread(self._resolved, name, change, before, confirmed.lock)
            if plan.diff != promised.diff:
                raise HeadMoved(
                    f"{name} was changed after this plan was made, and the change would now do something else.",
                    hint="Look at the new diff, and plan again.",
                    details={"diff": wire.plain(plan.diff)},
                )
        return plan

    def _resolved(self, name: str, change: Change, head: Record | None, digest: str | None) -> Plan:
        """The plan of a change whose lock is known: of this `digest`, or of the revision that it goes back to."""
        before = head
        if isinstance(change, changes.Clone):
            before = source = self.show(change.source.name, change.source.revision)
            definition = change.apply(source.definition)
        elif isinstance(change, changes.Create):
            source, definition = None, change.apply()
        else:
            assert head is not None
            source = self.show(name, change.revision) if isinstance(change, changes.Restore) else head
            definition = change.apply(head.definition)
        if digest is not None and (source is None or source.digests.lock != digest):
            lock, source = Lock.from_toml(self.ledger.get_blob(digest).decode()), None
        else:
            lock = None
        return Plan(
            environment=name,
            change=change,
            head=head,
            definition=definition,
            lock=lock,
            source=source,
            before=before.packages if before is not None else (),
        )

    async def _built(self, plan: Plan, report: Report, log: Log) -> None:
        """Make sure that this machine has the prefix of a plan."""
        lock = plan.lock
        if lock is None:
            assert plan.source is not None
            if await self.prefix(plan.source) is not None:
                return
            lock = await asyncio.to_thread(self.lock, plan.source)
        await self._builds.ensure(plan.content_id, lock, parent=plan.head, report=report, log=log)

    def _commit(self, plan: Plan, by: Signature, record_id: str, duration: float, log: str) -> Record:
        change, head = plan.change, plan.head
        base = head.base if head is not None else None
        cloned_from = restored_from = None
        if isinstance(change, changes.Clone):
            source = self._settled(change.source.name, change.source.revision)
            cloned_from = source.ref
            base = source.ref if source.kind is Kind.BASE else source.base
        elif isinstance(change, changes.Restore):
            restored_from = RevisionRef(name=plan.environment, revision=change.revision)
        definition = plan.definition
        digests = replace(self._files(plan), log=self.ledger.put_blob(log.encode()) if log else None)
        record = Record(
            id=record_id,
            number=plan.number,
            parent=head.number if head is not None else None,
            environment=plan.environment,
            kind=definition.kind,
            group=definition.group,
            description=definition.description,
            archived=definition.archived,
            base=base,
            cloned_from=cloned_from,
            restored_from=restored_from,
            author=by.author,
            via=by.via,
            created=_now(),
            operation=change.operation,
            arguments=change.arguments,
            message=by.message,
            python=plan.python,
            platform=plan.platform,
            requirements=definition.requirements,
            packages=plan.packages,
            diff=plan.diff,
            digests=digests,
            content_id=plan.content_id,
            duration=duration,
            # The ledger refuses to add to what a newer envpanel has written.
            format=max(FORMAT, head.format if head is not None else 0),
            previous=head.digest if head is not None else None,
        )
        return self.ledger.commit(record)

    def _files(self, plan: Plan) -> Digests:
        """Lock and YAML of a plan, stored."""
        if plan.lock is not None:
            texts = plan.lock.to_toml(), environment_yml.dump(plan.environment, plan.lock)
            lock, yaml = (self.ledger.put_blob(text.encode()) for text in texts)
            return Digests(lock=lock, yaml=yaml)
        source = plan.source
        assert source is not None
        if source.environment == plan.environment:
            return Digests(lock=source.digests.lock, yaml=source.digests.yaml)
        # A base that nobody has used yet has its files in the bundle only.
        text = environment_yml.renamed(self.file(source, "yaml"), plan.environment)
        lock = source.digests.lock
        if source.environment in self._bundle:
            lock = self.ledger.put_blob(self.file(source, "lock").encode())
        return Digests(lock=lock, yaml=self.ledger.put_blob(text.encode()))

    def _keep_wheels(self, plan: Plan) -> None:
        for path in plan.wheels.values():
            self.ledger.put_blob(path.read_bytes())

    def _save(self, plan: Plan) -> Preview:
        self._keep_wheels(plan)
        saved = SavedPlan(
            environment=plan.environment,
            change=plan.change,
            head=plan.head.number if plan.head is not None else None,
            head_digest=plan.head.digest if plan.head is not None else None,
            lock=self._files(plan).lock,
        )
        return Preview(
            plan=plan.diff,
            id=self.ledger.put_blob(saved.to_json()),
            warnings=self._warnings(plan),
            download=self._download(plan),
        )

    def _download(self, plan: Plan) -> int | None:
        if plan.lock is None:
            return 0
        there = {item.sha256 for item in self.lock(plan.head).packages} if plan.head is not None else set()
        sizes = [item.size for item in plan.lock.packages if item.sha256 not in there and not item.kept]
        return sum(size for size in sizes if size is not None) if None not in sizes else None

    def _warnings(self, plan: Plan) -> tuple[PlanWarning, ...]:
        """Those of the plan, and what the packages that come with it lack on this machine."""
        new = plan.packages if plan.head is None else plan.diff.installed
        return (*plan.warnings, *host.missing([package.name for package in new], self._environ))

    def _before(self, record: Record) -> Record | None:
        """The revision that this one came from: most of its bytecode will do here."""
        if record.parent is not None:
            return self.show(record.environment, record.parent)
        source = record.cloned_from
        return self.show(source.name, source.revision) if source is not None else None

    def _saved(self, plan_id: str) -> SavedPlan:
        try:
            return SavedPlan.from_json(json.loads(self.ledger.get_blob(plan_id)))
        except (KeyMissing, ValueError, EnvPanelError) as error:
            raise NotFound(
                f"There is no plan {plan_id[:80]!r}.", hint="--dry-run makes a plan and prints its id."
            ) from error

    def _open(self, name: str, change: Change) -> Record | None:
        """The head that a change is for, where it may be applied; None where it makes a new environment."""
        check_text(str(change.arguments.get("description") or ""), "description", longest=500)
        if isinstance(change, changes.Clone | changes.Create):
            self._refuse_taken(name)
            return None
        self._refuse_base(name)
        head = self.show(name)
        try:
            change.apply(head.definition)
        except EnvironmentArchived as error:
            raise EnvironmentArchived(
                f"{name} was deleted.", hint=f"Take it back first: envpanel unarchive {name}"
            ) from error
        except Refused as error:
            raise Refused(f"{name}: {error.message}", hint=error.hint) from error
        return head

    def _refuse_taken(self, name: str) -> None:
        check_name(name)
        if not self._is_taken(name):
            return
        archived = False
        with contextlib.suppress(RecordDamaged):
            archived = self.show(name).archived
        number = 2
        while self._is_taken(f"{name[:60]}-{number}"):
            number += 1
        free = f"{name[:60]}-{number}"
        raise NameTaken(
            f"There is an environment {name!r} already" + (", though it was deleted." if archived else "."),
            hint=f"envpanel unarchive {name} takes it back; {free!r} is free." if archived else f"{free!r} is free.",
        )

    def _refuse_base(self, name: str) -> None:
        if self.show(name).kind is Kind.BASE:
            raise BaseImmutable(
                f"{name} is a base environment and is never changed: clone it first.",
                hint=f"envpanel clone {name} my-{name[:60]}",
            )

    def _refuse_moved(self, confirmed: SavedPlan, head: Record | None) -> None:
        if head is not None and confirmed.head is not None and confirmed.head_digest != head.digest:
            raise self._moved(self.show(head.environment, confirmed.head), head)

    def _moved(self, seen: Record, head: Record) -> HeadMoved:
        since = self.diff(seen, head)
        return HeadMoved(
            f"{head.author.name} changed {head.environment} in the meantime (r{seen.number} → r{head.number}, "
            f"{head.operation}{': ' + since.counts if since.counts else ''}).",
            hint=f"Look at it, and decide again: envpanel diff {head.environment} {seen.number} {head.number}",
            details={"diff": wire.plain(since)},
        )

    def _heads(self) -> list[tuple[Record, bool]]:
        """Each environment's newest readable record, and whether it is not the newest one because that is damaged."""
        heads = []
        for name in self._names():
            # A folder without a record is what is left of a first commit that was killed: no environment. And a
            # base may not be to be had on this platform.
            with contextlib.suppress(NotFound, OtherPlatform):
                try:
                    heads.append((self.show(name), False))
                except RecordDamaged:
                    readable = self.ledger.newest_readable(name)
                    if readable is not None:
                        heads.append((readable, True))
        return heads

    def _catalog_to_ask(self) -> Catalog:
        if self._catalog is None:
            raise IndexUnreachable("No package index is to be asked from here.")
        return self._catalog

    def _names_in_use(self) -> frozenset[str]:
        if self._used is None or time.monotonic() - self._used[0] > _USED_FOR:
            names = frozenset(package.name for record, _ in self._heads() for package in record.packages)
            self._used = time.monotonic(), names
        return self._used[1]

    def _names(self) -> list[str]:
        return sorted({*self.ledger.names(), *self._bundle.names()})

    def _is_unwritten_base(self, name: str) -> bool:
        """Whether it is in the bundle, and the home has no record of it yet."""
        if name not in self._bundle:
            return False
        try:
            self.ledger.head(name)
        except NotFound:
            return True
        return False

    def _is_taken(self, name: str) -> bool:
        try:
            self.show(name)
        except NotFound:
            return False
        except RecordDamaged:
            pass
        return True

    def _unknown(self, name: str) -> NotFound:
        close = difflib.get_close_matches(name, self._names(), n=1)
        return NotFound(
            f"There is no environment {name[:80]!r} in this project.",
            hint=f"Did you mean {close[0]!r}?" if close else "envpanel list shows them.",
        )

    async def refreshed(self, environments: Sequence[Environment]) -> list[Environment]:
        """The same, with their states as they are now: others build and clean up on this machine, too."""
        found = await self._found({item.python for item in environments})
        return await asyncio.to_thread(lambda: [self._refreshed(item, found[item.python]) for item in environments])

    async def _environments(self, heads: Sequence[tuple[Record, bool]]) -> list[Environment]:
        """These as lists show them; with each record whether it is not the newest one, because that is damaged."""
        return await self.refreshed([_listed(record, damaged=damaged) for record, damaged in heads])

    async def _found(self, pythons: set[str]) -> dict[str, Interpreter | None]:
        return {python: await self._builds.interpreter(python) for python in pythons}

    def _refreshed(self, environment: Environment, interpreter: Interpreter | None) -> Environment:
        if environment.record_damaged or environment.state is State.ARCHIVED:
            return environment
        prefix, building = self._builds.find_by(environment.content_id, environment.platform, interpreter)
        if prefix is not None:
            state = State.READY if prefix.is_whole else State.DAMAGED
        else:
            state = State.BUILDING if building else State.NOT_BUILT
        return replace(environment, state=state)

    def _settled(self, name: str, number: int | None) -> Record:
        """The record of a revision; the first one of a bundled base is written where it is not there yet."""
        record = self.show(name, number)
        if not self._is_unwritten_base(name):
            return record
        return self._bundle_in(self._bundle.get(name), None)

    def _bundle_in(self, base: Base, head: Record | None) -> Record:
        """Write the next revision of a bundled base; where somebody else was first, theirs is as good."""
        record, blobs = bundled_revision(base, head)
        for data in blobs.values():
            self.ledger.put_blob(data)
        try:
            return self.ledger.commit(replace(record, id=secrets.token_hex(16), created=_now()))
        except KeyExists:
            return self.ledger.get(base.name, record.number)

    def _bring_bases_up(self) -> None:
        """Append what a newer bundle has to the bases that this home has, with the first write of its envpanel."""
        if self._bases_are_up:
            return
        for name in self.ledger.names():
            if name not in self._bundle:
                continue
            # What is half made is written at its first use, what is damaged is told by whoever looks at it, and a base
            # that is not to be had here is another machine's affair.
            with contextlib.suppress(NotFound, RecordDamaged, OtherPlatform):
                base, head = self._bundle.get(name), self.ledger.head(name)
                # A base of the project's own may have had the name before it was bundled.
                if head.operation == "bundle" and is_newer(base, head):
                    self._bundle_in(base, head)
        self._bases_are_up = True

    def _recover(self) -> None:
        # Who may only read cannot write what others left; it waits for who can.
        with contextlib.suppress(StoreError):
            self._attempts.recover()

    @contextlib.asynccontextmanager
    async def _logged(
        self, name: str, attempt: Attempt | None = None, follow: Log = _unread
    ) -> AsyncIterator[BuildLog]:
        """A log for what happens in the block, whose lines `follow` gets as they come.

        Where that fails, the error names the file, which stays; and the attempt is kept, if there is one.
        """
        limit = int(self._settings.limits.log_mib * 1024 * 1024)
        folder = self._cache / "logs"
        try:
            opened = BuildLog(folder, name, limit, follow)
            note = Note.begin(opened.path, attempt) if attempt is not None else contextlib.nullcontext()
        except OSError as error:
            raise StoreError(f"{folder} could not be written: {error.strerror}.") from error
        with note, opened as log:
            try:
                yield log
            except OSError as error:
                # A full or read-only disk, met anywhere on the way.
                failure = StoreError(f"{error.filename or 'The disk'} could not be written: {error.strerror}.")
                await self._keep(attempt, failure, log)
                raise failure from error
            except (Failed, StoreError) as error:
                await self._keep(attempt, error, log)
                raise
            except asyncio.CancelledError:
                await self._keep(attempt, Cancelled("It was cancelled."), log)
                raise

    async def _keep(self, attempt: Attempt | None, error: EnvPanelError, log: BuildLog) -> None:
        log(f"{error.message} {error.hint or ''}".rstrip())
        if isinstance(error, Failed):
            error.log = str(log.path)
        if attempt is None:
            return
        if self._closing and isinstance(error, Cancelled):
            # With the reason that it has from the beginning.
            ended = replace(attempt, state=AttemptState.INTERRUPTED, ended=_now())
        else:
            state = AttemptState.CANCELLED if isinstance(error, Cancelled) else AttemptState.FAILED
            ended = replace(attempt, state=state, ended=_now(), code=error.code, reason=error.message, hint=error.hint)
        # On a full disk there may be no room for it, and what is to be told is why the change failed.
        with contextlib.suppress(StoreError):
            await _finished(asyncio.to_thread(self._attempts.keep, ended, log.text()))


async def _finished(work: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of work that must not be left half-way: a cancellation that comes while it runs comes too late."""
    task = asyncio.create_task(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None:
                current.uncancel()
        except Exception:
            # Raised again by the result below.
            break
    return task.result()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _listed(record: Record, *, damaged: bool) -> Environment:
    state = State.ARCHIVED if record.archived else State.NOT_BUILT
    return Environment(
        name=record.environment,
        group=record.group,
        kind=record.kind,
        base=record.base,
        description=record.description,
        head=record.number,
        author=record.author,
        created=record.created,
        python=record.python,
        platform=record.platform,
        packages=len(record.packages),
        content_id=record.content_id,
        state=State.DAMAGED if damaged else state,
        record_damaged=damaged,
    )
