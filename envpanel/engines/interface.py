"""What every engine does: resolve requirements into a lock, and build a lock into a directory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from envpanel.engines.interpreters import Interpreter
from envpanel.model.lock import Lock
from envpanel.model.nouns import PlanWarning, Progress

Report = Callable[[Progress], None]
"""Called with each step of progress; must not block."""

Log = Callable[[str], None]
"""Called with each line for the log, cleaned and redacted."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to resolve, in versions that the `constraints` allow.

    Pins of `preferred` stay where the requirements allow it, save for the names in `upgrade` (all names where it is
    None).
    """

    requirements: tuple[str, ...]
    python: str
    constraints: tuple[str, ...] = ()
    preferred: Lock | None = None
    upgrade: frozenset[str] | None = frozenset()


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """A lock, what a person would not expect in it, and the files of packages that are `kept`, by sha256."""

    lock: Lock
    warnings: tuple[PlanWarning, ...] = ()
    wheels: Mapping[str, Path] = field(default_factory=dict)


class Engine(Protocol):
    """A resolver and installer."""

    async def resolve(self, request: Request, interpreter: Interpreter, *, report: Report, log: Log) -> Resolution:
        """The lock for these requirements on this platform.

        Raises:
            Unsatisfiable: no set of packages meets them; the sentence says why.
            EngineFailed: no network, a failing build of a source distribution, too little time.
        """
        ...

    async def needed_by(self, lock: Lock, request: Request, interpreter: Interpreter) -> Mapping[str, tuple[str, ...]]:
        """For each package of `lock` that others of it need, the names of those."""
        ...

    async def newest(
        self, request: Request, interpreter: Interpreter, *, log: Log
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """The newest versions by name: those that the requirements allow, and those that there are at all.

        Of the packages of `request.preferred`; one that the requirements need no more, or that no index has, is left
        out. Nothing is built.

        Raises:
            Unsatisfiable: no set of packages meets the requirements any more.
            EngineFailed: no network, too little time.
        """
        ...

    async def forget(self, packages: Collection[str], *, log: Log) -> None:
        """Drop these packages from the engine's cache: their files there may be those that were damaged in a prefix.

        Raises:
            EngineFailed: the cache cannot be written.
        """
        ...

    async def build(
        self,
        lock: Lock,
        directory: Path,
        interpreter: Interpreter,
        *,
        wheels: Path,
        pass_fds: tuple[int, ...],
        report: Report,
        log: Log,
    ) -> None:
        """Make the empty `directory` a prefix that holds exactly what the lock says. `wheels` has the kept files.

        Raises:
            EngineFailed: a file could not be had or is not the one of the lock; the directory is to be thrown away.
        """
        ...
