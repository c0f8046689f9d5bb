"""The diff between two package sets: installed, uninstalled, upgraded, downgraded, changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Protocol, TypeVar

from envpanel.model.versions import canonicalize_name, compare


class Versioned(Protocol):
    """What the diff must know of a package: `nouns.Package` is one."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def manager(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def requested(self) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Present:
    """A package on one side only. `requested`: asked for, not pulled in by another."""

    name: str
    version: str
    requested: bool


@dataclass(frozen=True, kw_only=True)
class Moved:
    """A package whose version is another."""

    name: str
    old: str
    new: str
    requested: bool


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a package came from."""

    manager: str
    origin: str


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A package of the same version from another origin, or through another manager."""

    name: str
    version: str
    old: Source
    new: Source


@dataclass(frozen=True, kw_only=True)
class PythonChange:
    """Another minor version of Python."""

    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What is different in the new package set, each list sorted by name."""

    installed: tuple[Present, ...] = ()
    uninstalled: tuple[Present, ...] = ()
    upgraded: tuple[Moved, ...] = ()
    downgraded: tuple[Moved, ...] = ()
    changed: tuple[Changed, ...] = ()
    python: PythonChange | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, item.name) for item in fields(self))

    @property
    def names(self) -> frozenset[str]:
        """The packages that the diff is about."""
        parts: tuple[tuple[Present | Moved | Changed, ...], ...] = (
            self.installed,
            self.uninstalled,
            self.upgraded,
            self.downgraded,
            self.changed,
        )
        return frozenset(entry.name for part in parts for entry in part)

    @property
    def counts(self) -> str:
        """In short, as lists show it: `+2 −1 ↑3 ↓1 ~1`, or an empty string."""
        signs = (
            ("+", self.installed),
            ("−", self.uninstalled),
            ("↑", self.upgraded),
            ("↓", self.downgraded),
            ("~", self.changed),
        )
        counted = [f"{sign}{len(part)}" for sign, part in signs if part]
        if self.python:
            counted.append(f"Python {self.python.old} → {self.python.new}")
        return " ".join(counted)


_Entry = TypeVar("_Entry", Present, Moved, Changed)


def diff(
    old: Iterable[Versioned],
    new: Iterable[Versioned],
    *,
    old_python: str | None = None,
    new_python: str | None = None,
) -> Diff:
    """What turns the package set `old` into `new`, names compared as PEP 503, versions as PEP 440 says.

    The Python version is compared where both are given.
    """
    before = {canonicalize_name(package.name): package for package in old}
    after = {canonicalize_name(package.name): package for package in new}
    installed: list[Present] = []
    uninstalled: list[Present] = []
    upgraded: list[Moved] = []
    downgraded: list[Moved] = []
    changed: list[Changed] = []
    for name in after.keys() - before.keys():
        package = after[name]
        installed.append(Present(name=name, version=package.version, requested=package.requested))
    for name in before.keys() - after.keys():
        package = before[name]
        uninstalled.append(Present(name=name, version=package.version, requested=package.requested))
    for name in before.keys() & after.keys():
        was, now = before[name], after[name]
        order = compare(was.version, now.version)
        if order:
            moved = Moved(name=name, old=was.version, new=now.version, requested=now.requested)
            (upgraded if order > 0 else downgraded).append(moved)
        elif (was.manager, was.origin) != (now.manager, now.origin):
            source_was = Source(manager=was.manager, origin=was.origin)
            source_now = Source(manager=now.manager, origin=now.origin)
            changed.append(Changed(name=name, version=now.version, old=source_was, new=source_now))
    python = None
    if old_python is not None and new_python is not None and old_python != new_python:
        python = PythonChange(old=old_python, new=new_python)
    return Diff(
        installed=_sorted(installed),
        uninstalled=_sorted(uninstalled),
        upgraded=_sorted(upgraded),
        downgraded=_sorted(downgraded),
        changed=_sorted(changed),
        python=python,
    )


def _sorted(entries: list[_Entry]) -> tuple[_Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.name))
