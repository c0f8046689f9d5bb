"""The versions of a package, from the files that indexes list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from typing import Literal

from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from envpanel.catalog.index_pages import File
from envpanel.model.target import Target

Fits = Literal["wheel", "source", "no"]
Listing = tuple[str, Sequence[File]]
"""The name of an index, and the files that it lists."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """A version of a package. `fits`: it has a wheel for this platform and the Python that was asked about, or has to
    be built from source, or neither.

    `uploaded` is when its first file came, where the index tells; `yanked`: withdrawn by its authors.
    """

    version: str
    uploaded: str | None
    yanked: bool
    yanked_reason: str | None
    prerelease: bool
    requires_python: str | None
    fits: Fits
    index: str


def names_in(files: Iterable[File]) -> frozenset[str]:
    """The packages that these files belong to."""
    return frozenset(parsed[0] for file in files if (parsed := _parsed(file.name)) is not None)


def releases(listings: Iterable[Listing], name: str, target: Target) -> list[Release]:
    """The versions, newest first."""
    return [_release(version, entries, target) for version, entries in _by_version(listings, name)]


def newest(found: Sequence[Release]) -> str | None:
    """The version that is taken where nothing speaks against it: pre-releases last, and what needs a build before."""
    usable = [item for item in found if item.fits != "no" and not item.yanked]
    best = min(usable, key=lambda item: (item.prerelease, item.fits == "source"), default=None)
    return best.version if best is not None else None


def wheels(listings: Iterable[Listing], name: str, version: str, target: Target) -> list[tuple[str, File]]:
    """The wheels of a version and their indexes, the one for this target first."""
    for found, entries in _by_version(listings, name):
        if str(found) == version:
            best = target.best_wheel(entry.file.name for entry in entries if entry.is_wheel)
            ordered = sorted(entries, key=lambda entry: entry.file.name != best)
            return [(entry.index, entry.file) for entry in ordered if entry.is_wheel]
    return []


@dataclass(frozen=True)
class _Entry:
    index: str
    file: File
    is_wheel: bool


def _by_version(listings: Iterable[Listing], name: str) -> list[tuple[Version, list[_Entry]]]:
    found: dict[Version, list[_Entry]] = {}
    for index, files in listings:
        for file in files:
            parsed = _parsed(file.name)
            if parsed is not None and parsed[0] == name:
                found.setdefault(parsed[1], []).append(_Entry(index, file, parsed[2]))
    return sorted(found.items(), reverse=True)


def _release(version: Version, entries: Sequence[_Entry], target: Target) -> Release:
    # Where a version is withdrawn in part, what is left of it counts.
    standing = [entry for entry in entries if entry.file.yanked is None] or entries
    usable = [entry for entry in standing if _is_for(entry.file.requires_python, target)]
    best = target.best_wheel(entry.file.name for entry in usable if entry.is_wheel)
    wheel = next((entry for entry in usable if entry.file.name == best), None)
    source = next((entry for entry in usable if not entry.is_wheel), None)
    shown = wheel or source or standing[0]
    uploaded = min((entry.file.uploaded for entry in entries if entry.file.uploaded is not None), default=None)
    return Release(
        version=str(version),
        uploaded=f"{uploaded.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if uploaded is not None else None,
        yanked=shown.file.yanked is not None,
        yanked_reason=shown.file.yanked or None,
        prerelease=version.is_prerelease,
        requires_python=shown.file.requires_python,
        fits="wheel" if wheel is not None else "source" if source is not None else "no",
        index=shown.index,
    )


@lru_cache(maxsize=1 << 14)
def _parsed(file: str) -> tuple[str, Version, bool] | None:
    """Name, version, and whether it is a wheel; None for what is neither a wheel nor a source distribution."""
    try:
        if file.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(file)
            return name, version, True
        name, version = parse_sdist_filename(file)
    except (InvalidWheelFilename, InvalidSdistFilename, ValueError):
        return None
    return name, version, False


@lru_cache(maxsize=1024)
def _specifier(text: str) -> SpecifierSet:
    return SpecifierSet(text)


def _is_for(requires_python: str | None, target: Target) -> bool:
    if requires_python is None:
        return True
    return _specifier(requires_python).contains(target.environment["python_full_version"], prereleases=True)
