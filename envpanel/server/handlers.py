"""The routes: nouns in the path, a verb of the service behind each method."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from envpanel import __version__
from envpanel.catalog.catalog import PackageInfo, Search
from envpanel.engines.interface import Log, Report
from envpanel.errors import InvalidInput, NotFound, RecordDamaged
from envpanel.history.attempts import Attempt
from envpanel.history.index import HistoryEntry
from envpanel.kernels.kernel import Kernel, Kernels, behind
from envpanel.kernels.provisioner import EnvPanelProvisioner
from envpanel.model.change import Change
from envpanel.model.diff import Diff
from envpanel.model.nouns import PYTHONS, Kind, Progress, Record, RevisionRef, State, Via
from envpanel.model.target import default_python, this_platform
from envpanel.server.project import Work
from envpanel.server.requests import (
    BuildBody,
    ChangeBody,
    DiffQuery,
    HistoryQuery,
    LimitQuery,
    LinesQuery,
    ListQuery,
    NoQuery,
    PackageQuery,
    PreviewQuery,
    SearchQuery,
    StayBody,
    VerifyBody,
)
from envpanel.server.rest import Handler, operation
from envpanel.server.running import Build, BuildState
from envpanel.service import Environment, Environments, Outcome, Preview, Signature

_AT_ONCE = 2.0
"""Seconds that a request waits for work that takes no time; what takes longer is answered with a build."""

NAME = r"(?P<name>[^/]+)"
NUMBER = r"(?P<number>[1-9][0-9]{0,7})"


@dataclass(frozen=True, kw_only=True)
class About:
    """What this server is, and which project it serves. `pythons` can be asked for; `python` is taken else."""

    version: str
    home: str
    platform: str
    pythons: tuple[str, ...]
    python: str
    user: str
    verified: bool


@dataclass(frozen=True, kw_only=True)
class EnvironmentList:
    """Environments in the order of lists; `next`: ask with `after` this name for more, None at the end.

    Where a package was asked for, `versions` tells by the name of the environment which version it has.
    """

    environments: tuple[Environment, ...]
    next: str | None
    versions: dict[str, str] | None


@dataclass(frozen=True, kw_only=True)
class EnvironmentDetail:
    """An environment, and the record of its head."""

    environment: Environment
    head: Record


@dataclass(frozen=True, kw_only=True)
class History:
    """Lines of the history, newest first; `next`: ask with `before` this number for more, None at the end."""

    revisions: tuple[HistoryEntry, ...]
    next: int | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is different in `new`."""

    old: RevisionRef
    new: RevisionRef
    diff: Diff


@dataclass(frozen=True, kw_only=True)
class AttemptList:
    """Changes that ended badly, newest first."""

    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, kw_only=True)
class BuildList:
    """The builds of this server, newest first."""

    builds: tuple[Build, ...]


@dataclass(frozen=True, kw_only=True)
class KernelView:
    """A kernel; `behind`: so many revisions after its own have brought other packages, None where its environment is
    gone. `here`: it is one of this server. It keeps its revision when it is restarted where it is to `stay`; `notice`
    is a sentence where it had to."""

    kernel: Kernel
    behind: int | None
    here: bool
    stay: bool
    notice: str | None


@dataclass(frozen=True, kw_only=True)
class KernelList:
    """The kernels of the project that run."""

    kernels: tuple[KernelView, ...]


class AboutHandler(Handler):
    """The server itself."""

    @operation("What this server is, and which project it serves.", action="read", answers={200: About})
    async def get(self, query: NoQuery) -> None:
        author = self.author
        self.answer(
            About(
                version=__version__,
                home=self.project.where,
                platform=this_platform(),
                pythons=PYTHONS,
                python=default_python(),
                user=author.name,
                verified=author.verified,
            )
        )


class _ListHandler(Handler):
    async def _list(self, query: ListQuery, found: list[Environment]) -> EnvironmentList:
        found = [item for item in found if query.archived or item.state is not State.ARCHIVED]
        versions = None
        if query.package is not None:
            environments = await self.project.environments()
            versions = await asyncio.to_thread(environments.having, query.package, found)
            found = [item for item in found if item.name in versions]
        return _page(found, query, versions)


