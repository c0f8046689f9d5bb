"""Kernels in a server: which revision each start takes, who is told, and what a refusal looks like."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager
from jupyter_client.manager import AsyncKernelManager, KernelManager
from real_project import Lab, Running, eventually
from traitlets.config import Config

from envpanel.errors import EngineFailed
from envpanel.kernels import provisioner
from envpanel.kernels.kernel import Kernel
from envpanel.kernels.provisioner import EnvPanelProvisioner, HomeLaunches, KernelRefused, Launches
from envpanel.kernels.start import Start
from envpanel.model.nouns import Author, Progress
from envpanel.prefixes import leases

pytestmark = pytest.mark.xdist_group("kernels")

ANA = Author(username="ana", name="Ana", verified=True)


def _manager(lab: Lab, name: str, revision: int | None = None, **options: object) -> AsyncKernelManager:
    spec = lab.server_spec(name, revision)
    return AsyncKernelManager(kernel_name=spec, kernel_spec_manager=lab.specs(provisioner=True), **options)


def _of(manager: KernelManager) -> EnvPanelProvisioner:
    assert isinstance(manager.provisioner, EnvPanelProvisioner)
    return manager.provisioner


@asynccontextmanager
async def _running(manager: AsyncKernelManager) -> AsyncIterator[Running]:
    await manager.start_kernel()
    try:
        yield Running(manager)
    finally:
        await manager.shutdown_kernel(now=True)


def _told(lab: Lab, manager: KernelManager) -> Kernel | None:
    return next((kernel for kernel in lab.kernels if kernel.id == manager.kernel_id), None)


def test_the_kernel_is_the_process_that_jupyter_started(lab: Lab) -> None:
    """No launcher stands between them."""

    async def story() -> None:
        manager = _manager(lab, "lab")
        async with _running(manager) as kernel:
            assert int(await kernel.ask("__import__('os').getpid()")) == _of(manager).pid

    asyncio.run(story())


def test_who_looks_sees_which_revision_it_runs_and_whose_it_is(lab: Lab) -> None:
    async def story() -> None:
        manager = _manager(lab, "lab")
        async with _running(manager) as kernel:
            known = _of(manager).kernel
            assert known is not None
            assert (known.environment, known.revision, known.id) == ("lab", 2, manager.kernel_id)
            assert await kernel.revision() == 2
            await eventually(lambda: _told(lab, manager) == known)
        assert _told(lab, manager) is None

    asyncio.run(story())


def test_a_restart_by_the_user_takes_the_head(lab: Lab) -> None:
    name = lab.clone("restarted")

    async def story() -> None:
        manager = _manager(lab, name)
        async with _running(manager) as kernel:
            assert await kernel.revision() == 1
            await asyncio.to_thread(lab.move_on, name)
            assert await kernel.revision() == 1
            await manager.restart_kernel()
            assert await kernel.revision() == 2
            known = _of(manager).kernel
            assert known is not None
            assert known.revision == 2

    asyncio.run(story())


def test_a_forced_restart_by_the_user_takes_the_head_too(lab: Lab) -> None:
    name = lab.clone("forced")

    async def story() -> None:
        manager = _manager(lab, name)
        async with _running(manager) as kernel:
            await asyncio.to_thread(lab.move_on, name)
            await manager.restart_kernel(now=True)
            assert await kernel.revision() == 2

    asyncio.run(story())


def test_a_kernel_that_was_told_to_stay_keeps_its_revision(lab: Lab) -> None:
    name = lab.clone("staying")

    async def story() -> None:
        manager = _manager(lab, name)
        async with _running(manager) as kernel:
            await asyncio.to_thread(lab.move_on, name)
            _of(manager).stay = True
            await manager.restart_kernel()
            assert await kernel.revision() == 1
            _of(manager).stay = False
            await manager.restart_kernel()
            assert await kernel.revision() == 2

    asyncio.run(story())


def test_a_restart_after_a_crash_keeps_the_revision_and_the_next_one_takes_the_head(lab: Lab) -> None:
    name = lab.clone("crashing")

    async def story() -> None:
        options = {"config": Config({"KernelRestarter": {"time_to_dead": 0.2}})}
        spec = lab.server_spec(name)
        specs = lab.specs(provisioner=True)
        manager = AsyncIOLoopKernelManager(kernel_name=spec, kernel_spec_manager=specs, **options)
        async with _running(manager) as kernel:
            await kernel.ready()
            await asyncio.to_thread(lab.move_on, name)
            first = _of(manager).pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            await eventually(lambda: _of(manager).pid != first)
            assert await kernel.revision() == 1
            await manager.restart_kernel()
            assert await kernel.revision() == 2

    asyncio.run(story())


def test_a_pinned_kernel_stays_with_its_revision(lab: Lab) -> None:
    async def story() -> None:
        manager = _manager(lab, "lab", 1)
        async with _running(manager) as kernel:
            assert await kernel.revision() == 1
            await manager.restart_kernel()
            assert await kernel.revision() == 1

    asyncio.run(story())


def test_a_head_that_cannot_be_started_leaves_a_restarted_kernel_where_it_was(lab: Lab) -> None:
    """The old kernel is gone by then, and Jupyter would leave the notebook without any."""
    name = lab.clone("losing")

    async def story() -> None:
        manager = _manager(lab, name)
        async with _running(manager) as kernel:
            assert _of(manager).notice is None
            await asyncio.to_thread(lab.ok, "uninstall", name, "ipykernel")
            await manager.restart_kernel()
            assert await kernel.revision() == 1
            notice = _of(manager).notice
            assert notice is not None
            assert notice.startswith("The kernel stayed on r1: losing@2 has no ipykernel")
            await asyncio.to_thread(lab.ok, "restore", name, "1")
            await manager.restart_kernel()
            assert await kernel.revision() == 3
            assert _of(manager).notice is None

    asyncio.run(story())


@pytest.mark.parametrize(
    ("name", "revision", "status", "sentence"),
    [
        ("bare", None, 409, "bare@1 has no ipykernel, so no kernel can be started in it. envpanel install bare"),
        ("nosuch", None, 404, "There is no environment 'nosuch'"),
        ("lab", 9, 404, "lab has no revision 9"),
    ],
)
def test_what_cannot_be_started_is_a_sentence_at_once(
    lab: Lab, name: str, revision: int | None, status: int, sentence: str
) -> None:
    async def story() -> None:
        manager = _manager(lab, name, revision)
        with pytest.raises(KernelRefused) as refused:
            await manager.start_kernel()
        assert str(refused.value).startswith(sentence)
        assert refused.value.status_code == status
        # What Jupyter's handler of kernels shows, and that of sessions: str().
        assert refused.value.log_message == str(refused.value)

    asyncio.run(story())


def test_the_lease_is_the_kernels_alone_and_ends_with_it(lab: Lab) -> None:
    async def story() -> None:
        manager = _manager(lab, "lab")
        ready = lab.path("lab").parent / "READY-1.json"
        assert not leases.is_held(ready)
        async with _running(manager) as kernel:
            await kernel.ready()
            assert leases.is_held(ready)
            pid = _of(manager).pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: not leases.is_held(ready))

    asyncio.run(story())


def test_a_start_that_fails_half_way_gives_the_lease_back(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        manager = _manager(lab, "lab")
        monkeypatch.setattr(manager, "write_connection_file", _full)
        with pytest.raises(OSError, match="full"):
            await manager.start_kernel()
        assert not leases.is_held(lab.path("lab").parent / "READY-1.json")

    asyncio.run(story())


def _full(**_: object) -> None:
    raise OSError("the disk is full")


class _Recording(HomeLaunches):
    """What a server registers: it knows the user, adds a variable, and tells a panel."""

    def __init__(self, lab: Lab) -> None:
        self.reports: list[tuple[str, str, str]] = []
        self.told: list[tuple[str, str]] = []
        super().__init__(lab.environments, ANA, self._note)

    def _note(self, kernel_id: str, name: str, progress: Progress) -> None:
        self.reports.append((kernel_id, name, progress.phase))

    def variables(self, kernel_id: str) -> Mapping[str, str]:
        return {"ENVPANEL_TOKEN": f"token of {kernel_id}"}

    async def started(self, kernel: Kernel) -> None:
        self.told.append(("started", kernel.id))
        await super().started(kernel)

    async def ended(self, kernel: Kernel) -> None:
        self.told.append(("ended", kernel.id))
        await super().ended(kernel)


def test_what_a_server_registers_is_asked_and_told(lab: Lab) -> None:
    launches = _Recording(lab)
    lab.unbuilt("watched")

    async def story() -> None:
        manager = _manager(lab, "watched")
        async with _running(manager) as kernel:
            assert await kernel.ask("__import__('os').environ['ENVPANEL_TOKEN']") == f"'token of {manager.kernel_id}'"
            await eventually(lambda: _told(lab, manager) is not None)
            told = _told(lab, manager)
            assert told is not None
            assert told.author == ANA
        assert (manager.kernel_id, "watched", "installing") in launches.reports
        assert launches.told == [("started", manager.kernel_id), ("ended", manager.kernel_id)]

    unregister = provisioner.register(lab.home, launches)
    try:
        asyncio.run(story())
    finally:
        unregister()


class _Broken(HomeLaunches):
    """Its build fails, or what it is told goes wrong."""

    fails = False

    async def prepare(self, kernel_id: str, name: str, number: int | None) -> Start:
        if self.fails:
            raise EngineFailed("The index is gone.", hint="Try again later.")
        return await super().prepare(kernel_id, name, number)

    async def started(self, kernel: Kernel) -> None:
        raise RuntimeError("nobody listens")


def test_a_kernel_starts_and_ends_though_telling_of_it_fails(lab: Lab) -> None:
    async def story() -> None:
        async with _running(_manager(lab, "lab")) as kernel:
            assert await kernel.revision() == 2

    unregister = provisioner.register(lab.home, _Broken(lab.environments, ANA))
    try:
        asyncio.run(story())
    finally:
        unregister()


def test_a_build_that_fails_is_its_sentence(lab: Lab) -> None:
    launches: Launches = _Broken(lab.environments, ANA)
    launches.fails = True  # type: ignore[attr-defined]
    unregister = provisioner.register(lab.home, launches)
    try:
        with pytest.raises(KernelRefused, match=r"The index is gone\. Try again later\."):
            asyncio.run(_manager(lab, "lab").start_kernel())
    finally:
        unregister()


def test_another_server_can_go_on_with_a_kernel(lab: Lab) -> None:
    async def story() -> None:
        manager = _manager(lab, "lab")
        async with _running(manager) as kernel:
            await kernel.ready()
            _of(manager).stay = True
            info = await _of(manager).get_provisioner_info()
            other = EnvPanelProvisioner(kernel_id="x", kernel_spec=manager.kernel_spec, parent=None)
            await other.load_provisioner_info(info)
            assert other.kernel == _of(manager).kernel
            assert other.stay

    asyncio.run(story())


def test_a_home_that_is_gone_is_a_sentence(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path)
    with pytest.raises(KernelRefused, match="is gone"):
        asyncio.run(_manager(other, "lab").start_kernel())
    assert not Path(other.home).exists()
