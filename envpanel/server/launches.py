"""What kernels of a server are started by: the user who asked, the home, and the builds of this server.

And their logins: the notebook side of a kernel asks this server for more, as that user.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from jupyter_server.auth import User
from jupyter_server.base.call_context import CallContext
from tornado.web import RequestHandler

from envpanel.engines.interface import Log, Report
from envpanel.kernels.kernel import Kernel, told_id
from envpanel.kernels.provisioner import HomeLaunches
from envpanel.kernels.start import Start, for_kernel
from envpanel.model.nouns import Author
from envpanel.server.project import Project
from envpanel.service import Environments


@dataclass(frozen=True, kw_only=True)
class KernelLogin:
    """Who asks from within a kernel: the user who has started it, and the author of what is changed there.

    `token` is the kernel's secret; it is good for envpanel's routes only.
    """

    author: Author
    user: User
    token: str = field(repr=False)


class KernelLogins:
    """The logins of the kernels that run. A token is known from its kernel's start to its end, and by nobody else.

    It says whose a change is and limits accidents; it is no wall between programs of one OS user.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._users: dict[str, dict[str, User]] = {}
        self._logins: dict[str, KernelLogin] = {}

    def issue(self, kernel_id: str, author: Author, user: User | None) -> str:
        """A token for a kernel that is about to start, which counts once it has `begun`; an earlier one is void."""
        kernel_id = told_id(kernel_id)
        self._logins.pop(kernel_id, None)
        if user is not None:
            self._users.setdefault(kernel_id, {})[author.username] = user
        self._tokens[kernel_id] = secrets.token_urlsafe(32)
        return self._tokens[kernel_id]

    def begun(self, kernel: Kernel) -> None:
        """It runs, and is this author's: after a crash that of before, whoever has asked for anything last."""
        token = self._tokens.pop(kernel.id, None)
        if token is not None:
            author = kernel.author
            # The user as the identity provider had made them: an authorizer may look at more than the name.
            user = self._users.get(kernel.id, {}).get(author.username)
            user = user or User(username=author.username, name=author.name, display_name=author.name)
            self._logins[kernel.id] = KernelLogin(author=author, user=user, token=token)

    def ended(self, kernel: Kernel) -> None:
        """Its token is void."""
        for known in (self._tokens, self._users, self._logins):
            known.pop(kernel.id, None)

    def clear(self) -> None:
        """All are void."""
        for known in (self._tokens, self._users, self._logins):
            known.clear()

    def of(self, token: str) -> KernelLogin | None:
        """Whose token this is; None for one that is nobody's, or no more."""
        given = token.encode(errors="replace")
        # Each is compared, and all of it, so that the time taken tells nothing.
        found = [login for login in self._logins.values() if hmac.compare_digest(login.token.encode(), given)]
        return found[0] if found else None


def address_of(server: Any) -> str:
    """Where the kernels of a Jupyter server reach it; its own ways of saying so name a page, or hold its token."""
    if server.sock:
        return f"http+unix://{quote(server.sock, safe='')}{server.base_url}"
    ip = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.ip, server.ip)
    host = f"[{ip}]" if ":" in ip else ip
    return f"{'https' if server.certfile else 'http'}://{host}:{server.port}{server.base_url}"


class ServerLaunches(HomeLaunches):
    """Kernels of this server's project: each is that of the user whose request starts it.

    A prefix that has to be made for one is a build of the server, so everybody sees how far it is.
    """

    def __init__(
        self,
        project: Project,
        environments: Environments,
        author_of: Callable[[RequestHandler], Author],
        *,
        logins: KernelLogins,
        address: Callable[[], str],
    ) -> None:
        super().__init__(environments, project.author)
        self._project = project
        self._author_of = author_of
        self._logins = logins
        self._address = address

    def author(self) -> Author:
        """Who has sent the request that is being answered; the OS user where there is none."""
        handler = CallContext.get(CallContext.JUPYTER_HANDLER)
        if handler is not None and handler.current_user is not None:
            return self._author_of(handler)
        return super().author()

    def variables(self, kernel_id: str) -> Mapping[str, str]:
        """Where the notebook side reaches this server, and the token of this kernel."""
        handler = CallContext.get(CallContext.JUPYTER_HANDLER)
        user = handler.current_user if handler is not None else None
        token = self._logins.issue(kernel_id, self.author(), user)
        return {"ENVPANEL_SERVER_URL": self._address(), "ENVPANEL_TOKEN": token}

    async def started(self, kernel: Kernel) -> None:
        """See `Launches.started`."""
        self._logins.begun(kernel)
        await super().started(kernel)

    async def ended(self, kernel: Kernel) -> None:
        """See `Launches.ended`."""
        # First, and whatever becomes of the rest.
        self._logins.ended(kernel)
        await super().ended(kernel)

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
