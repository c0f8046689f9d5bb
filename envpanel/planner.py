"""Plans: a change resolved against a head, not yet applied: what the packages will be, and what is surprising in it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from envpanel.engines.interface import Engine, Log, Report, Request
from envpanel.engines.interpreters import Interpreters
from envpanel.errors import NotFound, RecordDamaged, Refused, StillNeeded
from envpanel.model import change as changes
from envpanel.model import requirements, wire
from envpanel.model.change import Change, Install, Uninstall, Upgrade
from envpanel.model.diff import Diff, diff
from envpanel.model.lock import Lock, packages_of
from envpanel.model.nouns import Definition, Package, PlanWarning, Record
from envpanel.model.target import Target


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a change does to `head` (None: it makes a new environment).

    `before` are the packages that the diff is against. `wheels` are the files that the home has to keep, by sha256.
    """

    environment: str
    change: Change
    head: Record | None
    definition: Definition
    lock: Lock
    before: tuple[Package, ...] = ()
    warnings: tuple[PlanWarning, ...] = ()
    wheels: Mapping[str, Path] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """The number of the revision that it makes."""
        return 1 if self.head is None else self.head.number + 1

    @property
    def packages(self) -> tuple[Package, ...]:
        """The packages of that revision."""
        requested = requirements.requested_names(
            self.definition.requirements, Target(python=self.lock.python).environment
        )
        # `since` counts this environment's own revisions: what a clone was cloned with came with its first.
        parent = self.head.packages if self.head is not None else ()
        return packages_of(self.lock, requested=requested, number=self.number, parent=parent)

    @property
    def diff(self) -> Diff:
        """What is different from before."""
        python = self.head.python if self.head is not None else None
        return diff(self.before, self.packages, old_python=python, new_python=self.lock.python)

    @property
    def content_id(self) -> str:
        """The identity of what is to be built."""
        return self.lock.content_id()

    @property
    def changes_nothing(self) -> bool:
        """Whether a revision of it would say nothing: the same decisions, the same files."""
        if self.head is None or isinstance(self.change, changes.Restore):
            return False
        return self.definition == self.head.definition and self.content_id == self.head.content_id


@dataclass(frozen=True, kw_only=True)
class SavedPlan:
    """A plan as it is kept: the change, the revision that it was made for, and the digest of its lock.

    Its id is the digest of just this; the diff follows from it.
    """

    environment: str
    change: Change
    head: int | None
    head_digest: str | None
    lock: str

    def to_json(self) -> bytes:
        """The bytes to keep; their sha256 is the plan's id."""
        content = {
            "environment": self.environment,
            "change": {"operation": self.change.operation, **wire.plain(self.change)},
            "head": None if self.head is None else {"number": self.head, "digest": self.head_digest},
            "lock": self.lock,
        }
        return wire.canonical(content)

    @classmethod
    def from_json(cls, content: Any) -> SavedPlan:
        """The plan that `to_json` wrote.

        Raises:
            RecordDamaged: it is not one.
        """
        try:
            head = content["head"] or {}
            kind = _CHANGES[content["change"]["operation"]]
            return cls(
                environment=content["environment"],
                change=wire.read(content["change"], kind),
                head=head.get("number"),
                head_digest=head.get("digest"),
                lock=content["lock"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordDamaged(f"It is not a plan ({error}).") from error


_CHANGES: dict[str, type[Change]] = {
    kind.operation: kind
    for kind in (
        changes.Create,
        changes.Clone,
        changes.Install,
        changes.Uninstall,
        changes.Upgrade,
        changes.Restore,
        changes.Describe,
        changes.Archive,
        changes.Unarchive,
    )
}


class Planner:
    """Resolves changes by an engine."""

    def __init__(self, engine: Engine, interpreters: Interpreters) -> None:
        self._engine = engine
        self._interpreters = interpreters

    async def resolve(
        self, environment: str, change: Change, head: Record | None, lock: Lock | None, *, report: Report, log: Log
    ) -> Plan:
        """The plan of a change that needs a resolver (`Change.resolves`); `lock` is the head's.

        Raises:
            EnvPanelError: the change makes no sense here, or no packages meet it.
        """
        if head is None:
            assert isinstance(change, changes.Create)
            definition = change.apply()
        else:
            definition = change.apply(head.definition)
            _check_names(change, head)
        request = Request(
            requirements=definition.requirements, python=definition.python, preferred=lock, upgrade=_upgraded(change)
        )
        interpreter = await self._interpreters.find(definition.python)
        resolution = await self._engine.resolve(request, interpreter, report=report, log=log)
        if isinstance(change, Uninstall):
            kept = [name for name in change.packages if name in resolution.lock.versions]
            if kept:
                needs = await self._engine.needed_by(resolution.lock, request, interpreter)
                raise _still_needed(kept, needs)
        before = head.packages if head is not None else ()
        plan = Plan(
            environment=environment,
            change=change,
            head=head,
            definition=definition,
            lock=resolution.lock,
            before=before,
            wheels=resolution.wheels,
        )
        warnings = (*resolution.warnings, *_side_effects(change, plan.diff))
        return replace(plan, warnings=warnings)


def _check_names(change: Change, head: Record) -> None:
    if not isinstance(change, Uninstall | Upgrade):
        return
    there = {package.name for package in head.packages}
    absent = [name for name in change.packages if name not in there]
    if absent:
        close = difflib.get_close_matches(absent[0], there, n=1)
        raise NotFound(
            f"{_listed(absent)} {'is' if len(absent) == 1 else 'are'} not in {head.environment}.",
            hint=f"Did you mean {close[0]!r}?" if close else f"envpanel packages {head.environment} lists them.",
        )
    if isinstance(change, Uninstall) and not change.packages:
        raise Refused("No package was named.")


def _upgraded(change: Change) -> frozenset[str] | None:
    if isinstance(change, Upgrade):
        return frozenset(change.packages) or None
    return frozenset()


def _still_needed(kept: Sequence[str], needs: Mapping[str, tuple[str, ...]]) -> StillNeeded:
    parts = [f"{name} is still needed by {_listed(needs.get(name, ('other packages',)))}" for name in kept]
    others = sorted({other for name in kept for other in needs.get(name, ())} - set(kept))
    short = 0 < len(others) <= 3
    hint = f"Uninstall {_listed(others)} too." if short else "It goes by itself when nothing needs it any more."
    return StillNeeded("; ".join(parts) + ".", hint=hint)


def _side_effects(change: Change, effect: Diff) -> list[PlanWarning]:
    """What happens to packages of others: downgraded, or removed, though nobody named them."""
    if isinstance(change, Install):
        named = {requirements.parse(spec).name for spec in change.requirements}
        warned = [
            PlanWarning(
                code="removed",
                package=entry.name,
                message=f"{entry.name} {entry.version} goes away: nothing needs it any more.",
            )
            for entry in effect.uninstalled
            if entry.name not in named
        ]
    elif isinstance(change, Uninstall | Upgrade):
        named, warned = set(change.packages), []
    else:
        return []
    return warned + [
        PlanWarning(
            code="downgraded",
            package=entry.name,
            message=f"{entry.name} goes back from {entry.old} to {entry.new}, so that all requirements are met.",
        )
        for entry in effect.downgraded
        if entry.name not in named
    ]


def _listed(names: Sequence[str]) -> str:
    if len(names) > 6:
        names = [*names[:5], f"{len(names) - 5} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
