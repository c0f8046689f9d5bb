"""The base environments that envpanel brings along: what each is for, and the exact files that it consists of.

A base is two files of one folder. `<name>.yaml`, written by people, says what it is for and what it asks for;
`<name>.pins.json`, written by `envpanel.bases.relock`, has the packages that came, for every supported Python and
platform at once. No address is in them: a base is built from whatever index there is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from packaging.markers import Marker

from envpanel.errors import EnvPanelError, InvalidInput, NotFound, OtherPlatform
from envpanel.model import requirements, wire
from envpanel.model.lock import Lock, LockedPackage, lock
from envpanel.model.nouns import Group, Origin, check_name
from envpanel.model.target import Target

Use = Literal["notebook", "job", "pyspark", "deployment"]

PLATFORMS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        name: {"os_name": os_name, "sys_platform": sys_platform, "platform_system": system, "platform_machine": machine}
        for name, os_name, sys_platform, system, machine in (
            ("linux-x86_64", "posix", "linux", "Linux", "x86_64"),
            ("linux-aarch64", "posix", "linux", "Linux", "aarch64"),
            ("macos-arm64", "posix", "darwin", "Darwin", "arm64"),
            ("macos-x86_64", "posix", "darwin", "Darwin", "x86_64"),
            ("windows-amd64", "nt", "win32", "Windows", "AMD64"),
        )
    }
)
"""The platforms that bases are pinned for, and the PEP 508 variables that tell them apart."""


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A version of a package, and the files of it that any supported target can use: name and sha256.

    One name can have several pins; their markers then exclude each other. Without a marker it is for every target.
    """

    name: str
    version: str
    marker: str | None = None
    files: tuple[tuple[str, str], ...]

    def holds(self, environment: Mapping[str, str]) -> bool:
        """Whether it is for the target with these PEP 508 variables.

        Raises:
            ValueError: the marker is not one.
        """
        return self.marker is None or Marker(self.marker).evaluate(environment)


