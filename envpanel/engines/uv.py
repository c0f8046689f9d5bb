"""The engine for packages from Python indexes: uv, driven by files that we write and texts that we read.

Resolves by `uv pip compile` to pylock.toml (PEP 751) and builds by `uv pip sync` from lines with hashes, so that a
build needs no address: the same lines install from any index, mirror or cache. Source distributions are built once
into wheels. A custom environment's lock has the hash of the wheel, which the home keeps; that of a bundled base has the
hash of the source, and each machine builds the wheel for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
import tempfile
import tomllib
import urllib.parse
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import tomli_w
from packaging.markers import Marker
from packaging.utils import canonicalize_name

from envpanel import process
from envpanel.engines.from_source import FromSource, Metadata, as_kept, sha256, source_of
from envpanel.engines.interface import Log, Report, Request, Resolution
from envpanel.engines.interpreters import Interpreter
from envpanel.engines.uv_texts import Downloads, NoWheels, not_done, unresolved, yanked
from envpanel.errors import EngineFailed, Unsatisfiable
from envpanel.model import requirements
from envpanel.model.lock import Lock, LockedPackage, lock
from envpanel.model.nouns import Origin, PlanWarning, Progress
from envpanel.model.target import Target
from envpanel.model.versions import is_prerelease
from envpanel.settings import Settings

OLD = timedelta(days=2 * 365)
"""A version this much older than the newest one is worth a warning."""

_PASSED_ON = frozenset(
    "UV_DEFAULT_INDEX UV_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_NO_INDEX UV_INDEX_STRATEGY UV_OFFLINE "  # noqa: SIM905
    "UV_KEYRING_PROVIDER UV_HTTP_TIMEOUT UV_HTTP_RETRIES UV_INSECURE_HOST UV_NATIVE_TLS UV_SYSTEM_CERTS "
    "UV_EXCLUDE_NEWER UV_CONCURRENT_DOWNLOADS UV_CONCURRENT_BUILDS UV_CONCURRENT_INSTALLS".split()
)
_CREDENTIAL = re.compile(r"UV_INDEX_[A-Z0-9_]+_(USERNAME|PASSWORD)")


class UvEngine:
    """uv with a cache of its own. `environ` is the caller's environment; only an allow-list of it is passed on."""

    def __init__(self, *, uv: str, cache: Path, environ: Mapping[str, str], settings: Settings) -> None:
        self._uv = uv
        self._cache = cache
        self._settings = settings
        self._env = _environment(environ, cache, settings)
        seconds = settings.limits.build_minutes * 60
        self._from_source = FromSource(cache / "from-source", run=self._run, env=self._env, seconds=seconds)

    async def resolve(self, request: Request, interpreter: Interpreter, *, report: Report, log: Log) -> Resolution:
        """See `Engine.resolve`."""
        report(Progress(phase="resolving"))
        target = Target(python=request.python)
        with _scratch() as scratch:
            await self._build_ahead(request, scratch, interpreter, report=report, log=log)
            output = scratch / "pylock.toml"
            lines = await self._compile_from_wheels(request, output, interpreter, log=log)
            tables = _applicable(output, target)
            preferred = (
                {(item.name, item.version): item for item in request.preferred.packages} if request.preferred else {}
            )
            locked: list[LockedPackage] = []
            wheels: dict[str, Path] = {}
            for table in tables:
                package = _chosen(table, target)
                if not package.is_wheel:
                    before = preferred.get((package.name, package.version))
                    if before is not None and package.sha256 in (before.sha256, before.source_sha256):
                        package = before
                    else:
                        path = await self._from_source.build(
                            package, _address(table), scratch, interpreter, report=report, log=log
                        )
                        package = await asyncio.to_thread(as_kept, package, path)
                        wheels[package.sha256] = path
                locked.append(package)
            fresh = [package for package in locked if (package.name, package.version) not in preferred]
            warnings = [*_withdrawn(lines, fresh), *_prereleases(request, fresh), *_from_source(fresh)]
            warnings += await self._old(request, fresh, interpreter, target)
        result = lock(locked, python=request.python, platform=target.platform)
        return Resolution(lock=result, warnings=tuple(warnings), wheels=wheels)

    async def needed_by(self, lock: Lock, request: Request, interpreter: Interpreter) -> Mapping[str, tuple[str, ...]]:
        """See `Engine.needed_by`: read from the comments that uv writes behind each pin."""
        with _scratch() as scratch:
            output = scratch / "requirements.txt"
            output.write_text("".join(f"{package.name}=={package.version}\n" for package in lock.packages))
            options = ["--annotation-style", "line", "--no-strip-extras"]
            known = await asyncio.to_thread(self._from_source.metadata, lock.packages, interpreter.minor)
            await self.compile(
                request.requirements,
                output,
                interpreter,
                request.python,
                options,
                hashes=False,
                metadata=known.values(),
            )
            text = output.read_text()
        needs: dict[str, tuple[str, ...]] = {}
        for name, via in re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==\S+.*?# via (.*)$", text, re.MULTILINE):
            others = [entry for entry in via.split(", ") if not entry.startswith("-r ") and "/" not in entry]
            needs[canonicalize_name(name)] = tuple(sorted({canonicalize_name(entry) for entry in others}))
        return {name: others for name, others in needs.items() if others}

    async def newest(
        self, request: Request, interpreter: Interpreter, *, log: Log
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """See `Engine.newest`: all anew, and each name alone."""
        target = Target(python=request.python)
        with _scratch() as scratch:
            output = scratch / "pylock.toml"
            await self._compile_from_wheels(replace(request, upgrade=None), output, interpreter, log=log)
            allowed = _versions(output, target)
        packages = request.preferred.packages if request.preferred is not None else ()
        # Without what they need nothing is built, be it a source distribution or not.
        options = ["--no-deps", "--only-binary", ":all:"]
        options += [part for item in packages if item.kept or not item.is_wheel for part in ("--no-binary", item.name)]
        names = sorted(package.name for package in packages)
        while names:
            with _scratch() as scratch:
                output = scratch / "pylock.toml"
                try:
                    await self.compile(names, output, interpreter, request.python, options, log=log)
                    return allowed, _versions(output, target)
                except Unsatisfiable as error:
                    # No index has it any more: the others are asked for again without it.
                    absent = {name for name in names if re.search(rf"(?<![\w.-]){name}(?![\w-])", error.message)}
                    if not absent:
                        raise
                    names = [name for name in names if name not in absent]
        return allowed, {}

    async def forget(self, packages: Collection[str], *, log: Log) -> None:
        """See `Engine.forget`."""
        if packages:
            with _scratch() as scratch:
                finished = await self._run(["cache", "clean", *sorted(packages)], scratch, on_line=log)
            if finished.code != 0:
                raise not_done(finished.lines, "uv's cache could not be cleaned", finished.code)
            await asyncio.to_thread(self._from_source.forget, packages)

    async def build(
        self,
        lock: Lock,
        directory: Path,
        interpreter: Interpreter,
        *,
        wheels: Path,
        pass_fds: tuple[int, ...],
        report: Report,
        log: Log,
    ) -> None:
        """See `Engine.build`."""
        total = len(lock.packages)
        report(Progress(phase="installing", total=total, unit="packages"))
        with _scratch() as scratch:
            digests = {item.name: item.sha256 for item in lock.packages}
            folders = [wheels.absolute()] if any(item.kept for item in lock.packages) else []
            # Of bundled bases alone: their identity is the source's hash, so each machine builds the wheel, once.
            for source in (item for item in lock.packages if not item.is_wheel):
                try:
                    wheel = await self._wheel(source, scratch, interpreter, pass_fds=pass_fds, report=report, log=log)
                except Unsatisfiable as error:
                    raise EngineFailed(f"{source.file} could not be had: {error.message}", hint=error.hint) from error
                digests[source.name] = await asyncio.to_thread(sha256, wheel)
                folders.append(wheel.parent.absolute())
            pins = scratch / "pins.txt"
            pins.write_text(
                "".join(f"{item.name}=={item.version} --hash=sha256:{digests[item.name]}\n" for item in lock.packages)
            )
            env = dict(self._env)
            if folders:
                # As addresses: in them the comma that may be in a folder's name is no separator.
                addresses = [folder.as_uri() for folder in folders]
                env["UV_FIND_LINKS"] = ",".join(filter(None, [env.get("UV_FIND_LINKS"), *addresses]))
            # What the cache has needs no question to the index.
            attempts = [["--offline"]] if env.get("UV_OFFLINE") else [["--offline"], []]
            for options in attempts:
                venv: list[str | Path] = ["venv", "--no-project", "--clear", "--python", interpreter.path, directory]
                finished = await self._run(venv, scratch, env=env, pass_fds=pass_fds)
                if finished.code == 0 and total:
                    argv: list[str | Path] = ["pip", "sync", pins, "--python", directory / "bin" / "python"]
                    argv += ["--require-hashes", "--strict", "--no-build", *options]
                    downloads = Downloads(report)
                    async with _counting(directory, total, report, downloads):
                        finished = await self._run(
                            argv, scratch, env=env, pass_fds=pass_fds, on_line=_both(log, downloads.line)
                        )
                if finished.code == 0:
                    break
                log(f"(exit code {finished.code})")
            else:
                raise not_done(finished.lines, "The packages could not be installed", finished.code)
        _check(lock, directory, interpreter)
        await asyncio.to_thread(self._from_source.take_in, lock, wheels)
        report(Progress(phase="installing", done=total, total=total, unit="packages"))

    async def _compile_from_wheels(
        self, request: Request, output: Path, interpreter: Interpreter, *, log: Log
    ) -> tuple[str, ...]:
        """Resolve without building anything, save for packages that come in no other form.

        Left alone, the resolver goes back through the years for a version that meets the requirements, and runs the
        code of each source distribution on its way.
        """
        before = request.preferred.packages if request.preferred is not None else ()
        kept = {package.name for package in before if package.kept or not package.is_wheel}
        kept = set() if request.upgrade is None else kept - request.upgrade
        if kept:
            # They stay as they are where that is possible, and may have wheels by now where it is not.
            with contextlib.suppress(Unsatisfiable):
                return await self._compile_allowing(kept, request, output, interpreter, log=log)
        return await self._compile_allowing(set(), request, output, interpreter, log=log)

    async def _compile_allowing(
        self, from_source: set[str], request: Request, output: Path, interpreter: Interpreter, *, log: Log
    ) -> tuple[str, ...]:
        before = request.preferred.packages if request.preferred is not None else ()
        known = await asyncio.to_thread(self._from_source.metadata, before, interpreter.minor)
        while True:
            if request.preferred is not None and request.upgrade is not None:
                output.write_text(request.preferred.to_toml())
            options = [part for name in sorted(request.upgrade or ()) for part in ("-P", name)]
            options += ["--only-binary", ":all:"]
            options += [part for name in sorted(from_source) for part in ("--no-binary", name)]
            told = {package: metadata for package, metadata in known.items() if package.name in from_source}
            try:
                lines = await self.compile(
                    request.requirements,
                    output,
                    interpreter,
                    request.python,
                    options,
                    constraints=request.constraints,
                    metadata=told.values(),
                    log=log,
                )
            except NoWheels as error:
                without = {
                    name
                    for name in error.packages - from_source
                    if not await self._has_wheels(name, request, interpreter)
                }
                if not without:
                    raise
                log(f"(only as source: {', '.join(sorted(without))})")
                from_source |= without
                continue
            sources = _sources(output)
            mine = {package: source_of(package) for package in told}
            others = [item for item, own in mine.items() if sources.get((item.name, item.version), own) != own]
            if not others:
                return lines
            # An index has another file for the version by now: it may need something else.
            for package in others:
                del known[package]

    async def _has_wheels(self, name: str, request: Request, interpreter: Interpreter) -> bool:
        """Whether the package, in a version that was asked for, can be had without building it."""
        asked = [line for line in request.requirements if requirements.parse(line).name == name]
        with _scratch() as scratch:
            try:
                options = ["--no-deps", "--only-binary", ":all:"]
                await self.compile(
                    asked or [name],
                    scratch / "pylock.toml",
                    interpreter,
                    request.python,
                    options,
                    constraints=request.constraints,
                )
            except Unsatisfiable:
                return False
        return True

    async def compile(
        self,
        lines: Sequence[str],
        output: Path,
        interpreter: Interpreter,
        python: str,
        options: Sequence[str] = (),
        *,
        constraints: Sequence[str] = (),
        hashes: bool = True,
        metadata: Collection[Metadata] = (),
        pass_fds: tuple[int, ...] = (),
        log: Log | None = None,
    ) -> tuple[str, ...]:
        """Write the lock of these requirements to `output`, with the pins that it may hold as preferences; uv's lines.

        What packages in `metadata` need is not asked of their files, so those of them that are source are not built.

        Raises:
            Unsatisfiable: no set of packages meets them.
            EngineFailed: no network, a failing build, too little time.
        """
        source = output.with_name("requirements.in")
        source.write_text("".join(f"{requirements.normalise(line)}\n" for line in lines))
        argv: list[str | Path] = ["pip", "compile", source.name, "-o", output.name, "--no-header"]
        argv += ["--python", interpreter.path, "--python-version", python]
        argv += [*(["--generate-hashes"] if hashes else []), *options]
        if constraints:
            bounds = output.with_name("constraints.txt")
            bounds.write_text("".join(f"{requirements.normalise(line)}\n" for line in constraints))
            argv += ["--constraints", bounds.name]
        if metadata:
            told = output.with_name("uv.toml")
            told.write_text(tomli_w.dumps({"dependency-metadata": list(metadata)}))
            argv += ["--config-file", told.name]
        # Not --quiet: it would also leave out the warning about yanked versions. The lock goes to standard output, too.
        finished = await self._run(argv, output.parent, on_line=log, pass_fds=pass_fds, streams="stderr")
        if finished.code != 0:
            raise unresolved(finished.lines, finished.code)
        return finished.lines

    async def _build_ahead(
        self, request: Request, scratch: Path, interpreter: Interpreter, *, report: Report, log: Log
    ) -> None:
        """Build the wheels of what stands in the lock as a source distribution, where it will most likely stay.

        Else uv would get the same file, and run its code, only to learn what it needs.
        """
        if request.preferred is None or request.upgrade is None:
            return
        asked = {parsed.name: parsed for parsed in map(requirements.parse, request.requirements)}
        for package in request.preferred.packages:
            if package.is_wheel or package.name in request.upgrade or package.name not in asked:
                continue
            if asked[package.name].specifier.contains(package.version, prereleases=True):
                with contextlib.suppress(Unsatisfiable):
                    await self._wheel(package, scratch, interpreter, report=report, log=log)

    async def _wheel(
        self,
        source: LockedPackage,
        scratch: Path,
        interpreter: Interpreter,
        *,
        pass_fds: tuple[int, ...] = (),
        report: Report,
        log: Log,
    ) -> Path:
        """The wheel of what stands in the lock as a source distribution.

        The indexes are asked where that is: a lock may have an address, but no build depends on it.

        Raises:
            Unsatisfiable: no index has that file any more.
        """
        found = self._from_source.find(source, interpreter.minor)
        if found is not None:
            return found
        output = scratch / "pylock.toml"
        lines = [f"{source.name}=={source.version}"]
        options = ["--no-deps", "--only-binary", ":all:", "--no-binary", source.name]
        await self.compile(lines, output, interpreter, interpreter.minor, options, pass_fds=pass_fds, log=log)
        (table,) = _tables(output)
        if table["sdist"]["hashes"]["sha256"] != source.sha256:
            raise Unsatisfiable(
                f"The index has another file for {source.name} {source.version}: its sha256 is another."
            )
        address = _address(table)
        return await self._from_source.build(
            source, address, scratch, interpreter, pass_fds=pass_fds, report=report, log=log
        )

    async def _old(
        self, request: Request, fresh: Sequence[LockedPackage], interpreter: Interpreter, target: Target
    ) -> list[PlanWarning]:
        """Packages whose version is years older than the newest that was asked for.

        The newest of those that look old is asked of the index again, each by itself. Where that cannot be answered
        there is no warning.
        """
        limit = datetime.now(UTC) - OLD
        suspects = {item.name: item for item in fresh if item.uploaded is not None and item.uploaded < limit}
        if not suspects:
            return []
        asked = [line for line in request.requirements if requirements.parse(line).name in suspects]
        lines = asked + sorted(suspects.keys() - {requirements.parse(line).name for line in asked})
        with _scratch() as scratch:
            output = scratch / "pylock.toml"
            try:
                await self.compile(
                    lines, output, interpreter, request.python, ["--no-deps"], constraints=request.constraints
                )
            except (EngineFailed, Unsatisfiable):
                return []
            newest = [_chosen(table, target) for table in _applicable(output, target)]
        warnings = []
        for package in newest:
            taken = suspects.get(package.name)
            if taken is None or taken.uploaded is None or package.uploaded is None:
                continue
            if package.uploaded - taken.uploaded > OLD:
                message = (
                    f"{taken.name} {taken.version} is of {taken.uploaded:%Y}; {package.version} of "
                    f"{package.uploaded:%Y} does not go with the other requirements."
                )
                warnings.append(PlanWarning(code="old-version", package=taken.name, message=message))
        return warnings

    async def _run(
        self,
        arguments: Sequence[str | Path],
        cwd: Path,
        *,
        env: Mapping[str, str] | None = None,
        on_line: Log | None = None,
        pass_fds: tuple[int, ...] = (),
        streams: process.Streams = "both",
    ) -> process.Finished:
        minutes = self._settings.limits.build_minutes
        try:
            return await process.run(
                [self._uv, *arguments],
                env=env or self._env,
                cwd=cwd,
                on_line=on_line,
                timeout=minutes * 60,
                pass_fds=pass_fds,
                streams=streams,
            )
        except process.TimedOut as error:
            raise EngineFailed(
                f"It took longer than {minutes:g} minutes and was ended.",
                hint="'limits.build_minutes' in settings.yaml allows more.",
            ) from error
        except OSError as error:
            raise EngineFailed(f"uv could not be started: {error.strerror}.") from error


@contextlib.asynccontextmanager
async def _counting(directory: Path, total: int, report: Report, downloads: Downloads) -> AsyncIterator[None]:
    """Report how many packages are there while the block runs: uv says it only at the end."""

    async def count() -> None:
        last = 0
        while True:
            await asyncio.sleep(0.2)
            here = len(await asyncio.to_thread(_dist_infos, directory))
            if here != last and not downloads.running:
                last = here
                report(Progress(phase="installing", done=min(here, total), total=total, unit="packages"))

    task = asyncio.create_task(count())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _dist_infos(prefix: Path) -> list[str]:
    return [path.name for path in prefix.glob("lib/python3.*/site-packages/*.dist-info")]


def _check(lock: Lock, directory: Path, interpreter: Interpreter) -> None:
    """What a hostile or broken wheel can do in spite of the installer: other packages, or another interpreter."""
    python = directory / "bin" / "python"
    if not os.path.lexists(python):
        raise EngineFailed("uv ended well, and what it made has no interpreter.")
    if not python.is_symlink() or os.path.realpath(python) != str(interpreter.path):
        raise EngineFailed("A package has replaced the interpreter of the environment; it is not to be trusted.")
    found = {canonicalize_name(name.removesuffix(".dist-info").partition("-")[0]) for name in _dist_infos(directory)}
    expected = {package.name for package in lock.packages}
    if found != expected:
        wrong = ", ".join(sorted(found ^ expected))
        raise EngineFailed(f"What was installed is not what the lock says; the difference is {wrong}.")


def _environment(environ: Mapping[str, str], cache: Path, settings: Settings) -> dict[str, str]:
    names = [*_PASSED_ON, *(name for name in environ if _CREDENTIAL.fullmatch(name))]
    env = process.allowed(environ, names)
    env |= {
        "UV_CACHE_DIR": str(cache),
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "PIP_NO_INPUT": "1",
        "LC_ALL": "C.UTF-8",
    }
    env.setdefault("PATH", os.defpath)
    if not {"UV_SYSTEM_CERTS", "UV_NATIVE_TLS", "SSL_CERT_FILE"} & env.keys() and _has_system_certificates():
        # As pip and the browser do: a company's own authority is in the system's store, not in uv's.
        env["UV_SYSTEM_CERTS"] = "1"
    # What the variables say goes before the project's settings.
    default = next((index for index in settings.indexes if index.default), None)
    if default is not None and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & env.keys():
        env["UV_DEFAULT_INDEX"] = f"{default.name}={default.url}"
    others = [f"{index.name}={index.url}" for index in settings.indexes if not index.default]
    if others:
        env["UV_INDEX"] = " ".join(filter(None, [env.get("UV_INDEX"), *others]))
    return env


def _has_system_certificates() -> bool:
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        return True
    return paths.capath is not None and any(os.scandir(paths.capath))


def _tables(output: Path) -> list[dict[str, Any]]:
    """The packages of a pylock.toml that uv wrote."""
    try:
        # No package at all: no such list.
        tables: list[dict[str, Any]] = tomllib.loads(output.read_text()).get("packages", [])
    except (OSError, ValueError) as error:
        raise EngineFailed("uv ended well, and wrote no lock that can be read.") from error
    return tables


def _applicable(output: Path, target: Target) -> list[dict[str, Any]]:
    """The packages of a pylock.toml that uv wrote whose markers hold here."""
    tables = _tables(output)
    return [table for table in tables if "marker" not in table or Marker(table["marker"]).evaluate(target.environment)]


def _sources(output: Path) -> dict[tuple[str, str], str]:
    """The sha256 of the source distributions in a pylock.toml that uv wrote, by name and version."""
    found = [table for table in _tables(output) if "sdist" in table]
    return {(canonicalize_name(item["name"]), item["version"]): item["sdist"]["hashes"]["sha256"] for item in found}


def _address(table: Mapping[str, Any]) -> str:
    return str(table["sdist"].get("url") or table["sdist"]["path"])


def _versions(output: Path, target: Target) -> dict[str, str]:
    return {str(canonicalize_name(table["name"])): str(table["version"]) for table in _applicable(output, target)}


def _chosen(table: Mapping[str, Any], target: Target) -> LockedPackage:
    files = {file_name(wheel): wheel for wheel in table.get("wheels", ())}
    name = target.best_wheel(files)
    if name is not None:
        file = files[name]
    elif "sdist" in table:
        file = table["sdist"]
        name = file_name(file)
    else:
        raise Unsatisfiable(
            f"{table['name']} {table['version']} has no file for {target.platform} and Python {target.python}."
        )
    address = file.get("url")
    return LockedPackage(
        name=canonicalize_name(table["name"]),
        version=table["version"],
        file=name,
        sha256=file["hashes"]["sha256"],
        # A file:// address means something on this machine only.
        url=process.redacted(address) if address and address.startswith("http") else None,
        size=file.get("size"),
        uploaded=file.get("upload-time"),
    )


def file_name(file: Mapping[str, Any]) -> str:
    """The name of a file in a pylock.toml: said there, or the end of its address."""
    if "name" in file:
        return str(file["name"])
    address = file.get("url") or file["path"]
    return urllib.parse.unquote(urllib.parse.urlsplit(str(address)).path.rsplit("/", 1)[-1])


def _withdrawn(lines: Sequence[str], fresh: Sequence[LockedPackage]) -> list[PlanWarning]:
    new = {package.name for package in fresh}
    found = yanked(lines).items()
    return [PlanWarning(code="yanked", package=name, message=message) for name, message in found if name in new]


def _prereleases(request: Request, fresh: Sequence[LockedPackage]) -> list[PlanWarning]:
    meant = {
        parsed.name
        for parsed in map(requirements.parse, request.requirements)
        if any(is_prerelease(specifier.version) for specifier in parsed.specifier)
    }
    return [
        PlanWarning(
            code="pre-release",
            package=package.name,
            message=f"{package.name} {package.version} is a pre-release: no final version meets all requirements.",
        )
        for package in fresh
        if is_prerelease(package.version) and package.name not in meant
    ]


def _from_source(fresh: Sequence[LockedPackage]) -> list[PlanWarning]:
    return [
        PlanWarning(
            code="built-from-source",
            package=package.name,
            message=f"{package.name} {package.version} has no wheel for this platform; its own code ran to build one.",
        )
        for package in fresh
        if package.origin is Origin.SDIST
    ]


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="envpanel-") as folder:
        yield Path(folder)


def _both(first: Callable[[str], None], second: Callable[[str], None]) -> Callable[[str], None]:
    def line(text: str) -> None:
        first(text)
        second(text)

    return line