class EnvironmentsHandler(_ListHandler):
    """All environments."""

    @operation(
        "All environments, by what they are for.", action="read", query=ListQuery, answers={200: EnvironmentList}
    )
    async def get(self, query: ListQuery) -> None:
        self.answer(await self._list(query, await self.project.overview()))


class BasesHandler(_ListHandler):
    """The bases: what can be cloned and never changes."""

    @operation("The base environments.", action="read", query=ListQuery, answers={200: EnvironmentList})
    async def get(self, query: ListQuery) -> None:
        bases = [item for item in await self.project.overview() if item.kind is Kind.BASE]
        self.answer(await self._list(query, bases))


class EnvironmentHandler(Handler):
    """One environment."""

    @operation("An environment, and the record of its head.", action="read", answers={200: EnvironmentDetail})
    async def get(self, name: str, query: NoQuery) -> None:
        environments = await self.project.environments()
        environment = await environments.environment(name)
        head = await asyncio.to_thread(environments.show, name, environment.head)
        self.answer(EnvironmentDetail(environment=environment, head=head))


class RevisionsHandler(Handler):
    """The history of an environment."""

    @operation(
        "The history: what changed, who did it, when and why; newest first.",
        action="read",
        query=HistoryQuery,
        answers={200: History},
    )
    async def get(self, name: str, query: HistoryQuery) -> None:
        environments = await self.project.environments()
        entries = await asyncio.to_thread(
            environments.history, name, limit=query.limit, before=query.before, package=query.package
        )
        more = len(entries) == query.limit and entries[-1].number > 1
        self.answer(History(revisions=tuple(entries), next=entries[-1].number if more else None))


class RevisionHandler(Handler):
    """One revision."""

    @operation("The record of a revision.", action="read", answers={200: Record})
    async def get(self, name: str, number: str, query: NoQuery) -> None:
        environments = await self.project.environments()
        self.answer(await asyncio.to_thread(environments.show, name, int(number)))


class _FileHandler(Handler):
    kind: str
    media = "text/plain"

    async def send(self, name: str, number: str) -> None:
        environments = await self.project.environments()

        def read() -> str:
            return environments.file(environments.show(name, int(number)), self.kind)

        self.answer_text(await asyncio.to_thread(read), self.media)


class YamlHandler(_FileHandler):
    """The environment.yml of a revision."""

    kind, media = "yaml", "application/yaml"

    @operation("The environment.yml of exact pins.", action="read", answers={200: str}, media="application/yaml")
    async def get(self, name: str, number: str, query: NoQuery) -> None:
        await self.send(name, number)


class LockHandler(_FileHandler):
    """The pylock.toml of a revision."""

    kind, media = "lock", "application/toml"

    @operation("The pylock.toml (PEP 751).", action="read", answers={200: str}, media="application/toml")
    async def get(self, name: str, number: str, query: NoQuery) -> None:
        await self.send(name, number)


class LogHandler(_FileHandler):
    """What resolver and installer had said."""

    kind = "log"

    @operation("What resolver and installer had said.", action="read", answers={200: str}, media="text/plain")
    async def get(self, name: str, number: str, query: NoQuery) -> None:
        await self.send(name, number)


class CommandsHandler(_FileHandler):
    """The scripts that ran for a revision."""

    kind = "commands"

    @operation("The scripts that ran for a revision.", action="read", answers={200: str}, media="text/plain")
    async def get(self, name: str, number: str, query: NoQuery) -> None:
        await self.send(name, number)


class DiffHandler(Handler):
    """What is different between two revisions."""

    @operation(
        "What is different between two revisions; without `from` and `other`, what the revision itself changed.",
        action="read",
        query=DiffQuery,
        answers={200: Comparison},
    )
    async def get(self, name: str, query: DiffQuery) -> None:
        environments = await self.project.environments()

        def compare() -> Comparison:
            if query.other is None and query.from_ is None:
                new = environments.show(name, query.to)
                old = environments.show(name, new.parent) if new.parent else new
                return Comparison(old=old.ref, new=new.ref, diff=new.diff)
            old = environments.show(name, query.from_)
            new = environments.show(query.other or name, query.to)
            return Comparison(old=old.ref, new=new.ref, diff=environments.diff(old, new))

        self.answer(await asyncio.to_thread(compare))


