"""Members of a project who change one environment at once, each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

from fake_engine import FakeEngine
from uv import find_uv_bin

from envpanel.bases.bundle import Bundle
from envpanel.engines.interpreters import Interpreters
from envpanel.history.store import FolderStore, Store
from envpanel.model.change import Install
from envpanel.model.nouns import Author, Via
from envpanel.service import Environments, Signature
from envpanel.settings import Settings

CATALOGUE = {"alpha": {"1.0": []}} | {f"lib-{number}": {"1.0": []} for number in range(100)}


class OverwritingStore(FolderStore):
    """The control: a folder whose create does what a plain write does, and takes no notice of others."""

    def create(self, key: str, data: bytes) -> None:
        self.put(key, data)


@dataclass(frozen=True)
class Work:
    """Install these packages one after the other. Without `shared_cache` no lock is common: as on two machines."""

    member: int
    home: Path
    packages: tuple[str, ...]
    shared_cache: bool
    overwriting: bool = False


def environments(store: Store, cache: Path, engine: FakeEngine, bundle: Bundle) -> Environments:
    """A service on a fake engine."""
    return Environments(
        store=store,
        cache=cache,
        index=None,
        bundle=bundle,
        engine=engine,
        interpreters=Interpreters(find_uv_bin(), os.environ),
        settings=Settings(),
        environ={},
    )


def signature(name: str = "ana", message: str = "") -> Signature:
    """A change of this member."""
    return Signature(author=Author(username=name, name=name.title()), via=Via.CLI, message=message)


def install(work: Work) -> str:
    """Do the work; how many builds it took, as JSON."""
    store = OverwritingStore(work.home) if work.overwriting else FolderStore(work.home)
    cache = work.home.parent / ("cache" if work.shared_cache else f"cache-{work.member}")
    engine = FakeEngine(CATALOGUE, delay=0.01)
    service = environments(store, cache, engine, Bundle(work.home.parent / "no-bases"))
    by = signature(f"member-{work.member}")
    for package in work.packages:
        asyncio.run(service.change("shared", Install.of(package), by=by))
    return json.dumps({"builds": sum(call.verb == "build" for call in engine.calls)})


def all_at_once(works: list[Work]) -> int:
    """All of them at the same time; how many builds they took together."""
    with multiprocessing.get_context("spawn").Pool(len(works)) as pool:
        answers = pool.map(install, works, chunksize=1)
    return sum(int(json.loads(answer)["builds"]) for answer in answers)
