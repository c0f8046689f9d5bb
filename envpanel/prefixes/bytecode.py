"""Bytecode: every module of a prefix is compiled before the prefix is finished, for nobody can write it later.

The .pyc files are of the unchecked hash-based kind (PEP 552): never compared with their source at import, valid on
every machine and at every time. So one must never stand beside another source: it is taken over from the parent prefix
only for a distribution whose file has the same sha256 in both locks.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from envpanel import process
from envpanel.errors import EngineFailed
from envpanel.model.nouns import Progress

_WORKER = Path(__file__).with_name("compile_worker.py")
_COUNT = re.compile(r"compiled (\d+) of (\d+)")


def site_packages(prefix: Path) -> Path:
    """Where the packages of a prefix are; a path that does not exist where it is not a prefix."""
    return next(iter(sorted(prefix.glob("lib/python3.*/site-packages"))), prefix / "lib" / "site-packages")


def take_over(parent: Path, prefix: Path, distributions: Iterable[str]) -> int:
    """Link the .pyc files of these distributions from the parent prefix; how many were linked.

    `distributions` are the canonical names of those whose file is the same in both.
    """
    source, target = site_packages(parent), site_packages(prefix)
    if source.name != "site-packages" or source.parent.name != target.parent.name:
        return 0
    tag = "cpython-" + target.parent.name.removeprefix("python").replace(".", "")
    wanted = set(distributions)
    before = _owners(source)
    linked = 0
    folders: set[str] = set()
    for module, owners in _owners(target).items():
        # Where two distributions bring a module, the one that was installed last has written it, in either prefix.
        if len(owners) != 1 or owners[0] not in wanted or before.get(module) != owners:
            continue
        folder, _, file = module.rpartition("/")
        cached = os.path.join(folder, "__pycache__", f"{file[:-3]}.{tag}.pyc")
        destination = os.path.join(target, cached)
        if folder not in folders:
            with contextlib.suppress(FileExistsError, FileNotFoundError, NotADirectoryError):
                os.mkdir(os.path.dirname(destination))
            folders.add(folder)
        with contextlib.suppress(FileNotFoundError, FileExistsError, NotADirectoryError):
            os.link(os.path.join(source, cached), destination)
            linked += 1
    return linked


async def compile_all(
    prefix: Path,
    *,
    env: Mapping[str, str],
    pass_fds: tuple[int, ...],
    report: Callable[[Progress], None],
    log: Callable[[str], None],
) -> None:
    """Compile every module of the prefix that has no .pyc yet; modules that do not compile are left as they are.

    Raises:
        EngineFailed: the interpreter of the prefix did not run.
    """

    def line(text: str) -> None:
        match = _COUNT.fullmatch(text)
        if match:
            report(Progress(phase="compiling", done=int(match[1]), total=int(match[2]), unit="files"))
        else:
            log(text)

    # -I -S: nothing of the packages runs, no .pth file and no sitecustomize.
    argv: list[str | Path] = [prefix / "bin" / "python", "-I", "-S", _WORKER, site_packages(prefix)]
    finished = await process.run(argv, env=env, cwd=prefix, on_line=line, pass_fds=pass_fds)
    if finished.code != 0:
        raise EngineFailed(f"The modules could not be compiled: {' '.join(finished.lines[-1:])}.")


def _owners(site: Path) -> dict[str, list[str]]:
    """The distributions that bring each module."""
    owners: dict[str, list[str]] = {}
    for info in sorted(site.glob("*.dist-info")):
        name = canonicalize_name(info.name.removesuffix(".dist-info").partition("-")[0])
        for module in _modules(info / "RECORD"):
            owners.setdefault(module, []).append(name)
    return owners


def _modules(record: Path) -> list[str]:
    """The modules of a distribution, relative to site-packages, as its RECORD lists them; never outside of it."""
    try:
        with record.open(newline="", encoding="utf-8") as file:
            paths = [row[0] for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    return [path for path in paths if path.endswith(".py") and not path.startswith(("/", "..")) and "/../" not in path]
