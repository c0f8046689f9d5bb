"""An engine without uv: resolves over a catalogue in memory and builds in milliseconds, for tests with many writers.

It keeps the contract of `envpanel.engines.interface.Engine` (`tests/engines/test_contract.py` runs over it and over
`UvEngine`), shares nothing between processes, and gives the same package the same sha256 everywhere::

    engine = FakeEngine({"alpha": {"1.0": [], "2.0": ["beta>=2"]}, "beta": {"2.0": []}}, delay=0.05)
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from envpanel.engines.interface import Log, Report, Request, Resolution
from envpanel.engines.interpreters import Interpreter
from envpanel.errors import EngineFailed, Unsatisfiable
from envpanel.model import requirements, wire
from envpanel.model.lock import Lock, LockedPackage, lock
from envpanel.model.nouns import PlanWarning, Progress
from envpanel.model.target import Target
from envpanel.model.versions import is_prerelease

Catalogue = Mapping[str, Mapping[str, Sequence[str]]]
"""Name -> version -> requirements (PEP 508)."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the engine: what was asked for (requirements, or `name==version` of a lock)."""

    verb: Literal["resolve", "needed_by", "build"]
    of: tuple[str, ...]


@dataclass
class FakeEngine:
    """`delay`: seconds that each resolve and build takes. `fail_build`: the sentence with which every build fails,
    half done. All may be set at any time."""

    catalogue: Catalogue
    delay: float = 0.0
    fail_build: str | None = None
    calls: list[Call] = field(default_factory=list)

    async def resolve(self, request: Request, interpreter: Interpreter, *, report: Report, log: Log) -> Resolution:
        """See `Engine.resolve`: of each package the preferred version, else the newest final one."""
        self.calls.append(Call(verb="resolve", of=request.requirements))
        report(Progress(phase="resolving"))
        await asyncio.sleep(self.delay)
        target = Target(python=request.python)
        pins: dict[str, LockedPackage] = {}
        if request.preferred is not None and request.upgrade is not None:
            pins = {item.name: item for item in request.preferred.packages if item.name not in request.upgrade}
        search = _Search(
            catalogue=self._canonical(),
            preferred={name: item.version for name, item in pins.items()},
            environment=target.environment,
        )
        chosen = search.solve(request.requirements)
        packages = [pins[n] if n in pins and pins[n].version == v else locked(n, v) for n, v in chosen.items()]
        log(f"Resolved {len(packages)} packages")
        before = request.preferred.versions if request.preferred is not None else {}
        warnings = [
            PlanWarning(code="pre-release", package=name, message=f"{name} {version} is a pre-release.")
            for name, version in sorted(chosen.items())
            if is_prerelease(version) and before.get(name) != version and not _is_meant(name, request)
        ]
        return Resolution(
            lock=lock(packages, python=request.python, platform=target.platform), warnings=tuple(warnings)
        )

    async def needed_by(self, lock: Lock, request: Request, interpreter: Interpreter) -> Mapping[str, tuple[str, ...]]:
        """See `Engine.needed_by`."""
        self.calls.append(Call(verb="needed_by", of=_pins(lock)))
        environment = Target(python=lock.python).environment
        needs: dict[str, set[str]] = {}
        catalogue = self._canonical()
        for package in lock.packages:
            for line in catalogue.get(package.name, {}).get(package.version, ()):
                wanted = Requirement(line)
                name = canonicalize_name(wanted.name)
                if name in lock.versions and _holds(wanted, environment, frozenset()):
                    needs.setdefault(name, set()).add(package.name)
        return {name: tuple(sorted(others)) for name, others in needs.items()}

    async def newest(
        self, request: Request, interpreter: Interpreter, *, log: Log
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """See `Engine.newest`."""
        allowed = _Search(
            catalogue=self._canonical(), preferred={}, environment=Target(python=request.python).environment
        ).solve(request.requirements)
        names = request.preferred.versions if request.preferred is not None else {}
        newest = {
            name: max((v for v in versions if not is_prerelease(v)), key=Version, default=max(versions, key=Version))
            for name, versions in self._canonical().items()
            if name in names and versions
        }
        return allowed, newest

    async def forget(self, packages: Collection[str], *, log: Log) -> None:
        """See `Engine.forget`: it keeps nothing."""

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
        """See `Engine.build`: a virtual environment as others make it, each package with one module."""
        self.calls.append(Call(verb="build", of=_pins(lock)))
        total = len(lock.packages)
        report(Progress(phase="installing", total=total, unit="packages"))
        site = directory / "lib" / f"python{interpreter.minor}" / "site-packages"
        site.mkdir(parents=True)
        (directory / "bin").mkdir()
        (directory / "bin" / "python").symlink_to(interpreter.path)
        settings = f"home = {interpreter.path.parent}\nversion = {interpreter.version}\n"
        (directory / "pyvenv.cfg").write_text(settings)
        await asyncio.sleep(self.delay)
        for done, package in enumerate(lock.packages, start=1):
            if self.fail_build is not None and done == total:
                break
            if package.kept and _sha256_of(wheels / package.file) != package.sha256:
                raise EngineFailed(f"{package.file} is not among the kept wheels.")
            _install(package, site)
            log(f" + {package.name}=={package.version}")
            report(Progress(phase="installing", done=done, total=total, unit="packages"))
        if self.fail_build is not None:
            raise EngineFailed(self.fail_build)

    def _canonical(self) -> Catalogue:
        return {canonicalize_name(name): versions for name, versions in self.catalogue.items()}


def locked(name: str, version: str) -> LockedPackage:
    """The package as this engine locks it; its sha256 depends on name and version only."""
    file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return LockedPackage(name=name, version=version, file=file, sha256=wire.sha256(f"{name} {version}".encode()))


@dataclass(frozen=True)
class _Wanted:
    requirement: Requirement
    by: str

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    def takes(self, version: str) -> bool:
        return self.requirement.specifier.contains(version, prereleases=True)

    def __str__(self) -> str:
        return f"{self.by} {'require' if self.by == 'you' else 'requires'} {self.requirement}"


@dataclass(frozen=True)
class _Search:
    """Depth first: the best version of the first package, then of the next; back where nothing is left for one."""

    catalogue: Catalogue
    preferred: Mapping[str, str]
    environment: dict[str, str]

    def solve(self, lines: Sequence[str]) -> dict[str, str]:
        reasons: list[str] = []
        wanted = tuple(_Wanted(requirements.parse(line), "you") for line in lines)
        wanted = tuple(item for item in wanted if _holds(item.requirement, self.environment, frozenset()))
        chosen = self._choose(wanted, 0, {}, reasons)
        if chosen is None:
            raise Unsatisfiable(f"No set of packages meets all requirements: {reasons[0]}.")
        return chosen

    def _choose(
        self, wanted: tuple[_Wanted, ...], position: int, chosen: dict[str, str], reasons: list[str]
    ) -> dict[str, str] | None:
        """The rest of the choice, where `wanted` up to `position` is met by `chosen`."""
        if position == len(wanted):
            return chosen
        name = wanted[position].name
        extras = frozenset(map(canonicalize_name, wanted[position].requirement.extras))
        versions = iter([chosen[name]]) if name in chosen else self._versions(name, wanted)
        for version in versions:
            more = tuple(self._requires(name, version, extras, again=name in chosen))
            failed = self._conflict((*wanted, *more), {**chosen, name: version})
            if failed is not None:
                reasons.append(failed)
                continue
            found = self._choose((*wanted, *more), position + 1, {**chosen, name: version}, reasons)
            if found is not None:
                return found
        if not reasons:
            reasons.append(self._conflict(wanted, chosen) or f"there is no {name}")
        return None

    def _versions(self, name: str, wanted: tuple[_Wanted, ...]) -> Iterator[str]:
        """The versions that all of `wanted` take, the best one first."""
        asked = [item for item in wanted if item.name == name]
        fitting = [version for version in self.catalogue.get(name, {}) if all(item.takes(version) for item in asked)]
        early = any(is_prerelease(specifier.version) for item in asked for specifier in item.requirement.specifier)

        def rank(version: str) -> tuple[bool, bool, Version]:
            return version == self.preferred.get(name), early or not is_prerelease(version), Version(version)

        return iter(sorted(fitting, key=rank, reverse=True))

    def _requires(self, name: str, version: str, extras: frozenset[str], *, again: bool) -> Iterator[_Wanted]:
        for line in self.catalogue[name][version]:
            requirement = Requirement(line)
            # Met before without the extra: only what the extra adds.
            known = again and _holds(requirement, self.environment, frozenset())
            if not known and _holds(requirement, self.environment, extras):
                requirement.marker = None
                yield _Wanted(requirement, f"{name} {version}")

    def _conflict(self, wanted: tuple[_Wanted, ...], chosen: Mapping[str, str]) -> str | None:
        """Why this cannot be met, or None where nothing speaks against it yet."""
        asked: dict[str, list[_Wanted]] = {}
        for item in wanted:
            asked.setdefault(item.name, []).append(item)
        for name, items in asked.items():
            if name not in self.catalogue:
                return f"{items[0]}, and there is no {name}"
            versions = [chosen[name]] if name in chosen else list(self.catalogue[name])
            if not any(all(item.takes(version) for item in items) for version in versions):
                return f"{' and '.join(map(str, items))}, and no version of {name} is left"
        return None


def _holds(requirement: Requirement, environment: dict[str, str], extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in extras | {""})


def _is_meant(name: str, request: Request) -> bool:
    asked = [requirements.parse(line) for line in request.requirements]
    return any(is_prerelease(s.version) for item in asked if item.name == name for s in item.specifier)


def _pins(lock: Lock) -> tuple[str, ...]:
    return tuple(f"{package.name}=={package.version}" for package in lock.packages)


def _sha256_of(path: Path) -> str | None:
    try:
        return wire.sha256(path.read_bytes())
    except OSError:
        return None


def _install(package: LockedPackage, site: Path) -> None:
    module = package.name.replace("-", "_")
    info = f"{module}-{package.version}.dist-info"
    files = {
        f"{module}/__init__.py": f'__version__ = "{package.version}"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {package.version}\n",
    }
    rows = []
    for path, text in files.items():
        os.makedirs(site / os.path.dirname(path), exist_ok=True)
        (site / path).write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        rows.append(f"{path},sha256={digest},{len(text.encode())}\n")
    (site / info / "RECORD").write_text("".join([*rows, f"{info}/RECORD,,\n"]))