class ChangesHandler(Handler):
    """Changes of an environment."""

    @operation(
        "Change an environment, or make one, by an intent or by the plan of a preview. What takes no time is done at "
        "once (201, or 200 where nothing was to do); all else goes on as a build (202, Location). With `preview=1` the "
        "result of the build is a preview with the id of a plan.",
        action="write",
        query=PreviewQuery,
        body=ChangeBody,
        answers={200: Outcome, 201: Outcome, 202: Build},
    )
    async def post(self, name: str, query: PreviewQuery, body: ChangeBody) -> None:
        environments = await self.project.environments(writing=True)
        by = Signature(author=self.author, via=Via(body.via), message=body.message)
        if (body.change is None) == (body.plan is None):
            raise InvalidInput("Give either a change or a plan.")
        if body.plan is not None:
            if query.preview:
                raise InvalidInput("A plan has been previewed; it can only be applied.")
            await self._begin(name, "apply", _applying(name, body.plan, by), environments)
            return
        assert body.change is not None
        change = await asyncio.to_thread(body.change.change, environments, name)
        if query.preview:
            await self._begin(name, change.operation, _previewing(name, change), environments, preview=True)
        else:
            await self._begin(name, change.operation, _changing(name, change, by), environments)

    async def _begin(
        self, name: str, what: str, work: Work, environments: Environments, *, preview: bool = False
    ) -> None:
        """Answer with the outcome where it is there at once, and with the error; else with the build."""
        build_id = self.project.start(
            work, environments, environment=name, operation=what, author=self.author, preview=preview
        )
        build = await self.project.running.begun(build_id, _AT_ONCE)
        if build.state is BuildState.SUCCEEDED and isinstance(build.result, Outcome):
            if build.operation == "clone":
                self._build_clone(name, environments)
            number = build.result.record.number
            self.answer(
                build.result,
                201 if build.result.changed else 200,
                location=f"environments/{name}/revisions/{number}",
            )
        else:
            self.answer(build, 202, location=f"builds/{build_id}")

    def _build_clone(self, name: str, environments: Environments) -> None:
        """A clone can be used at once where its source is built here; where not, that begins now."""

        async def work(environments: Environments, report: Report, log: Log) -> None:
            if await environments.prefix(await asyncio.to_thread(environments.show, name)) is None:
                await environments.build(name, report=report, follow=log)

        self.project.start(work, environments, environment=name, operation="build", author=self.author)


class AttemptsHandler(Handler):
    """Changes that ended badly."""

    @operation(
        "Changes that failed, were cancelled or interrupted; the environment need not exist.",
        action="read",
        query=LimitQuery,
        answers={200: AttemptList},
    )
    async def get(self, name: str, query: LimitQuery) -> None:
        environments = await self.project.environments()
        found = await asyncio.to_thread(environments.attempts, name, limit=query.limit)
        self.answer(AttemptList(attempts=tuple(found)))


class AttemptHandler(Handler):
    """One of them."""

    @operation("A change that ended badly.", action="read", answers={200: Attempt})
    async def get(self, name: str, attempt_id: str, query: NoQuery) -> None:
        environments = await self.project.environments()
        self.answer(await asyncio.to_thread(environments.attempt, name, attempt_id))


class AttemptLogHandler(Handler):
    """Its log."""

    @operation("What resolver and installer had said.", action="read", answers={200: str}, media="text/plain")
    async def get(self, name: str, attempt_id: str, query: NoQuery) -> None:
        environments = await self.project.environments()

        def read() -> str:
            return environments.attempt_log(environments.attempt(name, attempt_id))

        self.answer_text(await asyncio.to_thread(read), "text/plain")


class OutdatedHandler(Handler):
    """Which packages could be newer."""

    @operation(
        "Which packages could be newer, and whether the requirements allow it: the result of a build.",
        action="execute",
        answers={202: Build},
    )
    async def post(self, name: str, query: NoQuery) -> None:
        environments = await self.project.environments()

        async def work(environments: Environments, report: Report, log: Log) -> Any:
            report(Progress(phase="resolving"))
            return await environments.outdated(name)

        await asyncio.to_thread(environments.show, name)
        self.accept(work, environments, environment=name, operation="outdated", preview=True)


