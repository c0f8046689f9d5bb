"""The wheels that this machine has built of source distributions.

A bundled base names a source distribution where a package comes in no other form, a custom environment the wheel that
was built of one. For both, the wheel and the requirements that it states are found here again, so that the package's
own code runs once and not with every change.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from packaging.metadata import parse_email
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from envpanel import process
from envpanel.engines.download import fetch
from envpanel.engines.interface import Log, Report
from envpanel.engines.interpreters import Interpreter
from envpanel.engines.uv_texts import not_done
from envpanel.errors import EngineFailed
from envpanel.model.lock import Lock, LockedPackage
from envpanel.model.nouns import Origin, Progress
from envpanel.model.target import Target

Metadata = dict[str, Any]
"""What a package states of itself, as an entry of uv's setting `dependency-metadata`."""


class Run(Protocol):
    """Runs uv with these arguments, as `process.run` does; EngineFailed where it takes too long."""

    async def __call__(
        self, arguments: Sequence[str | Path], cwd: Path, *, on_line: Log, pass_fds: tuple[int, ...]
    ) -> process.Finished: ...


class FromSource:
    """Wheels below `root`: a folder for each source distribution (by its sha256) and minor version of Python.

    `env` has the indexes and their credentials, for a download that may take `seconds`.
    """

    def __init__(self, root: Path, *, run: Run, env: Mapping[str, str], seconds: float) -> None:
        self._root = root
        self._run = run
        self._env = env
        self._seconds = seconds

    def find(self, package: LockedPackage, python: str) -> Path | None:
        """The wheel that was built of the package's source distribution, if it was."""
        source = source_of(package)
        if source is None:
            return None
        # A folder that machines of several kinds share has several.
        built = {path.name: path for path in self._folder(source, python).glob("*.whl")}
        name = Target(python=python).best_wheel(built)
        return built[name] if name is not None else None

    async def build(
        self,
        source: LockedPackage,
        address: str,
        scratch: Path,
        interpreter: Interpreter,
        *,
        pass_fds: tuple[int, ...] = (),
        report: Report,
        log: Log,
    ) -> Path:
        """The wheel of the source distribution at this address (or path in `scratch`): found, or built now.

        Raises:
            EngineFailed: the file could not be had, is another one, or does not build.
        """
        found = self.find(source, interpreter.minor)
        if found is not None:
            return found
        what = f"{source.name} {source.version}"
        building = Progress(phase="building", detail=f"{what} from source")
        report(building)
        log(f"(building {what} from source, once on this machine)")
        sdist = scratch / source.file
        digest = await fetch(address, self._env, folder=scratch, target=sdist, seconds=self._seconds, report=report)
        if digest != source.sha256:
            raise EngineFailed(f"{source.file} is not the file that the index promised: its sha256 is another.")
        report(building)
        out = scratch / f"{source.name}-wheel"
        argv: list[str | Path] = ["build", "--wheel", sdist, "--out-dir", out, "--python", interpreter.path]
        finished = await self._run([*argv, "--no-create-gitignore"], scratch, on_line=log, pass_fds=pass_fds)
        if finished.code != 0:
            raise not_done(finished.lines, f"{what} could not be built from source", finished.code)
        for wheel in out.glob("*.whl"):
            await asyncio.to_thread(self._add, source.sha256, interpreter.minor, wheel)
        found = self.find(source, interpreter.minor)
        if found is None:
            raise EngineFailed(f"{what} could not be built from source: no wheel for this platform came.")
        return found

    def take_in(self, lock: Lock, wheels: Path) -> None:
        """Keep the wheels of a lock that another machine has built, for what they state of themselves."""
        for package in lock.packages:
            if package.source_sha256 is None or self.find(package, lock.python) is not None:
                continue
            path = wheels / package.file
            # Where that fails, nothing is missing but time.
            with contextlib.suppress(OSError, EngineFailed):
                if sha256(path) == package.sha256:
                    self._add(package.source_sha256, lock.python, path)

    def metadata(self, packages: Iterable[LockedPackage], python: str) -> dict[LockedPackage, Metadata]:
        """What those of the packages state of themselves whose wheels are here."""
        found = {package: self.find(package, python) for package in packages}
        read = {package: _metadata(package, wheel) for package, wheel in found.items() if wheel is not None}
        return {package: metadata for package, metadata in read.items() if metadata is not None}

    def forget(self, names: Collection[str]) -> None:
        """Drop the wheels of these packages; they are built again where they are needed."""
        for path in self._root.glob("*/*.whl"):
            with contextlib.suppress(InvalidWheelFilename):
                if parse_wheel_filename(path.name)[0] in names:
                    path.unlink(missing_ok=True)

    def _add(self, source: str, python: str, wheel: Path) -> None:
        try:
            _place(wheel, self._folder(source, python) / wheel.name)
        except OSError as error:
            raise EngineFailed(f"{wheel.name} could not be kept: {error.strerror}.") from error

    def _folder(self, source: str, python: str) -> Path:
        return self._root / f"{source}-{python}"


def source_of(package: LockedPackage) -> str | None:
    """The sha256 of the source distribution that a package is or was built of; None where an index has its wheel."""
    return package.source_sha256 if package.is_wheel else package.sha256


def as_kept(source: LockedPackage, wheel: Path) -> LockedPackage:
    """The wheel that was built of a source distribution, as the lock of a custom environment has it."""
    return LockedPackage(
        name=source.name,
        version=source.version,
        file=wheel.name,
        sha256=sha256(wheel),
        size=wheel.stat().st_size,
        origin=Origin.SDIST,
        kept=True,
        source_sha256=source.sha256,
    )


def sha256(file: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _metadata(package: LockedPackage, wheel: Path) -> Metadata | None:
    """None where it cannot be read, or not be written as uv wants it: of old wheels uv itself reads more."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (path for path in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", path))
            stated, _ = parse_email(archive.read(name))
        found: Metadata = {
            "name": package.name,
            "version": package.version,
            "requires-dist": [str(Requirement(line)) for line in stated.get("requires_dist", ())],
            "provides-extra": [canonicalize_name(extra) for extra in stated.get("provides_extra", ())],
        }
        if "requires_python" in stated:
            found["requires-python"] = str(SpecifierSet(stated["requires_python"]))
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error):
        return None
    return found


def _place(file: Path, target: Path) -> None:
    """Copy a file to its place, whole and once: another process may be at the same, and the first one counts."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temp = target.with_suffix(f".{secrets.token_hex(4)}")
    try:
        # Temporary files may be on another disk.
        shutil.copyfile(file, temp)
        with temp.open("rb+") as copied:
            # It is never written again: what a crash of the machine left half would stay.
            os.fsync(copied.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temp, target)
    finally:
        temp.unlink(missing_ok=True)
