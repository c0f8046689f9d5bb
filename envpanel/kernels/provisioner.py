"""Starts kernels of environments inside a Jupyter server: as `launch` does, and without another process.

Jupyter makes a provisioner for each kernel whose kernelspec names it (`specs.PROVISIONER`), keeps it over restarts, and
asks it for the command. A first start and a restart by the user resolve the head. Jupyter's own restart after a crash
keeps the revision, and so does a kernel that was told to stay.

Who knows more of kernels than the home does, a server with users and a panel, registers its `Launches` for the home.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from tornado.web import HTTPError
from traitlets import Integer, Unicode

from envpanel.authors import os_author
from envpanel.errors import EnvPanelError, NotFound, Refused, StoreError
from envpanel.home import open_environments
from envpanel.kernels import start
from envpanel.kernels.kernel import Kernel, Kernels, started
from envpanel.kernels.specs import absolute
from envpanel.kernels.start import Start
from envpanel.model import wire
from envpanel.model.nouns import Author, Progress
from envpanel.service import Environments

_PATIENCE = 5.0
"""Seconds that the end of a kernel waits for a store that does not answer."""


class Launches(Protocol):
    """What kernels of one home are started by."""

    async def prepare(self, kernel_id: str, name: str, number: int | None) -> Start:
        """The revision, or the head, built and leased.

        Raises:
            EnvPanelError: no kernel can be started in it; what it says is shown to the user.
        """

    def author(self) -> Author:
        """Who starts a kernel now: called in the context of the request."""

    def variables(self, kernel_id: str) -> Mapping[str, str]:
        """Further variables for the kernel."""

    async def started(self, kernel: Kernel) -> None:
        """It runs. Whatever this raises is logged."""

    async def ended(self, kernel: Kernel) -> None:
        """It was shut down. Whatever this raises is logged."""


_registered: dict[str, Launches] = {}


def register(where: str, launches: Launches) -> Callable[[], None]:
    """Have the kernels of this home started by these; the answer takes that back."""
    key = absolute(where)
    _registered[key] = launches

    def unregister() -> None:
        if _registered.get(key) is launches:
            del _registered[key]

    return unregister


class HomeLaunches(Launches):
    """Launches by the home alone: kernels are the OS user's, and noted in the home.

    `report` gets the id of the kernel, the environment's name and how far its build is.
    """

    def __init__(
        self,
        environments: Environments,
        author: Author,
        report: Callable[[str, str, Progress], None] = lambda *_: None,
    ) -> None:
        self._environments = environments
        self._author = author
        self._report = report
        self._kernels = Kernels(environments.ledger.store, environments.cache)

    async def prepare(self, kernel_id: str, name: str, number: int | None) -> Start:
        def report(progress: Progress) -> None:
            self._report(kernel_id, name, progress)

        return await start.for_kernel(self._environments, name, number, report=report)

    def author(self) -> Author:
        return self._author

    def variables(self, kernel_id: str) -> Mapping[str, str]:
        return {}

    async def started(self, kernel: Kernel) -> None:
        # Members who may only read run kernels, too.
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(self._kernels.put, kernel)

    async def ended(self, kernel: Kernel) -> None:
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(self._kernels.drop, kernel)


class KernelRefused(HTTPError):
    """A kernel that cannot be started: Jupyter's handlers show the sentence, `str` of it is nothing else."""

    def __init__(self, error: EnvPanelError) -> None:
        status = 404 if isinstance(error, NotFound) else 409 if isinstance(error, Refused) else 500
        self.sentence = f"{error.message} {error.hint or ''}".rstrip()
        super().__init__(status, self.sentence)

    def __str__(self) -> str:
        return self.sentence


