"""The lock: exactly which file of which package, for one Python and one platform.

Written as pylock.toml (PEP 751; `packaging.pylock` reads it back), with what envpanel must know besides below
`[tool.envpanel]` and `[packages.tool.envpanel]`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import tomli_w
from packaging.pylock import Pylock, PylockValidationError
from packaging.utils import canonicalize_name

from envpanel.errors import RecordDamaged
from envpanel.model import wire
from envpanel.model.nouns import Manager, Origin, Package, as_of


@dataclass(frozen=True, kw_only=True)
class LockedPackage:
    """A package and the one file that was chosen for the platform.

    `sha256` is the file's, in hexadecimal, and with the name and version the package's identity. `url` is where the
    resolver saw it: a convenience for other tools, never needed by a build, and unknown for bundled bases. `kept`:
    the file is a blob of the home, for no index has it (it was built from a source distribution, whose sha256 is
    `source_sha256`).
    """

    name: str
    version: str
    file: str
    sha256: str
    url: str | None = None
    size: int | None = None
    uploaded: datetime | None = None
    origin: Origin = Origin.INDEX
    kept: bool = False
    source_sha256: str | None = None

    @property
    def is_wheel(self) -> bool:
        """Whether it installs without being built first."""
        return self.file.endswith(".whl")


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The packages of a revision, sorted by name, for `python` (minor version) on `platform`."""

    python: str
    platform: str
    packages: tuple[LockedPackage, ...]
    engine: Manager = Manager.UV

    @property
    def versions(self) -> dict[str, str]:
        """Version by name."""
        return {package.name: package.version for package in self.packages}

    def content_id(self, *, commands: Sequence[str] = (), salt: str | None = None) -> str:
        """The identity of what a build of this lock holds, the same on every machine: sha256 in hexadecimal.

        `commands` are the digests of the scripts that run after it, `salt` is the revision's own where it has any.
        """
        content = {
            "engine": self.engine,
            "python": self.python,
            "platform": self.platform,
            "packages": sorted([package.name, package.version, package.sha256] for package in self.packages),
            "commands": list(commands),
            "salt": salt,
        }
        return wire.sha256(wire.canonical(content))

    def to_toml(self) -> str:
        """As pylock.toml. A file without a known address stands as a path beside the lock: `wheels/<file>`."""
        document = {
            "lock-version": "1.0",
            "requires-python": f"=={self.python}.*",
            "created-by": "envpanel",
            "packages": [_table(package) for package in self.packages],
            "tool": {"envpanel": {"engine": self.engine, "python": self.python, "platform": self.platform}},
        }
        return tomli_w.dumps(document)

    @classmethod
    def from_toml(cls, text: str) -> Lock:
        """The lock that `to_toml` wrote.

        Raises:
            RecordDamaged: it is not one.
        """
        try:
            document = tomllib.loads(text)
            Pylock.from_dict(document)
            tool = document["tool"]["envpanel"]
            packages = tuple(_package(table) for table in document["packages"])
            return cls(
                engine=Manager(tool["engine"]),
                python=tool["python"],
                platform=tool["platform"],
                packages=packages,
            )
        except (PylockValidationError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise RecordDamaged(f"The lock cannot be read: {error}.") from error


def lock(packages: Iterable[LockedPackage], *, python: str, platform: str, engine: Manager = Manager.UV) -> Lock:
    """A lock of these packages, names canonical and sorted."""
    ordered = sorted(packages, key=lambda package: package.name)
    return Lock(python=python, platform=platform, packages=tuple(ordered), engine=engine)


def packages_of(
    lock: Lock, *, requested: frozenset[str], number: int, parent: Iterable[Package] = ()
) -> tuple[Package, ...]:
    """The packages of revision `number`: see `nouns.as_of`."""
    packages = [
        Package(name=item.name, version=item.version, manager=lock.engine, origin=item.origin) for item in lock.packages
    ]
    return as_of(packages, requested=requested, number=number, parent=parent)


def _table(package: LockedPackage) -> dict[str, Any]:
    file: dict[str, Any] = {"name": package.file}
    if package.url is not None and not package.kept:
        file["url"] = package.url
    else:
        file["path"] = f"wheels/{package.file}"
    if package.uploaded is not None:
        file["upload-time"] = package.uploaded
    if package.size is not None:
        file["size"] = package.size
    file["hashes"] = {"sha256": package.sha256}
    table: dict[str, Any] = {"name": package.name, "version": package.version}
    if package.is_wheel:
        table["wheels"] = [file]
    else:
        table["sdist"] = file
    if package.kept or package.origin is not Origin.INDEX:
        tool: dict[str, Any] = {"origin": package.origin, "kept": package.kept}
        if package.source_sha256 is not None:
            tool["source-sha256"] = package.source_sha256
        table["tool"] = {"envpanel": tool}
    return table


def _package(table: dict[str, Any]) -> LockedPackage:
    file = table["wheels"][0] if "wheels" in table else table["sdist"]
    tool = table.get("tool", {}).get("envpanel", {})
    return LockedPackage(
        name=canonicalize_name(table["name"]),
        version=table["version"],
        file=file["name"],
        sha256=file["hashes"]["sha256"],
        url=file.get("url"),
        size=file.get("size"),
        uploaded=file.get("upload-time"),
        origin=Origin(tool.get("origin", Origin.INDEX)),
        kept=bool(tool.get("kept", False)),
        source_sha256=tool.get("source-sha256"),
    )
