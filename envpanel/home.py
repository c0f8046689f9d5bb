"""A home: where it is found, and the parts of envpanel put together on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs
from uv import find_uv_bin

from envpanel import settings
from envpanel.bases.bundle import Bundle
from envpanel.catalog.catalog import Catalog
from envpanel.catalog.indexes import Indexes
from envpanel.engines.interpreters import Interpreters
from envpanel.engines.uv import UvEngine
from envpanel.errors import KeyMissing, StoreError
from envpanel.history.store import open_store
from envpanel.model import wire
from envpanel.service import Environments

FOLDER = ".envpanel"


def locate(start: Path) -> Path:
    """The nearest `.envpanel` from `start` upwards, else a new one in `start` (it is not made here)."""
    for folder in (start, *start.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    return start / FOLDER


def project_folder(home: str, start: Path) -> Path:
    """The folder of the project: the one that holds its home, or `start` where that is at an address."""
    return start if "://" in home else Path(os.path.realpath(home)).parent


def prepare(home: str) -> None:
    """Make the folder of a new home, before the first write; nothing is done where there is one, or for an address.

    Raises:
        StoreError: it cannot be made.
    """
    if "://" in home:
        return
    folder = Path(home)
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            # A project is often a Git repository: the history belongs into it, what can be built again does not.
            (folder / ".gitignore").write_text("/cache/\n/live/\n", encoding="utf-8")
    except FileExistsError as error:
        raise StoreError(f"{folder} is a file, so no project can be kept there.") from error
    except OSError as error:
        raise StoreError(f"{folder} could not be made: {error.strerror}.") from error


def open_environments(home: str, environ: Mapping[str, str], *, bundle: Bundle | None = None) -> Environments:
    """The environments of the home at this folder or address; reads its settings, and writes nothing.

    `ENVPANEL_CACHE` in `environ` says where a home at an address has its cache, and where the local index and the
    catalog of packages are.

    Raises:
        InvalidSettings: settings.yaml is wrong.
        StoreError: the home cannot be read.
    """
    store = open_store(home)
    try:
        chosen = settings.parse(store.get(settings.KEY).decode())
    except KeyMissing:
        chosen = settings.Settings()
    local = Path(environ.get("ENVPANEL_CACHE") or platformdirs.user_cache_path("envpanel"))
    is_folder = "://" not in home
    identity = wire.sha256((os.path.realpath(home) if is_folder else home).encode())[:16]
    cache = Path(os.path.realpath(home)) / "cache" if is_folder else local / "homes" / identity
    uv = find_uv_bin()
    return Environments(
        store=store,
        cache=cache,
        index=local / "index" / f"{identity}.sqlite",
        bundle=bundle or Bundle.shipped(),
        # A cache for each OS user: prefixes share its inodes, and one user may not link another's.
        engine=UvEngine(uv=uv, cache=cache / "uv" / str(os.getuid()), environ=environ, settings=chosen),
        interpreters=Interpreters(uv, environ, chosen.python_search_path),
        settings=chosen,
        environ=environ,
        # A user's own: what a private index has is not for every member to see.
        catalog=Catalog(
            indexes=Indexes(uv=uv, environ=environ, settings=chosen), folder=local / "catalog", environ=environ
        ),
    )