class EnvPanelProvisioner(LocalProvisioner):
    """The kernel of an environment. A server reads and sets:

    - `kernel`: the revision it runs, whose it is, since when; None before the first start.
    - `stay`: whether it keeps that revision over restarts by the user, too.
    - `notice`: a sentence where a restart kept the revision because the head could not be started, else None.
    """

    home = Unicode(help="The home: a folder or an address.")
    environment = Unicode(help="The name of the environment.")
    pinned = Integer(None, allow_none=True, help="The revision that it always runs; None: that of the head.")

    kernel: Kernel | None = None
    stay: bool = False
    notice: str | None = None

    _launches: Launches | None = None
    _start: Start | None = None
    _author: Author | None = None
    _telling: asyncio.Task[None] | None = None
    # Whether somebody wanted the kernel that ran last to end, before it did.
    _ended_on_demand = False

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Prepare the revision, and put its command and variables in the place of the kernelspec's."""
        self._close()
        try:
            launches = await self._find_launches()
            crashed = self.kernel is not None and not self._ended_on_demand
            self._author = self.kernel.author if self.kernel is not None and crashed else launches.author()
            self._start = ready = await self._prepare(launches, stay=crashed or self.stay)
            # Jupyter takes ports from here on, so that a build before it may take its time.
            kwargs = await super().pre_launch(**kwargs)
            asked = start.for_notebook(absolute(self.home), sys.executable)
            variables = {**kwargs["env"], **asked, **launches.variables(self.kernel_id)}
        except BaseException as error:
            self._close()
            if isinstance(error, EnvPanelError):
                raise KernelRefused(error) from error
            raise
        self._ended_on_demand = False
        kwargs["cmd"] = ready.kernel(_behind_target(kwargs["cmd"]))
        kwargs["env"] = ready.variables(variables)
        kwargs["pass_fds"] = (*kwargs.get("pass_fds", ()), ready.lease)
        return kwargs

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start it; from now on the lease is the kernel's own."""
        try:
            info = await super().launch_kernel(cmd, **kwargs)
            ready, launches, author = self._start, self._launches, self._author
            process = self.process
            assert ready is not None
            assert launches is not None
            assert author is not None
            assert process is not None
            self.kernel = started(ready, self.kernel_id, author, pid=process.pid)
            # It is on its way; what tells others of it may take the time of a network.
            self._tell(launches.started(self.kernel))
        finally:
            self._close()
        return info

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Jupyter asks kernels to end on behalf of users only: one that has crashed it ends at once."""
        self._ended_on_demand = True
        await super().shutdown_requested(restart=restart)

    async def kill(self, restart: bool = False) -> None:
        """One that is killed while it runs is so on behalf of somebody."""
        if self.has_process and await self.poll() is None:
            self._ended_on_demand = True
        await super().kill(restart=restart)

    async def cleanup(self, restart: bool = False) -> None:
        """Forget the kernel, unless it comes back."""
        self._close()
        if not restart and self.kernel is not None and self._launches is not None:
            self._tell(self._launches.ended(self.kernel))
            if self._telling is not None:
                await asyncio.wait([self._telling], timeout=_PATIENCE)
        await super().cleanup(restart=restart)

    async def get_provisioner_info(self) -> dict[str, Any]:
        """What a later server needs to go on with this kernel."""
        info: dict[str, Any] = await super().get_provisioner_info()
        kernel = wire.plain(self.kernel) if self.kernel is not None else None
        return {**info, "envpanel": {"kernel": kernel, "stay": self.stay, "notice": self.notice}}

    async def load_provisioner_info(self, provisioner_info: dict[str, Any]) -> None:
        """Go on with the kernel of an earlier server."""
        await super().load_provisioner_info(provisioner_info)
        kept = provisioner_info.get("envpanel", {})
        kernel = kept.get("kernel")
        self.kernel = wire.read(kernel, Kernel) if kernel is not None else None
        self.stay, self.notice = bool(kept.get("stay")), kept.get("notice")

    async def _prepare(self, launches: Launches, *, stay: bool) -> Start:
        self.notice = None
        before = self.kernel.revision if self.kernel is not None else None
        number = before if stay and before is not None else self.pinned
        try:
            return await launches.prepare(self.kernel_id, self.environment, number)
        except EnvPanelError as error:
            if before is None or number is not None:
                raise
            # The kernel that ran is gone already. Jupyter would leave the notebook without any.
            ready = await launches.prepare(self.kernel_id, self.environment, before)
            self.notice = f"The kernel stayed on r{before}: {error.message}"
            self.log.warning("envpanel: %s", self.notice)
            return ready

    async def _find_launches(self) -> Launches:
        registered = _registered.get(absolute(self.home))
        if registered is not None:
            self._launches = registered
        elif self._launches is None:
            if "://" not in self.home and not Path(self.home).is_dir():
                raise NotFound(f"{self.home} is gone, and with it the environment {self.environment}.")
            environments = await asyncio.to_thread(open_environments, self.home, os.environ)
            self._launches = HomeLaunches(environments, os_author(os.environ))
        return self._launches

    def _tell(self, telling: Awaitable[None]) -> None:
        before = self._telling

        async def tell() -> None:
            if before is not None:
                await asyncio.wait([before])
            try:
                await telling
            except Exception:
                self.log.warning("envpanel: what was to be told of a kernel was not", exc_info=True)

        self._telling = asyncio.create_task(tell())

    def _close(self) -> None:
        if self._start is not None:
            self._start.close()
            self._start = None


def _behind_target(command: Sequence[str]) -> list[str]:
    """The arguments that are ipykernel's in the command of a kernelspec: the connection file, and what users add."""
    return list(command[command.index("-f") :])
