"""Measures, side by side, what envpanel takes and what uv or pip alone take for the same. `make bench`.

A benchmark, not a test: it asserts nothing, and writes docs/benchmarks.md with how and where it was measured. Ratios
are medians of paired runs, the two in turn, for the speed of a machine drifts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from live_server import LiveServer
from uv import find_uv_bin

from envpanel import __version__
from envpanel.history.index import Index
from envpanel.history.ledger import Ledger
from envpanel.history.store import FolderStore
from envpanel.home import open_environments, prepare
from envpanel.kernels.provisioner import HomeLaunches, register
from envpanel.kernels.specs import Spec, SpecFolder
from envpanel.model.change import Describe, Install
from envpanel.model.diff import diff
from envpanel.model.lock import Lock
from envpanel.model.nouns import Author, Group, Package, Record, Via
from envpanel.prefixes.prefix import remove_tree
from envpanel.service import Environments, Signature

ROOT = Path(__file__).parents[1]
BY = Signature(author=Author(username="bench", name="bench"), via=Via.CLI)

MEDIUM = (  # Resolves to about 75 packages.
    "ipykernel ipywidgets numpy pandas scipy scikit-learn matplotlib seaborn plotly polars pyarrow duckdb requests "
    "httpx sqlalchemy fastapi pydantic jinja2 openpyxl joblib"
)
LARGE = (  # Resolves to about 190 packages.
    f"{MEDIUM} jupyterlab dask[complete] spacy lightgbm boto3 altair networkx sympy nltk flask pytest hypothesis black "
    "mypy"
)

Verb = Callable[[], Coroutine[Any, Any, object]]


@dataclass(frozen=True)
class Row:
    """A line of the report: seconds of each run of both sides, in turn."""

    what: str
    mine: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(a / b for a, b in zip(self.mine, self.theirs, strict=True))

    def markdown(self) -> str:
        mine, theirs = statistics.median(self.mine), statistics.median(self.theirs)
        return f"| {self.what} | {mine:.4f} s | {theirs:.4f} s | {self.ratio:.3f} | {len(self.mine)} |"


def main() -> None:
    """Measure, print, and write the report."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--runs", type=int, default=7, help="pairs of each comparison with uv")
    parser.add_argument("--pip-runs", type=int, default=1, help="runs of venv and pip, which take minutes; 0 for none")
    parser.add_argument("--revisions", type=int, default=10_000, help="length of the long history")
    parser.add_argument("--environments", type=int, default=500, help="how many the server lists")
    parser.add_argument("--print", action="store_true", help="leave docs/benchmarks.md as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="envpanel-bench-") as folder:
        work = Path(folder)
        parts = [_head(options.runs)]
        sizes: dict[str, dict[str, float]] = {}
        for title, specs in (("medium", MEDIUM.split()), ("large", LARGE.split())):
            text, medians = _environment_part(work / title, title, specs, options.runs, options.pip_runs)
            parts.append(text)
            sizes[title] = medians
        parts.append(_growth(sizes))
        parts.append(_history_part(work / "history", options.revisions))
        parts.append(_server_part(work / "server", options.environments))
    report = "\n".join(parts)
    print(report)
    if not options.print:
        (ROOT / "docs" / "benchmarks.md").write_text(report, encoding="utf-8")


def _head(runs: int) -> str:
    uv = subprocess.run([find_uv_bin(), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    day = time.strftime("%Y-%m-%d")
    return f"""# Benchmarks

Written by `make bench` on {day}: envpanel {__version__}, uv {uv}, Python {platform.python_version()},
{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB. Times are medians; a ratio is the
median of the ratios of {runs} paired runs (envpanel, then the other): below 1, envpanel is faster. Single times vary
with the machine's other work; ratios are what to look at. Packages come from the real index, and are in uv's cache
before anything is measured.
"""


# Environments


def _environment_part(
    work: Path, title: str, specs: list[str], runs: int, pip_runs: int
) -> tuple[str, dict[str, float]]:
    work.mkdir()
    home = str(work / ".envpanel")
    prepare(home)
    environments = open_environments(home, {**os.environ, "ENVPANEL_CACHE": str(work / "user-cache")})
    _say(f"building the {title} environment")
    change = environments.creating(specs, group=Group.MODEL_TRAINING)
    record = asyncio.run(environments.change("bench", change, by=BY)).record
    asyncio.run(environments.change("bench", Install.of("cowsay"), by=BY))
    lock = environments.lock(environments.show("bench"))
    uv = _uv(lock, work, Path(home))
    count = iter(range(1_000_000))

    def clone() -> Coroutine[Any, Any, object]:
        return environments.change(f"clone-{next(count)}", environments.cloning("bench"), by=BY)

    def restore() -> Coroutine[Any, Any, object]:
        number = environments.show("bench").number - 1
        return environments.change("bench", environments.restoring("bench", number), by=BY)

    def describe() -> Coroutine[Any, Any, object]:
        return environments.change("bench", Describe(description=str(next(count))), by=BY)

    rows = []
    for what, verb in (("clone", clone), ("restore", restore), ("describe", describe)):
        _say(f"{title}: {what}")
        rows.append(Row(what, *_pairs(lambda verb=verb: _timed(verb()), uv, runs)))  # type: ignore[misc]
    _say(f"{title}: one more package")
    rows.append(Row("one more package, all compiled", *_pairs(lambda: _one_more(environments, work), uv, runs)))
    _say(f"{title}: one more package and the first import")
    importing = [sys.executable, "-c", "import pandas"]
    more = Row(
        "one more package, to the end of the first `import pandas`",
        *_pairs(
            lambda: _one_more(environments, work, "import pandas"), lambda: uv() + _first_import(work, importing), runs
        ),
    )
    rows.append(more)
    kernels = _kernel_rows(environments, work, runs) if title == "medium" else []
    lines = [
        f"\n## {len(record.packages)} packages, against uv",
        "\n`uv venv` and `uv pip sync` of the same lines with hashes, offline, nothing compiled. envpanel's times are",
        "those of the service's call; the plan of one more package is resolved before. Its prefixes are compiled.\n",
        "| | envpanel | uv alone | ratio | pairs |",
        "|---|---|---|---|---|",
        *(row.markdown() for row in rows),
    ]
    if kernels:
        lines += [
            "\nA kernel, from the click to its first answer, against `ipykernel` alone in the same directory:\n",
            "| | envpanel | ipykernel | ratio | pairs |",
            "|---|---|---|---|---|",
            *(row.markdown() for row in kernels),
        ]
    before = _disk(Path(home))
    asyncio.run(clone())
    cloned = _disk(Path(home)) - before
    asyncio.run(restore())
    restored = _disk(Path(home)) - before - cloned
    _one_more(environments, work, keep=True)
    grown = _disk(Path(home)) - before - cloned - restored
    lines += [
        f"\nDisk, shared files counted once: a clone {cloned / 1024:.0f} KiB, a restore {restored / 1024:.0f} KiB,",
        f"one more package {grown / 2**20:.1f} MiB (directories, mostly), the first revision {before / 2**20:.0f} MiB",
        "with uv's cache.",
    ]
    if pip_runs:
        _say(f"{title}: venv and pip, which takes minutes")
        pip = _pip(lock, work)
        row = Row("clone, against `python -m venv` and pip", *_pairs(lambda: _timed(clone()), pip, pip_runs, warm=True))
        lines += ["\n| | envpanel | venv and pip | ratio | pairs |", "|---|---|---|---|---|", row.markdown()]
    remove_tree(work)
    return "\n".join(lines), {row.what: statistics.median(row.mine) for row in rows}


def _kernel_rows(environments: Environments, work: Path, runs: int) -> list[Row]:
    record = environments.show("bench")
    prefix = asyncio.run(environments.prefix(record))
    assert prefix is not None
    home = str(work / ".envpanel")
    specs = Spec(environment="bench", group=record.group)
    SpecFolder(path=work / "server", home=home, provisioner=True).write(specs)
    SpecFolder(path=work / "headless", home=home).write(specs)
    plain = work / "plain" / specs.name
    plain.mkdir(parents=True)
    argv = [str(prefix.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    content = {"argv": argv, "display_name": "plain", "language": "python"}
    (plain / "kernel.json").write_text(json.dumps(content), encoding="utf-8")
    unregister = register(home, HomeLaunches(environments, BY.author))

    def start(folder: str) -> float:
        async def ready() -> float:
            found = KernelSpecManager(kernel_dirs=[str(work / folder)], ensure_native_kernel=False)
            manager = AsyncKernelManager(kernel_name=specs.name, kernel_spec_manager=found)
            started = time.perf_counter()
            await manager.start_kernel(stderr=subprocess.DEVNULL)
            client = manager.client()
            client.start_channels()
            await client.wait_for_ready(timeout=60)
            taken = time.perf_counter() - started
            client.stop_channels()
            await manager.shutdown_kernel(now=True)
            return taken

        return asyncio.run(ready())

    rows = []
    for what, folder in (
        ("in a server, by the provisioner", "server"),
        ("without a server, by the launcher", "headless"),
    ):
        _say(f"kernels {what}")
        rows.append(Row(what, *_pairs(lambda folder=folder: start(folder), lambda: start("plain"), 2 * runs)))  # type: ignore[misc]
    unregister()
    return rows


def _growth(sizes: dict[str, dict[str, float]]) -> str:
    rows = [
        f"| {what} | {sizes['large'][what] / medium:.2f} |"
        for what, medium in sizes["medium"].items()
        if what in ("clone", "restore", "describe")
    ]
    return "\n".join(["\n## Time with the large set / time with the medium one\n", "| | ratio |", "|---|---|", *rows])


def _timed(work: Coroutine[Any, Any, object]) -> float:
    """Of the call alone: servers have an event loop already."""

    async def call() -> float:
        started = time.perf_counter()
        await work
        return time.perf_counter() - started

    return asyncio.run(call())


def _one_more(environments: Environments, work: Path, code: str | None = None, *, keep: bool = False) -> float:
    """Apply a plan that adds a package; with `code`, until that has run there.

    Its prefix is moved away and not removed: a file system that has just removed tens of thousands of files is three
    times slower in making others, whoever makes them.
    """
    name = f"more-{time.monotonic_ns()}"
    asyncio.run(environments.change(name, environments.cloning("bench", 1), by=BY))
    preview = asyncio.run(environments.preview(name, Install.of("pyfiglet")))
    os.sync()
    started = time.perf_counter()
    record = asyncio.run(environments.apply(preview.id, by=BY)).record
    prefix = asyncio.run(environments.prefix(record))
    assert prefix is not None
    if code is not None:
        subprocess.run([prefix.python, "-c", code], check=True)
    taken = time.perf_counter() - started
    if not keep:
        prefix.path.parent.rename(work / name)
    return taken


def _pairs(
    mine: Callable[[], float], theirs: Callable[[], float], runs: int, *, warm: bool = True
) -> tuple[list[float], list[float]]:
    own, others = [], []
    for run in range(-1 if warm else 0, runs):
        one, other = mine(), theirs()
        if run >= 0:
            own.append(one)
            others.append(other)
    return own, others


def _uv(lock: Lock, work: Path, home: Path) -> Callable[[], float]:
    pins = work / "pins.txt"
    pins.write_text("".join(f"{item.name}=={item.version} --hash=sha256:{item.sha256}\n" for item in lock.packages))
    cache = home / "cache" / "uv" / str(os.getuid())
    wheels = home / "cache" / "wheels" / lock.content_id()[:20]
    env = {**os.environ, "UV_CACHE_DIR": str(cache), "UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}
    if wheels.is_dir():
        env["UV_FIND_LINKS"] = str(wheels)
    latest = work / "uv-alone"

    def run() -> float:
        # A new one each time: see `_one_more`.
        target = work / f"uv-alone-{time.monotonic_ns()}"
        commands: list[list[str | Path]] = [
            [find_uv_bin(), "venv", "--quiet", "--python", Path(sys.executable).resolve(), target],
            [find_uv_bin(), "pip", "sync", "--quiet", "--python", target / "bin" / "python", pins],
        ]
        os.sync()
        started = time.perf_counter()
        for command in commands:
            subprocess.run(command, env=env, check=True)
        taken = time.perf_counter() - started
        latest.unlink(missing_ok=True)
        latest.symlink_to(target)
        return taken

    return run


def _first_import(work: Path, importing: list[str]) -> float:
    """Of pandas, in what uv has just made."""
    started = time.perf_counter()
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([work / "uv-alone" / "bin" / "python", *importing[1:]], check=True, env=env)
    return time.perf_counter() - started


def _pip(lock: Lock, work: Path) -> Callable[[], float]:
    pins = work / "pip.txt"
    pins.write_text("".join(f"{item.name}=={item.version}\n" for item in lock.packages if not item.kept))
    target = work / "pip-alone"

    def run() -> float:
        shutil.rmtree(target, ignore_errors=True)
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", target], check=True)
        pip = [target / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "-r", pins]
        subprocess.run(pip, check=True, env={**os.environ, "PIP_CACHE_DIR": str(work / "pip-cache")})
        return time.perf_counter() - started

    return run


def _disk(folder: Path) -> int:
    """Bytes below a folder, each file once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for where, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            status = os.lstat(os.path.join(where, name))
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
    return total


# History


def _history_part(work: Path, revisions: int) -> str:
    work.mkdir()
    _say(f"writing {revisions} revisions of 300 packages")
    ledger = Ledger(FolderStore(work / "home"))
    record = _first(ledger)
    started = time.perf_counter()
    while record.number < revisions:
        record = ledger.commit(_after(record))
    appending = (time.perf_counter() - started) / max(revisions - 1, 1)
    path = work / "index.sqlite"
    started = time.perf_counter()
    Index(ledger, path).history("long", limit=1)
    rebuild = time.perf_counter() - started
    index = Index(ledger, path)
    index.history("long", limit=1)
    page = _median(lambda: index.history("long", limit=50, before=revisions // 2))
    newest = _median(lambda: index.history("long", limit=50))
    filtered = _median(lambda: index.history("long", limit=50, package="package-7"))
    old, new = ledger.get("long", 1), ledger.get("long", revisions)
    comparing = _median(lambda: diff(old.packages, new.packages))
    reading = _median(lambda: ledger.get("long", revisions).packages)
    one, many = _writers(work / "one", 1), _writers(work / "eight", 8)
    rows = (
        (f"a history page of 50 of {revisions}, in the middle", f"{page * 1000:.1f} ms"),
        ("the newest page", f"{newest * 1000:.1f} ms"),
        ("a page of the revisions that touched a package", f"{filtered * 1000:.1f} ms"),
        ("a diff of two revisions", f"{comparing * 1000:.2f} ms"),
        ("the packages of a revision, read and checked", f"{reading * 1000:.1f} ms"),
        (f"the index of {revisions} revisions, built anew", f"{rebuild:.1f} s"),
        ("a commit, durable", f"{appending * 1000:.1f} ms"),
        ("commits per second, 1 process", f"{one:.0f}"),
        ("commits per second, 8 processes on one environment, without a lock", f"{many:.0f}"),
    )
    lines = [
        f"\n## A history of {revisions} revisions of 300 packages, in process\n",
        "| | |",
        "|---|---|",
        *(f"| {what} | {value} |" for what, value in rows),
    ]
    return "\n".join(lines) + "\n"


# The server


def _server_part(work: Path, environments: int) -> str:
    """A real server on a project of so many environments, asked by one client over one connection."""
    home = work / "project" / ".envpanel"
    _say(f"writing {environments} environments of 300 packages")
    ledger = Ledger(FolderStore(home))
    record = _first(ledger, "environment-0")
    for number in range(1, environments):
        ledger.commit(replace(record, environment=f"environment-{number}", id=f"{number:032x}", digest=""))
    for number in range(2, 101):
        record = ledger.commit(replace(_after(record), id=f"{number + environments:032x}"))
    server = LiveServer(work / "project", work / "private", {**os.environ, "ENVPANEL_CACHE": str(work / "cache")})
    try:
        started = time.perf_counter()
        client = HTTPConnection("127.0.0.1", server.port)
        first = _ask(client, server, "environments")
        listing = first, _rate(lambda: _ask(client, server, "environments"))
        history = _rate(lambda: _ask(client, server, "environments/environment-0/revisions?limit=50"))
        nothing = _rate(lambda: _ask(client, server, ""))
        print(f"({time.perf_counter() - started:.0f} s)", file=sys.stderr)
    finally:
        server.kill()
    rows = (
        (f"the list of {environments}, the first time", f"{listing[0] * 1000:.0f} ms"),
        (f"the list of {environments}", f"{listing[1]:.0f} requests/s"),
        ("a page of 50 revisions of 300 packages", f"{history:.0f} requests/s"),
        ("what the server is (no work at all)", f"{nothing:.0f} requests/s"),
    )
    lines = ["\n## The server, asked by one client\n", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {what} | {value} |" for what, value in rows)]) + "\n"


def _ask(client: HTTPConnection, server: LiveServer, path: str) -> float:
    """Seconds until all of the answer is there."""
    started = time.perf_counter()
    client.request("GET", f"/envpanel/{path}".rstrip("/"), headers={"Authorization": f"token {server.token}"})
    answer = client.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    return time.perf_counter() - started


def _rate(call: Callable[[], object], seconds: float = 5.0) -> float:
    """Calls per second."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        call()
        count += 1
    return count / (time.perf_counter() - started)


def _first(ledger: Ledger, name: str = "long") -> Record:
    packages = tuple(Package(name=f"package-{number}", version="1.0", since=1) for number in range(300))
    empty = diff((), ())
    digest = ledger.put_blob(b"lock")
    from envpanel.model.nouns import Digests, Kind

    draft = Record(
        id="0" * 32,
        number=1,
        parent=None,
        environment=name,
        kind=Kind.CUSTOM,
        group=Group.MODEL_TRAINING,
        description="",
        author=BY.author,
        via=BY.via,
        created="2026-01-01T00:00:00Z",
        operation="create",
        python="3.11",
        platform="linux-x86_64",
        requirements=(),
        packages=packages,
        diff=empty,
        digests=Digests(lock=digest, yaml=digest),
        content_id="0" * 64,
    )
    return ledger.commit(draft)


def _after(record: Record) -> Record:
    """The next revision: one of the packages has a newer version."""
    number = record.number + 1
    at = number % 300
    changed = replace(record.packages[at], version=f"1.{number}", since=number)
    packages = (*record.packages[:at], changed, *record.packages[at + 1 :])
    return replace(
        record,
        id=f"{os.getpid():08x}{number:024x}",
        number=number,
        parent=record.number,
        previous=record.digest,
        operation="upgrade",
        packages=packages,
        diff=diff(record.packages, packages),
        digest="",
    )


def _writers(work: Path, processes: int, each: int = 100) -> float:
    """Commits per second of so many processes that append to one environment, each with `each` commits."""
    work.mkdir()
    _say(f"{processes} writing process(es)")
    _first(Ledger(FolderStore(work / "home")))
    context = multiprocessing.get_context("spawn")
    started = context.Barrier(processes + 1)
    running = [context.Process(target=_append, args=(work / "home", each, started)) for _ in range(processes)]
    for process in running:
        process.start()
    started.wait()
    began = time.perf_counter()
    for process in running:
        process.join()
    taken = time.perf_counter() - began
    assert Ledger(FolderStore(work / "home")).head("long").number == 1 + processes * each
    return processes * each / taken


def _append(home: Path, count: int, started: Any) -> None:
    from envpanel.errors import KeyExists

    ledger = Ledger(FolderStore(home))
    started.wait()
    for _ in range(count):
        while True:
            try:
                ledger.commit(_after(ledger.head("long")))
                break
            except KeyExists:
                continue


def _median(call: Callable[[], object], runs: int = 30) -> float:
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