class BuildsHandler(Handler):
    """What runs in this server."""

    @operation("The builds of this server, newest first.", action="read", answers={200: BuildList})
    async def get(self, query: NoQuery) -> None:
        self.answer(BuildList(builds=tuple(self.project.running.list())))

    @operation("Build what a revision needs on this machine.", action="execute", body=BuildBody, answers={202: Build})
    async def post(self, query: NoQuery, body: BuildBody) -> None:
        environments = await self.project.environments(writing=True)
        await asyncio.to_thread(environments.show, body.environment, body.revision)

        async def work(environments: Environments, report: Report, log: Log) -> None:
            await environments.build(body.environment, body.revision, report=report, follow=log)

        self.accept(work, environments, environment=body.environment, operation="build")


class BuildHandler(Handler):
    """One build."""

    @operation(
        "A build: its state, how far it is, and the end of its log.",
        action="read",
        query=LinesQuery,
        answers={200: Build},
    )
    async def get(self, build_id: str, query: LinesQuery) -> None:
        self.answer(self.project.running.get(build_id, lines=query.lines))

    @operation("Cancel a build, with all programs that it has started.", action="execute", answers={200: Build})
    async def delete(self, build_id: str, query: NoQuery) -> None:
        self.answer(await self.project.running.cancel(build_id))


class VerificationsHandler(Handler):
    """Checks of the history and of the files."""

    @operation(
        "Check the history and every file of what is built here; with `repair`, mend it. The result is of a build.",
        action="execute",
        body=VerifyBody,
        answers={202: Build},
    )
    async def post(self, query: NoQuery, body: VerifyBody) -> None:
        environments = await self.project.environments()
        if body.environment is not None:
            await environments.environment(body.environment)

        async def work(environments: Environments, report: Report, log: Log) -> Any:
            return await environments.verify(body.environment, body.revision, repair=body.repair, report=report)

        self.accept(work, environments, environment=body.environment, operation="verify")


class PackagesHandler(Handler):
    """The packages that the indexes have."""

    @operation(
        "Packages by name, best first: exactly, by a beginning or a part, or but for a typo.",
        action="read",
        query=SearchQuery,
        answers={200: Search},
    )
    async def get(self, query: SearchQuery) -> None:
        environments = await self.project.environments()
        self.answer(await environments.search(query.query, limit=query.limit))


class PackageHandler(Handler):
    """One of them."""

    @operation(
        "A package and its versions, newest first.", action="read", query=PackageQuery, answers={200: PackageInfo}
    )
    async def get(self, package: str, query: PackageQuery) -> None:
        environments = await self.project.environments()
        self.answer(await environments.package(package, python=query.python))


class KernelsHandler(Handler):
    """The kernels of the project."""

    @operation(
        "The kernels that run: on which revision, whose, and how far behind the head.",
        action="read",
        answers={200: KernelList},
    )
    async def get(self, query: NoQuery) -> None:
        environments = await self.project.environments()
        here = dict(_provisioners(self.kernel_manager))

        def told() -> list[KernelView]:
            found = {kernel.id: kernel for kernel in Kernels(environments.ledger.store, environments.cache).list()}
            # What a hint has not reached yet, or could not.
            found |= {key: each.kernel for key, each in here.items() if each.kernel is not None}
            return [_view(environments, kernel, here.get(kernel.id)) for kernel in found.values()]

        self.answer(KernelList(kernels=tuple(await asyncio.to_thread(told))))


class KernelHandler(Handler):
    """One kernel of this server."""

    @operation(
        "Have a kernel of this server keep its revision over restarts, or follow the head again.",
        action="execute",
        body=StayBody,
        answers={200: KernelView},
    )
    async def patch(self, kernel_id: str, query: NoQuery, body: StayBody) -> None:
        environments = await self.project.environments()
        provisioner = dict(_provisioners(self.kernel_manager)).get(kernel_id)
        if provisioner is None or provisioner.kernel is None:
            raise NotFound(f"This server runs no kernel {kernel_id[:80]!r} in an environment of the project.")
        provisioner.stay = body.stay
        self.answer(await asyncio.to_thread(_view, environments, provisioner.kernel, provisioner))


