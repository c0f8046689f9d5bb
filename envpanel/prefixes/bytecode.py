"""Bytecode: every module of a prefix is compiled before the prefix is finished, for nobody can write it later.

The .pyc files are of the unchecked hash-based kind (PEP 552): never compared with their source at import, valid on
every machine and at every time. So one must never stand beside another source: it is taken over from the parent prefix
only for a distribution whose file has the same sha256 in both locks.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from envpanel import process
from envpanel.errors import EngineFailed
from envpanel.model.nouns import Progress
from envpanel.prefixes.distributions import SITE, Distribution
from envpanel.prefixes.tree import Entry, Tree

_WORKER = Path(__file__).with_name("compile_worker.py")
_THREADS = 2
_COUNT = re.compile(r"compiled (\d+) of (\d+)")


def site_packages(prefix: Path) -> Path:
    """Where the packages of a prefix are; a path that does not exist where it is not a prefix."""
    return next(iter(sorted(prefix.glob("lib/python3.*/site-packages"))), prefix / "lib" / "site-packages")


def take_over(
    parent: Path,
    before: Iterable[Distribution],
    tree: Tree,
    after: Iterable[Distribution],
    same: Iterable[str],
    *,
    listed: Mapping[str, Entry] | None = None,
) -> int:
    """Link .pyc files from the parent prefix, and enter them into the tree; how many were linked.

    `before` and `after` are the distributions of both prefixes, `same` the canonical names of those whose file has the
    same sha256 in both. What `listed`, the parent's list of its files, says of a .pyc is believed: else the hash of one
    that somebody wrote to in the meantime would be taken for right.
    """
    wanted = set(same)
    owners = _owners(before)
    folders: dict[str, list[str]] = defaultdict(list)
    for module, packages in _owners(after).items():
        # Where two distributions bring a module, the one that was installed last has written it, in either prefix.
        if len(packages) == 1 and packages[0] in wanted and owners.get(module) == packages:
            path = _cached(module)
            if path not in tree.entries and (listed is None or path in listed):
                folders[path.rpartition("/")[0]].append(path)

    def link(paths: list[str]) -> list[str]:
        folder = paths[0].rpartition("/")[0]
        linked = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            with contextlib.suppress(FileExistsError):
                os.mkdir(tree.at(folder))
            for path in paths:
                with contextlib.suppress(FileNotFoundError, FileExistsError):
                    os.link(f"{parent}/{path}", tree.at(path))
                    linked.append(path)
        return linked

    count = 0
    # The system is at it most of the time, on several cores at once.
    with ThreadPoolExecutor(_THREADS) as pool:
        for folder, linked in zip(folders, pool.map(link, folders.values()), strict=True):
            tree.look(folder)
            for path in linked:
                known = listed.get(path) if listed is not None else None
                if known is not None:
                    tree.entries[path] = known
                else:
                    tree.look(path)
            count += len(linked)
    return count


async def compile_all(
    tree: Tree,
    *,
    env: Mapping[str, str],
    pass_fds: tuple[int, ...],
    report: Callable[[Progress], None],
    log: Callable[[str], None],
) -> None:
    """Compile every module of the prefix that has no .pyc yet, and enter what is new into the tree.

    Modules that do not compile are left as they are.

    Raises:
        EngineFailed: the interpreter of the prefix did not run.
    """
    missing = [
        (entry.size, path)
        for path, entry in tree.entries.items()
        if path.endswith(".py")
        and entry.kind in ("file", "link")
        and _site(path) is not None
        and _cached(path) not in tree.entries
    ]
    if not missing:
        return
    # The largest first, so that no process is left with one at the end.
    paths = [path for _, path in sorted(missing, reverse=True)]

    def line(text: str) -> None:
        match = _COUNT.fullmatch(text)
        if match:
            report(Progress(phase="compiling", done=int(match[1]), total=int(match[2]), unit="files"))
        else:
            log(text)

    with tempfile.NamedTemporaryFile(prefix="envpanel-") as file:
        file.write(b"\0".join(os.fsencode(tree.at(path)) for path in paths))
        file.flush()
        # -I -S: nothing of the packages runs, no .pth file and no sitecustomize.
        argv: list[str | Path] = [tree.at("bin/python"), "-I", "-S", _WORKER, file.name]
        finished = await process.run(argv, env=env, cwd=Path(tree.root), on_line=line, pass_fds=pass_fds)
    if finished.code != 0:
        raise EngineFailed(f"The modules could not be compiled: {' '.join(finished.lines[-1:])}.")
    for path in map(_cached, paths):
        if tree.look(path):
            tree.look(os.path.dirname(path))


def _site(path: str) -> str | None:
    """The part of a path that is site-packages; None where it is not in there."""
    match = SITE.match(path)
    return match[0] if match and path.startswith(f"{match[0]}/") else None


def _cached(module: str) -> str:
    """The .pyc of a module of site-packages (PEP 3147)."""
    folder, _, file = module.rpartition("/")
    tag = module.split("/", 2)[1].removeprefix("python").replace(".", "")
    return f"{folder}/__pycache__/{file[:-3]}.cpython-{tag}.pyc"


def _owners(distributions: Iterable[Distribution]) -> dict[str, list[str]]:
    """The distributions that bring each module."""
    owners: dict[str, list[str]] = defaultdict(list)
    for distribution in distributions:
        for path, _ in distribution.files or ():
            if path.endswith(".py") and _site(path) is not None:
                owners[path].append(distribution.package)
    return owners
