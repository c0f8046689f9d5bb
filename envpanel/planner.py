"""The planner: resolves a change against a head into a plan, and says what is surprising in it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from envpanel.engines.interface import Engine, Log, Report, Request
from envpanel.engines.interpreters import Interpreters
from envpanel.errors import NotFound, Refused, StillNeeded
from envpanel.model import change as changes
from envpanel.model import requirements
from envpanel.model.change import Change, Install, Uninstall, Upgrade
from envpanel.model.diff import Diff
from envpanel.model.lock import Lock
from envpanel.model.nouns import PlanWarning, Record
from envpanel.model.plan import Plan


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
            requirements=definition.requirements,
            constraints=change.constraints if isinstance(change, changes.Create | Install) else (),
            python=definition.python,
            preferred=lock,
            upgrade=_upgraded(change),
        )
        interpreter = await self._interpreters.find(definition.python)
        resolution = await self._engine.resolve(request, interpreter, report=report, log=log)
        if isinstance(change, changes.Create | Install):
            _check_hashes(change, resolution.lock)
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

    async def newest(self, head: Record, lock: Lock, *, log: Log) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """What `Engine.newest` says of this revision."""
        request = Request(requirements=head.requirements, python=head.python, preferred=lock)
        return await self._engine.newest(request, await self._interpreters.find(head.python), log=log)


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


def _check_hashes(change: changes.Create | Install, lock: Lock) -> None:
    """What the file that was asked by promises of a package must be so."""
    other = [
        f"{package.name} {package.version} ({package.file})"
        for package in lock.packages
        if package.name in change.hashes
        and not {package.sha256, package.source_sha256} & {*change.hashes[package.name]}
    ]
    if other:
        verb = "has" if len(other) == 1 else "have"
        raise Refused(
            f"{_listed(other)} {verb} a sha256 that the requirements file does not name.",
            hint="Pin the versions that the hashes are of, or make the file's hashes anew.",
        )


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
