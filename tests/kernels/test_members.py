"""Another OS user: may read the project and start what is in it, and writes into no environment."""

from __future__ import annotations

import asyncio
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_engine import FakeEngine
from writers import environments, signature

from envpanel.bases.bundle import Bundle
from envpanel.errors import StoreError
from envpanel.history.store import FolderStore
from envpanel.kernels import start
from envpanel.kernels.kernel import Kernels, started
from envpanel.kernels.provisioner import HomeLaunches
from envpanel.model.nouns import Author, Group
from envpanel.prefixes import leases
from envpanel.prefixes.prefix import remove_tree
from envpanel.service import Environments

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

NOBODY = 65534


@dataclass(frozen=True)
class Shared:
    """A project that all may read, and a folder that the other user may write."""

    service: Environments
    own: Path


@pytest.fixture
def shared() -> Iterator[Shared]:
    # Not in pytest's own folder, which nobody else may look into.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for inner in ("home", "cache", "bases", "own"):
            (folder / inner).mkdir()
            (folder / inner).chmod(0o755)
        os.chown(folder / "own", NOBODY, NOBODY)
        engine = FakeEngine({"alpha": {"1.0": []}, "ipykernel": {"7.0": []}, "ipywidgets": {"8.0": []}})
        store = FolderStore(folder / "home")
        service = environments(store, folder / "cache", engine, Bundle(folder / "bases"))
        change = service.creating(("alpha",), group=Group.FEATURE_ENGINEERING)
        asyncio.run(service.change("churn", change, by=signature()))
        # The Python of the tests may be in a home folder; this is one that all may look at. It is never run.
        for python in folder.glob("cache/prefixes/*/*/bin/python"):
            python.parent.chmod(0o755)
            python.unlink()
            python.symlink_to("/bin/sh")
            python.parent.chmod(0o555)
        yield Shared(service, folder / "own")
        remove_tree(folder / "cache")


def _as_another_user(work: Callable[[], None], own: Path) -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.environ["HOME"] = os.environ["XDG_CACHE_HOME"] = str(own)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def _denied(do: Callable[[], object]) -> None:
    with pytest.raises(PermissionError):
        do()


def test_nobody_else_writes_into_site_packages(shared: Shared) -> None:
    prefix = asyncio.run(start.for_kernel(shared.service, "churn")).prefix
    site = next(prefix.path.glob("lib/python3.*/site-packages"))

    def work() -> None:
        module = site / "alpha" / "__init__.py"
        assert module.read_text(), "it can be read"
        _denied(lambda: (site / "new.py").write_text(""))
        _denied(lambda: (site / "new").mkdir())
        _denied(lambda: module.write_text(""))
        _denied(lambda: module.unlink())
        _denied(lambda: (site / "alpha").rename(site / "beta"))
        _denied(lambda: module.chmod(0o777))
        _denied(lambda: (prefix.bin / "python").unlink())
        _denied(lambda: prefix.ready.unlink())

    _as_another_user(work, shared.own)


def test_nor_does_the_owner_without_meaning_to(shared: Shared) -> None:
    """The modes are in the way of the owner, too, as long as that is not root."""
    prefix = asyncio.run(start.for_kernel(shared.service, "churn")).prefix
    for path in (prefix.path, *prefix.path.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    site = next(prefix.path.glob("lib/python3.*/site-packages"))

    def work() -> None:
        _denied(lambda: (site / "new.py").write_text(""))
        _denied(lambda: (site / "alpha" / "__init__.py").write_text(""))
        _denied(lambda: (site / "alpha" / "__init__.py").unlink())

    _as_another_user(work, shared.own)


@pytest.mark.parametrize("first", [True, False], ids=["first to start", "second to start"])
def test_who_may_only_read_starts_kernels(shared: Shared, first: bool) -> None:
    """The lease needs no right to write, the tools lie in a cache of one's own if need be, no hint is written."""
    if not first:
        asyncio.run(start.for_kernel(shared.service, "churn")).close()

    def work() -> None:
        ready = asyncio.run(start.for_kernel(shared.service, "churn"))
        assert leases.is_held(ready.prefix.ready)
        assert ready.tools.shims.is_relative_to(shared.own if first else shared.service.cache)
        assert os.access(ready.tools.shims / "pip", os.X_OK)
        kernel = started(ready, "1", Author(username="nobody", name="Nobody"), pid=os.getpid())
        with pytest.raises(StoreError):
            Kernels(shared.service.ledger.store, shared.service.cache).put(kernel)
        asyncio.run(HomeLaunches(shared.service, kernel.author).started(kernel))
        ready.close()

    _as_another_user(work, shared.own)
