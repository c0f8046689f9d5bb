"""Kernels as a project's members see them: which runs where, on which revision, whose it is, and how far behind.

Each is told of by a hint in the home, `live/leases/<host>-<kernel id>.json`. Hints may be lost, and one may stay behind
when its kernel or its server was killed; who reads them on that host drops it. What keeps a prefix from being
removed is never a hint, but a flock: see `prefixes.leases`.
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from envpanel.errors import EnvPanelError, StoreError
from envpanel.history.store import Store
from envpanel.kernels.start import Start
from envpanel.model import wire
from envpanel.model.nouns import Author
from envpanel.prefixes import leases
from envpanel.service import Environments

_FOLDER = "live/leases"
_READY = re.compile(r"prefixes/[A-Za-z0-9_-]+/READY-\d+\.json")


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel that was started.

    `id` is Jupyter's, `started` UTC. `born` tells its process from later ones of the same `pid`; `ready` is the READY
    file of its prefix, relative to the cache.
    """

    id: str
    environment: str
    revision: int
    content_id: str
    author: Author
    started: str
    host: str
    pid: int
    born: str
    ready: str


def started(start: Start, kernel_id: str, author: Author, *, pid: int) -> Kernel:
    """The kernel that this process of this host is."""
    ready = start.prefix.ready
    return Kernel(
        id=told_id(kernel_id),
        environment=start.record.environment,
        revision=start.record.number,
        content_id=start.record.content_id,
        author=author,
        started=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        host=_host(),
        pid=pid,
        born=_born(pid),
        ready=f"prefixes/{ready.parent.name}/{ready.name}",
    )


def told_id(kernel_id: str) -> str:
    """The id of a kernel as it is told: a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", kernel_id)[:80]


class Kernels:
    """The kernels of a home. `cache` is the cache of this machine."""

    def __init__(self, store: Store, cache: Path) -> None:
        self._store = store
        self._cache = cache

    def put(self, kernel: Kernel) -> None:
        """Tell of it.

        Raises:
            StoreError: it could not be written, as for members who may only read.
        """
        self._store.put(_key(kernel), json.dumps(wire.plain(kernel), indent=1).encode())

    def drop(self, kernel: Kernel) -> None:
        """It has ended.

        Raises:
            StoreError: it could not be written.
        """
        self._store.delete(_key(kernel))

    def list(self) -> list[Kernel]:
        """All that run, as far as is known, the oldest first; of this host none that has ended.

        Raises:
            StoreError: the home could not be read.
        """
        found = []
        for kernel in self._told():
            if self._is_gone(kernel):
                with contextlib.suppress(StoreError):
                    self.drop(kernel)
            else:
                found.append(kernel)
        return sorted(found, key=lambda kernel: (kernel.started, kernel.id))

    def _told(self) -> Iterator[Kernel]:
        for name in self._store.list(_FOLDER):
            # Written by others, and perhaps by a newer envpanel: what cannot be read is nothing to tell of.
            with contextlib.suppress(StoreError, ValueError):
                kernel = wire.read(json.loads(self._store.get(f"{_FOLDER}/{name}")), Kernel)
                if _key(kernel) == f"{_FOLDER}/{name}":
                    yield kernel

    def _is_gone(self, kernel: Kernel) -> bool:
        """Whether it has ended for sure; on another host nobody can know."""
        if kernel.host != _host():
            return False
        if not _READY.fullmatch(kernel.ready):
            return True
        try:
            if not leases.is_held(self._cache / kernel.ready):
                return True
        except OSError:
            return False
        # Something runs there, perhaps another kernel. In another container the same number is another process.
        namespace, _, _ = kernel.born.partition(":")
        return bool(namespace) and namespace == _namespace() and _born(kernel.pid) != kernel.born


def behind(environments: Environments, kernel: Kernel) -> int:
    """How many revisions after the kernel's own have brought other packages; 0 where the head has the same ones.

    Raises:
        NotFound: the environment is gone.
        RecordDamaged: its head cannot be read.
    """
    head = environments.show(kernel.environment)
    if head.content_id == kernel.content_id:
        return 0
    count, content_id = 0, kernel.content_id
    for number in range(kernel.revision + 1, head.number + 1):
        with contextlib.suppress(EnvPanelError):
            record = environments.show(kernel.environment, number)
            count += record.content_id != content_id
            content_id = record.content_id
    return count


def _key(kernel: Kernel) -> str:
    return f"{_FOLDER}/{kernel.host}-{kernel.id}.json"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", platform.node()).strip(".-") or "localhost"


def _namespace() -> str:
    """What processes are counted in; empty where the system does not tell."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""


def _born(pid: int) -> str:
    """The namespace and the tick in which a process began; empty behind the colon where there is none."""
    try:
        # proc(5): the name in parentheses may hold anything, so count from its end; the start is field 22.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A zombie has ended, and only its parent does not know yet.
        tick = fields[19] if fields[0] not in "ZX" else ""
    except (OSError, IndexError):
        tick = ""
    return f"{_namespace()}:{tick}"