class UnknownHandler(Handler):
    """Everything else below envpanel/."""

    @operation("No such route.", action="read", answers={})
    async def get(self, query: NoQuery) -> None:
        raise NotFound(
            f"There is nothing at {self.request.path[:200]}.", hint="envpanel/openapi.json lists all routes."
        )


def _changing(name: str, change: Change, by: Signature) -> Work:
    async def work(environments: Environments, report: Report, log: Log) -> Outcome:
        return await environments.change(name, change, by=by, report=report, follow=log)

    return work


def _previewing(name: str, change: Change) -> Work:
    async def work(environments: Environments, report: Report, log: Log) -> Preview:
        return await environments.preview(name, change, report=report, follow=log)

    return work


def _applying(name: str, plan: str, by: Signature) -> Work:
    async def work(environments: Environments, report: Report, log: Log) -> Outcome:
        return await environments.apply(plan, by=by, report=report, follow=log)

    return work


def _provisioners(manager: Any) -> Iterator[tuple[str, EnvPanelProvisioner]]:
    """The provisioners of this server's kernels in environments, by the ids of the kernels."""
    for kernel_id in manager.list_kernel_ids():
        provisioner = getattr(manager.get_kernel(kernel_id), "provisioner", None)
        if isinstance(provisioner, EnvPanelProvisioner):
            yield kernel_id, provisioner


def _view(environments: Environments, kernel: Kernel, provisioner: EnvPanelProvisioner | None) -> KernelView:
    count: int | None = None
    with contextlib.suppress(NotFound, RecordDamaged):
        count = behind(environments, kernel)
    return KernelView(
        kernel=kernel,
        behind=count,
        here=provisioner is not None,
        stay=provisioner is not None and provisioner.stay,
        notice=provisioner.notice if provisioner is not None else None,
    )


def _page(found: list[Environment], query: ListQuery, versions: dict[str, str] | None) -> EnvironmentList:
    names = [item.name for item in found]
    start = names.index(query.after) + 1 if query.after in names else 0
    page = found[start : start + query.limit]
    more = start + query.limit < len(found)
    return EnvironmentList(environments=tuple(page), next=page[-1].name if more and page else None, versions=versions)


ROUTES: tuple[tuple[str, type[Handler]], ...] = (
    (r"", AboutHandler),
    (r"environments", EnvironmentsHandler),
    (rf"environments/{NAME}", EnvironmentHandler),
    (rf"environments/{NAME}/revisions", RevisionsHandler),
    (rf"environments/{NAME}/revisions/{NUMBER}", RevisionHandler),
    (rf"environments/{NAME}/revisions/{NUMBER}/yaml", YamlHandler),
    (rf"environments/{NAME}/revisions/{NUMBER}/lock", LockHandler),
    (rf"environments/{NAME}/revisions/{NUMBER}/log", LogHandler),
    (rf"environments/{NAME}/revisions/{NUMBER}/commands", CommandsHandler),
    (rf"environments/{NAME}/diff", DiffHandler),
    (rf"environments/{NAME}/changes", ChangesHandler),
    (rf"environments/{NAME}/outdated", OutdatedHandler),
    (rf"environments/{NAME}/attempts", AttemptsHandler),
    (rf"environments/{NAME}/attempts/(?P<attempt_id>[^/]+)", AttemptHandler),
    (rf"environments/{NAME}/attempts/(?P<attempt_id>[^/]+)/log", AttemptLogHandler),
    (r"bases", BasesHandler),
    (r"builds", BuildsHandler),
    (r"builds/(?P<build_id>[^/]+)", BuildHandler),
    (r"verifications", VerificationsHandler),
    (r"packages", PackagesHandler),
    (r"packages/(?P<package>[^/]+)", PackageHandler),
    (r"kernels", KernelsHandler),
    (r"kernels/(?P<kernel_id>[^/]+)", KernelHandler),
)
"""Below `envpanel/`, without the end of the line."""
