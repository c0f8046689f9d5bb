"""What kernels of a server are started by: the user who asked, the home, and the builds of this server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jupyter_server.base.call_context import CallContext
from tornado.web import RequestHandler

from envpanel.engines.interface import Log, Report
from envpanel.kernels.provisioner import HomeLaunches
from envpanel.kernels.start import Start, for_kernel
from envpanel.model.nouns import Author
from envpanel.server.project import Project
from envpanel.service import Environments


class ServerLaunches(HomeLaunches):
    """Kernels of this server's project: each is that of the user whose request starts it.

    A prefix that has to be made for one is a build of the server, so everybody sees how far it is.
    """

    def __init__(
        self, project: Project, environments: Environments, author_of: Callable[[RequestHandler], Author]
    ) -> None:
        super().__init__(environments, project.author)
        self._project = project
        self._author_of = author_of

    def author(self) -> Author:
        """Who has sent the request that is being answered; the OS user where there is none."""
        handler = CallContext.get(CallContext.JUPYTER_HANDLER)
        if handler is not None and handler.current_user is not None:
            return self._author_of(handler)
        return super().author()

    async def prepare(self, kernel_id: str, name: str, number: int | None) -> Start:
        """See `Launches.prepare`."""
        environments = await self._project.environments()
        record = await asyncio.to_thread(environments.show, name, number)
        if await environments.prefix(record) is not None:
            return await for_kernel(environments, name, number)
        made: list[Start] = []

        async def build(environments: Environments, report: Report, log: Log) -> None:
            made.append(await for_kernel(environments, name, number, report=report, follow=log))

        build_id = self._project.start(build, environments, environment=name, operation="build", author=self.author())
        try:
            await self._project.running.result(build_id)
        except asyncio.CancelledError:
            # Nobody waits for the kernel any more.
            await self._project.running.cancel(build_id)
            for start in made:
                start.close()
            raise
        return made[0]