@dataclass(frozen=True, kw_only=True)
class Pins:
    """All that a base consists of. `bundle` is the date of its lock, `python` the minor versions that it is for."""

    bundle: str
    python: tuple[str, ...]
    packages: tuple[Pin, ...]


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base environment as it is bundled; what it became in a project stands in that project's history.

    `description` fits on a card. `uses` says where it makes sense: notebook, job, pyspark, deployment.
    `requirements` are PEP 508, normalised and sorted.
    """

    name: str
    title: str
    description: str
    group: Group
    uses: tuple[str, ...]
    requirements: tuple[str, ...]
    pins_path: Path = field(repr=False)

    @property
    def bundle(self) -> str:
        """The date of the lock, such as `2026-11-20`: of two bundles the later one sorts behind."""
        return self.pins.bundle

    @cached_property
    def pins(self) -> Pins:
        """The exact packages.

        Raises:
            EnvPanelError: they are missing or cannot be read.
        """
        try:
            return wire.read(json.loads(self.pins_path.read_bytes()), Pins)
        except FileNotFoundError as error:
            raise EnvPanelError(
                f"The base {self.name!r} has no pins: {self.pins_path.name} is missing.",
                hint=f"Run 'python -m envpanel.bases.relock {self.name}'.",
            ) from error
        except (OSError, ValueError) as error:
            raise _unreadable(self.pins_path, error) from error

    def lock(self, target: Target) -> Lock:
        """The files for this target. A package without any wheel comes as its source distribution.

        Raises:
            OtherPlatform: the base, or a package of it, is not to be had there.
            InvalidInput: not for this Python.
            EnvPanelError: the pins are missing, cannot be read, or contradict themselves.
        """
        if target.python not in self.pins.python:
            raise InvalidInput(
                f"The base {self.name!r} is for Python {', '.join(self.pins.python)}, not {target.python}."
            )
        # Elsewhere a missing package would go unnoticed, as what no listed platform needs was left out of the pins.
        if target.platform not in PLATFORMS:
            raise OtherPlatform(f"The base {self.name!r} is for {', '.join(PLATFORMS)}, not {target.platform}.")
        try:
            chosen = [pin for pin in self.pins.packages if pin.holds(target.environment)]
        except ValueError as error:
            raise _unreadable(self.pins_path, error) from error
        twice = [name for name, count in Counter(pin.name for pin in chosen).items() if count > 1]
        if twice:
            raise _unreadable(self.pins_path, f"two versions of {', '.join(twice)} for Python {target.python}")
        packages = [self._locked(pin, target) for pin in chosen]
        return lock(packages, python=target.python, platform=target.platform)

    def _locked(self, pin: Pin, target: Target) -> LockedPackage:
        files = dict(pin.files)
        file = target.best_wheel(files)
        if file is None:
            file = next((name for name in files if not name.endswith(".whl")), None)
        if file is None:
            raise OtherPlatform(
                f"The base {self.name!r} cannot be had here: {pin.name} {pin.version} has no file for "
                f"{target.platform} and Python {target.python}."
            )
        origin = Origin.INDEX if file.endswith(".whl") else Origin.SDIST
        return LockedPackage(name=pin.name, version=pin.version, file=file, sha256=files[file], origin=origin)


class Bundle:
    """The bases of a folder. Each is read when it is asked for first, its pins when it is locked first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bases: dict[str, Base] = {}

    @classmethod
    def shipped(cls) -> Bundle:
        """The bases that come with envpanel."""
        return cls(Path(__file__).parent)

    def names(self) -> list[str]:
        """The names of all bases, sorted; none is read for it."""
        return sorted(path.stem for path in self._folder.glob("*.yaml"))

    def get(self, name: str) -> Base:
        """The base of this name.

        Raises:
            NotFound: with the names that there are.
            EnvPanelError: its description cannot be read.
        """
        if name not in self._bases:
            if name not in self:
                raise NotFound(
                    f"There is no base environment {name!r}.", hint=f"There are: {', '.join(self.names()) or 'none'}."
                )
            self._bases[name] = _read(self._folder / f"{name}.yaml")
        return self._bases[name]

    def __contains__(self, name: str) -> bool:
        return name in self._bases or name in self.names()

    def __iter__(self) -> Iterator[Base]:
        """All bases, as screens list them: group by group, in each by name."""
        groups = list(Group)
        return iter(sorted(map(self.get, self.names()), key=lambda base: (groups.index(base.group), base.name)))

    def __len__(self) -> int:
        return len(self.names())


@dataclass(frozen=True, kw_only=True)
class _Description:
    """What `<name>.yaml` holds."""

    title: str
    description: str
    group: Group
    uses: tuple[Use, ...]
    requirements: tuple[str, ...]


def _read(path: Path) -> Base:
    try:
        described = wire.read(_yaml(path.read_bytes()), _Description)
        lines = tuple(sorted(map(requirements.normalise, described.requirements)))
        name = check_name(path.stem)
    except (OSError, ValueError, EnvPanelError) as error:
        raise _unreadable(path, error) from error
    return Base(
        name=name,
        title=described.title,
        description=described.description,
        group=described.group,
        uses=described.uses,
        requirements=lines,
        pins_path=path.with_name(f"{path.stem}.pins.json"),
    )


def _yaml(data: bytes) -> Any:
    # Imported here: what only builds or runs an environment does without. The loader in C is ten times as fast.
    import yaml

    try:
        return yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError("it is not YAML" + (f" (line {mark.line + 1})" if mark is not None else "")) from error


def _unreadable(path: Path, reason: object) -> EnvPanelError:
    return EnvPanelError(
        f"{path.name}, which describes a base environment, cannot be used: {str(reason).rstrip('.')}.",
        hint="It comes with envpanel: install envpanel anew.",
    )
