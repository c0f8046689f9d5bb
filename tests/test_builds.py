"""A prefix is built once, by one builder at a time, with a log; what fails or is cancelled leaves nothing."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from factories import record
from fake_engine import FakeEngine, locked
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from uv import find_uv_bin
from wheelhouse import Distribution, HttpIndex, Wheelhouse, make_wheel

from envpanel.builds import BuildLog, Builds, prefix_key, turn
from envpanel.engines.interface import Engine, Request
from envpanel.engines.interpreters import Interpreter, Interpreters
from envpanel.engines.uv import UvEngine
from envpanel.errors import EngineFailed, EnvPanelError, OtherPlatform, StoreError
from envpanel.history.ledger import Ledger
from envpanel.history.store import FolderStore
from envpanel.model import wire
from envpanel.model.lock import Lock, LockedPackage, lock
from envpanel.model.nouns import Origin, Progress, Record
from envpanel.model.target import default_python, this_platform
from envpanel.prefixes.bytecode import site_packages
from envpanel.prefixes.prefix import Prefix, Prefixes
from envpanel.settings import Settings

PYTHON = default_python()
PACKAGES = {"alpha": ("1.0", "2.0"), "beta": ("1.0",), "gamma": ("1.0",)}


class Machine:
    """The builds of one cache, by one engine, and what they said."""

    def __init__(self, root: Path, engine: Engine) -> None:
        self.root = root
        self.engine = engine
        self.cache = root / "cache"
        self.ledger = Ledger(FolderStore(root / "home"))
        self.prefixes = Prefixes(self.cache / "prefixes")
        self.interpreters = Interpreters(find_uv_bin(), os.environ)
        self.log: list[str] = []
        self.progress: list[Progress] = []

    @property
    def builds(self) -> Builds:
        """A new object for each call, as each process has its own."""
        return Builds(
            ledger=self.ledger,
            prefixes=self.prefixes,
            engine=self.engine,
            interpreters=self.interpreters,
            cache=self.cache,
        )

    @property
    def interpreter(self) -> Interpreter:
        return asyncio.run(self.interpreters.find(PYTHON))

    def ensuring(self, wanted: Lock) -> Coroutine[Any, Any, Prefix]:
        return self.builds.ensure(wanted.content_id(), wanted, report=self.progress.append, log=self.log.append)

    def ensure(self, wanted: Lock) -> Prefix:
        return asyncio.run(self.ensuring(wanted))

    def lock(self, *lines: str) -> Lock:
        asked = Request(requirements=lines, python=PYTHON)
        call = self.engine.resolve(asked, self.interpreter, report=lambda _: None, log=lambda _: None)
        return asyncio.run(call).lock

    def record(self, wanted: Lock, **other: Any) -> Record:
        return record(python=PYTHON, platform=wanted.platform, content_id=wanted.content_id(), **other)

    def left(self) -> list[str]:
        """All that is below the folder of prefixes, save the folders of the keys."""
        return sorted(str(path.relative_to(self.prefixes.root)) for path in self.prefixes.root.glob("*/*"))

    def directories(self) -> list[Path]:
        """The built directories, finished or not."""
        return sorted(path for path in self.prefixes.root.glob("*/*") if path.is_dir())

    def builders(self) -> int:
        """How often the fake engine was asked to build."""
        assert isinstance(self.engine, FakeEngine)
        return sum(call.verb == "build" for call in self.engine.calls)


def house_at(root: Path) -> Wheelhouse:
    house = Wheelhouse(root)
    house.add(*(Distribution(name=name, version=v) for name, versions in PACKAGES.items() for v in versions))
    return house.write()


def uv_engine(root: Path, index: str) -> UvEngine:
    environ = {"HOME": str(root), "UV_DEFAULT_INDEX": index}
    return UvEngine(uv=find_uv_bin(), cache=root / "uv", environ=environ, settings=Settings())


@pytest.fixture
def fake(tmp_path: Path) -> Machine:
    return Machine(tmp_path, FakeEngine({name: {v: [] for v in versions} for name, versions in PACKAGES.items()}))


@pytest.fixture
def http(tmp_path: Path) -> Iterator[HttpIndex]:
    with HttpIndex(house_at(tmp_path / "house")) as index:
        yield index


@pytest.fixture(params=["fake", "uv"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, fake: Machine) -> Machine:
    if request.param == "fake":
        return fake
    return Machine(tmp_path, uv_engine(tmp_path, house_at(tmp_path / "house").url))


async def until(condition: Callable[[], object]) -> None:
    assert await asyncio.to_thread(wait_until, condition)


def installed(prefix: Prefix) -> dict[str, str]:
    names = [path.name.removesuffix(".dist-info") for path in site_packages(prefix.path).glob("*.dist-info")]
    return {canonicalize_name(name.rpartition("-")[0]): name.rpartition("-")[2] for name in names}


def wait_until(condition: Callable[[], object], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


# Once


def test_a_build_gives_a_whole_prefix_that_runs(machine: Machine) -> None:
    wanted = machine.lock("alpha", "beta")
    prefix = machine.ensure(wanted)
    assert prefix.is_whole
    assert installed(prefix) == wanted.versions
    code = "import alpha, sys; print(alpha.__version__, sys.prefix)"
    assert subprocess.check_output([prefix.python, "-c", code], text=True).split() == ["2.0", str(prefix.path)]


def test_what_is_built_is_not_built_again(machine: Machine) -> None:
    wanted = machine.lock("alpha")
    first = machine.ensure(wanted)
    machine.progress.clear()
    assert machine.ensure(wanted) == first
    assert machine.progress == []


def test_two_at_once_build_the_same_content_once(machine: Machine) -> None:
    wanted = machine.lock("alpha")

    async def both() -> tuple[Prefix, Prefix]:
        return await asyncio.gather(machine.ensuring(wanted), machine.ensuring(wanted))

    one, two = asyncio.run(both())
    assert one == two
    assert (machine.directories(), one.ready.name) == ([one.path], "READY-1.json")
    assert [step.phase for step in machine.progress].count("waiting") == 1


def test_of_many_threads_at_once_one_builds(fake: Machine) -> None:
    wanted = fake.lock("alpha")
    fake.engine.delay = 0.1  # type: ignore[attr-defined]
    found: list[Prefix] = []
    threads = [threading.Thread(target=lambda: found.append(fake.ensure(wanted))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert fake.builders() == 1


def test_other_contents_are_built_side_by_side(fake: Machine) -> None:
    locks = [fake.lock(line) for line in ("alpha", "alpha<2", "beta", "gamma")]
    fake.engine.delay = 0.5  # type: ignore[attr-defined]

    async def all_of_them() -> list[Prefix]:
        return await asyncio.gather(*map(fake.ensuring, locks))

    before = time.monotonic()
    assert len(set(asyncio.run(all_of_them()))) == 4
    assert time.monotonic() - before < 1.8
    assert not any(step.phase == "waiting" for step in fake.progress)


def test_a_damaged_prefix_is_built_again_beside_itself(machine: Machine) -> None:
    wanted = machine.lock("alpha")
    first = machine.ensure(wanted)
    first.bin.chmod(0o755)
    first.python.unlink()
    second = machine.ensure(wanted)
    assert second.is_whole
    assert second.path != first.path
    assert first.path.exists()


def test_another_interpreter_means_another_prefix(fake: Machine) -> None:
    content = fake.lock("alpha").content_id()
    one = Interpreter(path=Path("/usr/bin/python3.11"), version="3.11.7")
    others = [
        Interpreter(path=Path("/usr/bin/python3.11"), version="3.11.8"),
        Interpreter(path=Path("/opt/bin/python3.11"), version="3.11.7"),
    ]
    keys = {prefix_key(content, interpreter) for interpreter in (one, *others)}
    assert len(keys) == 3
    assert prefix_key(content, one) == prefix_key(content, Interpreter(path=one.path, version=one.version))
    assert all(len(key) == 20 for key in keys)


# What is there of a revision


def test_find_tells_what_is_there_and_whether_it_is_being_built(fake: Machine) -> None:
    wanted = fake.lock("alpha")
    revision = fake.record(wanted)
    fake.engine.delay = 0.3  # type: ignore[attr-defined]

    async def look() -> tuple[Any, Any, Any]:
        before = await fake.builds.find(revision)
        task = asyncio.create_task(fake.ensuring(wanted))
        await until(fake.builders)
        during = await fake.builds.find(revision)
        await task
        return before, during, await fake.builds.find(revision)

    before, during, after = asyncio.run(look())
    assert before == (None, False)
    assert during == (None, True)
    assert after == (fake.ensure(wanted), False)


def test_find_knows_nothing_of_other_platforms_and_absent_pythons(fake: Machine) -> None:
    wanted = fake.lock("alpha")
    fake.ensure(wanted)
    elsewhere = record(python=PYTHON, platform="windows-amd64", content_id=wanted.content_id())
    absent = record(python="3.99", platform=this_platform(), content_id=wanted.content_id())
    assert asyncio.run(fake.builds.find(elsewhere)) == (None, False)
    assert asyncio.run(fake.builds.find(absent)) == (None, False)


# Failing


def test_a_build_that_fails_leaves_nothing_and_says_why(fake: Machine) -> None:
    wanted = fake.lock("alpha", "beta")
    fake.engine.fail_build = "The disk is full."  # type: ignore[attr-defined]
    with pytest.raises(EngineFailed, match=r"The disk is full\."):
        fake.ensure(wanted)
    assert fake.left() == []
    fake.engine.fail_build = None  # type: ignore[attr-defined]
    assert installed(fake.ensure(wanted)) == wanted.versions


def test_a_build_that_fails_in_uv_leaves_nothing_and_works_once_the_index_does(tmp_path: Path, http: HttpIndex) -> None:
    machine = Machine(tmp_path, uv_engine(tmp_path, http.url))
    wanted = machine.lock("alpha", "beta")
    http.corrupt = {"beta-1.0-py3-none-any.whl"}
    with pytest.raises(EngineFailed, match="beta"):
        machine.ensure(wanted)
    assert machine.left() == []
    http.corrupt = set()
    assert installed(machine.ensure(wanted)) == wanted.versions


def test_who_waited_for_a_build_that_failed_builds_itself(fake: Machine) -> None:
    wanted = fake.lock("alpha")
    engine = fake.engine
    assert isinstance(engine, FakeEngine)
    engine.delay, engine.fail_build = 0.3, "Once."

    async def both() -> tuple[Prefix | BaseException, Prefix | BaseException]:
        first = asyncio.create_task(fake.ensuring(wanted))
        await until(fake.builders)
        second = asyncio.create_task(fake.ensuring(wanted))
        await asyncio.wait([first])
        engine.fail_build = None
        return await asyncio.gather(first, second, return_exceptions=True)

    failed, made = asyncio.run(both())
    assert isinstance(failed, EngineFailed)
    assert isinstance(made, Prefix)
    assert (fake.directories(), made.ready.name) == ([made.path], "READY-1.json")


def test_a_lock_of_another_platform_gets_a_sentence_and_no_build(fake: Machine) -> None:
    wanted = lock([locked("alpha", "1.0")], python=PYTHON, platform="macos-arm64")
    with pytest.raises(OtherPlatform, match=f"locked for macos-arm64; this machine is {this_platform()}"):
        fake.ensure(wanted)
    assert fake.builders() == 0


def test_a_python_that_is_not_here_gets_a_sentence_and_no_build(fake: Machine) -> None:
    wanted = lock([locked("alpha", "1.0")], python="3.99", platform=this_platform())
    with pytest.raises(EnvPanelError, match=r"Python 3\.99 is not on this machine"):
        fake.ensure(wanted)
    assert fake.builders() == 0


def test_a_cache_that_cannot_be_written_gets_a_sentence(fake: Machine) -> None:
    wanted = fake.lock("alpha")
    fake.cache.write_text("a file is here")
    with pytest.raises(StoreError):
        fake.ensure(wanted)


# Cancelling


def test_a_cancelled_build_leaves_nothing_and_the_next_one_works(fake: Machine) -> None:
    wanted = fake.lock("alpha", "beta")
    fake.engine.delay = 30  # type: ignore[attr-defined]

    async def cancel() -> None:
        task = asyncio.create_task(fake.ensuring(wanted))
        await until(lambda: any(fake.prefixes.root.glob("*/*/pyvenv.cfg")))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert fake.left() == []
    fake.engine.delay = 0  # type: ignore[attr-defined]
    assert installed(fake.ensure(wanted)) == wanted.versions


def test_a_build_of_uv_that_is_cancelled_while_it_downloads_leaves_nothing(tmp_path: Path, http: HttpIndex) -> None:
    machine = Machine(tmp_path, uv_engine(tmp_path, http.url))
    wanted = machine.lock("alpha", "beta")
    http.requests.clear()
    http.hang = True

    async def cancel() -> None:
        task = asyncio.create_task(machine.ensuring(wanted))
        await until(lambda: http.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = time.monotonic()
    asyncio.run(cancel())
    assert time.monotonic() - before < 10
    assert machine.left() == []


def test_who_is_cancelled_while_waiting_does_not_disturb_the_builder(fake: Machine) -> None:
    wanted = fake.lock("alpha")
    fake.engine.delay = 0.5  # type: ignore[attr-defined]

    async def cancel() -> Prefix:
        first = asyncio.create_task(fake.ensuring(wanted))
        await until(fake.builders)
        second = asyncio.create_task(fake.ensuring(wanted))
        await until(lambda: any(step.phase == "waiting" for step in fake.progress))
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        return await first

    made = asyncio.run(cancel())
    assert fake.ensure(wanted) == made
    assert fake.builders() == 1


KILLED = """
    import asyncio, sys
    from pathlib import Path

    sys.path[:0] = [sys.argv[1]]
    from test_builds import Machine, uv_engine
    from envpanel.model.lock import Lock

    machine = Machine(Path(sys.argv[2]), uv_engine(Path(sys.argv[2]), sys.argv[3]))
    wanted = Lock.from_toml(Path(sys.argv[4]).read_text())
    print("ready", flush=True)
    machine.ensure(wanted)
    print("done", flush=True)
"""


def test_a_process_killed_at_any_moment_of_a_build_never_leaves_half_a_prefix(tmp_path: Path) -> None:
    house = house_at(tmp_path / "house")
    parts = {f"wide/part_{number}.py": f"PART = {number}\n" for number in range(200)}
    house.add(Distribution(name="wide", version="1.0", modules=parts)).write()
    machine = Machine(tmp_path, uv_engine(tmp_path, house.url))
    wanted = machine.lock("alpha", "beta", "wide")
    (tmp_path / "lock").write_text(wanted.to_toml())
    argv = [sys.executable, "-c", textwrap.dedent(KILLED), os.path.dirname(__file__)]

    def start() -> subprocess.Popen[str]:
        more = [str(tmp_path), house.url, str(tmp_path / "lock")]
        process = subprocess.Popen([*argv, *more], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    with start() as process:
        measured = time.monotonic()
        process.wait()
    took = time.monotonic() - measured

    seed = random.Random(7)
    published = machine.ensure(wanted)
    for turn_ in range(8):
        # Damaged, so that each of them builds anew, beside it.
        published.bin.chmod(0o755)
        published.python.unlink()
        with start() as process:
            time.sleep(seed.uniform(0, took))
            process.send_signal(signal.SIGKILL)
        found = machine.prefixes.find(published.key)
        assert found is not None
        if found != published:
            assert found.is_whole, turn_
            assert installed(found) == wanted.versions
        published = machine.ensure(wanted)
        assert installed(published) == wanted.versions
        assert len(list((site_packages(published.path) / "wide").glob("part_*.py"))) == 200
    # uv may have outlived its killed parent for a moment: what is free then goes at the next begin.
    assert wait_until(lambda: not machine.prefixes.is_building(published.key))
    machine.prefixes.sweep()
    ready = sum(name.split("/")[1].startswith("READY-") for name in machine.left())
    assert len(machine.directories()) == ready
    assert not any(name.endswith((".lock", ".new", ".ready")) for name in machine.left())


# Kept wheels


def kept(name: str, data: bytes) -> LockedPackage:
    return LockedPackage(
        name=name,
        version="1.0",
        file=f"{name}-1.0-py3-none-any.whl",
        sha256=wire.sha256(data),
        origin=Origin.SDIST,
        kept=True,
        source_sha256="0" * 64,
    )


def wheel(folder: Path, name: str = "own") -> bytes:
    return make_wheel(Distribution(name=name, version="1.0"), folder / "made").read_bytes()


def of(*packages: LockedPackage) -> Lock:
    return lock(packages, python=PYTHON, platform=this_platform())


def test_kept_wheels_come_from_the_blobs_of_the_home(machine: Machine) -> None:
    """No index has them; another machine built them."""
    data = wheel(machine.root)
    machine.ledger.put_blob(data)
    wanted = of(*machine.lock("alpha").packages, kept("own", data))
    assert installed(machine.ensure(wanted)) == {"alpha": "2.0", "own": "1.0"}


@pytest.mark.parametrize("name", ["a home with spaces", "häuser", "one,two"])
def test_kept_wheels_are_found_whatever_the_home_is_called(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    machine = Machine(root, uv_engine(root, house_at(tmp_path / "house").url))
    data = wheel(tmp_path)
    machine.ledger.put_blob(data)
    assert installed(machine.ensure(of(kept("own", data)))) == {"own": "1.0"}


def test_a_kept_wheel_that_the_home_lost_fails_and_leaves_nothing(machine: Machine) -> None:
    with pytest.raises(EnvPanelError):
        machine.ensure(of(kept("own", wheel(machine.root))))
    assert machine.left() == []


def test_a_kept_wheel_half_written_by_somebody_killed_is_no_hindrance(machine: Machine) -> None:
    data = wheel(machine.root)
    machine.ledger.put_blob(data)
    wanted = of(kept("own", data))
    folder = machine.cache / "wheels" / wanted.content_id()[:20]
    folder.mkdir(parents=True)
    (folder / "own-1.0-py3-none-any.0123abcd").write_bytes(data[:100])
    assert installed(machine.ensure(wanted)) == {"own": "1.0"}


def test_a_kept_wheel_that_was_damaged_in_the_cache_is_read_from_the_home_again(machine: Machine) -> None:
    """Else no build of it would ever work again on this machine."""
    data = wheel(machine.root)
    machine.ledger.put_blob(data)
    wanted = of(kept("own", data))
    folder = machine.cache / "wheels" / wanted.content_id()[:20]
    folder.mkdir(parents=True)
    (folder / "own-1.0-py3-none-any.whl").write_bytes(b"")
    assert installed(machine.ensure(wanted)) == {"own": "1.0"}


def test_only_kept_files_are_read_from_the_home(machine: Machine) -> None:
    assert installed(machine.ensure(machine.lock("alpha"))) == {"alpha": "2.0"}
    assert not (machine.root / "home" / "blobs").exists()


# The log


def test_a_log_holds_its_lines(tmp_path: Path) -> None:
    with BuildLog(tmp_path / "logs", "churn", 1000) as log:
        log("one")
        log("zwei ä")
        assert log.text() == "one\nzwei ä\n"
        assert log.path.parent == tmp_path / "logs"
        assert "churn" in log.path.name


def test_a_log_is_cut_at_its_limit_and_says_so(tmp_path: Path) -> None:
    with BuildLog(tmp_path, "churn", 100) as log:
        for number in range(1000):
            log(f"line {number}")
        *lines, last = log.text().splitlines()
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert 80 < sum(len(line) + 1 for line in lines) <= 100
    assert "log_mib" in last


@given(lines=st.lists(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=12), max_size=12))
@configured(max_examples=100, deadline=None)
def test_a_log_is_never_larger_than_its_limit_and_the_word_of_it(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    """The limit is in bytes; what is kept is the beginning, line by line."""
    limit = 50
    with BuildLog(tmp_path_factory.getbasetemp() / "logs", "churn", limit) as log:
        for line in lines:
            log(line)
        text = log.text()
    whole = "".join(f"{line}\n" for line in lines)
    if len(whole.encode()) <= limit:
        assert text == whole
    else:
        *begin, notice = text.splitlines(keepends=True)
        assert whole.startswith("".join(begin))
        assert len("".join(begin).encode()) <= limit
        assert "log_mib" in notice


def test_a_log_goes_when_all_went_well_and_stays_when_it_did_not(tmp_path: Path) -> None:
    with BuildLog(tmp_path, "good", 1000) as good:
        good("line")
    with pytest.raises(EngineFailed), BuildLog(tmp_path, "bad", 1000) as bad:
        bad("line")
        raise EngineFailed("It failed.")
    with pytest.raises(EngineFailed), BuildLog(tmp_path, "silent", 1000) as silent:
        raise EngineFailed("It failed.")
    assert not good.path.exists()
    assert bad.path.read_text() == "line\n"
    assert not silent.path.exists()


def test_two_logs_of_a_second_are_two_files(tmp_path: Path) -> None:
    with BuildLog(tmp_path, "churn", 1000) as one, BuildLog(tmp_path, "churn", 1000) as two:
        assert one.path != two.path


def test_a_full_disk_ends_the_log_and_hides_no_reason(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(EngineFailed), BuildLog(tmp_path, "churn", 1000) as log:
            log("one")
            resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
            log("a line for which there is no room")
            log("two")
            raise EngineFailed("It failed.")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert log.path.read_text().startswith("one\n")


def test_the_lines_of_an_engine_reach_the_log(machine: Machine) -> None:
    machine.ensure(machine.lock("alpha", "beta"))
    assert {" + alpha==2.0", " + beta==1.0"} <= set(machine.log)


# Turns


def test_who_waits_is_told_whom_for_and_gets_its_turn_after(tmp_path: Path) -> None:
    said: list[str] = []
    order: list[str] = []

    async def hold(what: str, entered: asyncio.Event, leave: asyncio.Event) -> None:
        async with turn(tmp_path / "locks" / "a.lock", what, lambda step: said.append(str(step))):
            order.append(what)
            entered.set()
            await leave.wait()

    async def both() -> None:
        first, second, leave = asyncio.Event(), asyncio.Event(), asyncio.Event()
        one = asyncio.create_task(hold("Ana's install", first, leave))
        await first.wait()
        two = asyncio.create_task(hold("Ben's upgrade", second, leave))
        await until(lambda: said)
        assert order == ["Ana's install"]
        leave.set()
        await asyncio.gather(one, two)

    asyncio.run(both())
    assert said == ["waiting: for Ana's install"]
    assert order == ["Ana's install", "Ben's upgrade"]


WAITER = """
    import asyncio, sys
    from pathlib import Path
    from envpanel.builds import turn

    async def main():
        async with turn(Path(sys.argv[1]), sys.argv[2], lambda step: print(step, flush=True)):
            print("entered", flush=True)
            await asyncio.sleep(float(sys.argv[3]))

    asyncio.run(main())
"""


def taking_turn(path: Path, what: str, seconds: float) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", textwrap.dedent(WAITER), str(path), what, str(seconds)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_turns_hold_between_processes_and_end_with_a_killed_one(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with taking_turn(path, "Ana's install", 60) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "entered\n"
        with taking_turn(path, "Ben's upgrade", 0) as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "waiting: for Ana's install\n"
            assert second.poll() is None
            first.kill()
            assert second.stdout.readline() == "entered\n"
            assert second.wait(timeout=10) == 0


def test_turns_at_other_files_do_not_wait(tmp_path: Path) -> None:
    async def both() -> None:
        async with (
            turn(tmp_path / "a.lock", "one", lambda step: pytest.fail(str(step))),
            turn(tmp_path / "b.lock", "two", lambda step: pytest.fail(str(step))),
        ):
            pass

    asyncio.run(both())


def test_a_turn_ends_with_an_exception(tmp_path: Path) -> None:
    async def again() -> None:
        with pytest.raises(EngineFailed):
            async with turn(tmp_path / "a.lock", "one", lambda _: None):
                raise EngineFailed("It failed.")
        async with turn(tmp_path / "a.lock", "two", lambda step: pytest.fail(str(step))):
            pass

    asyncio.run(again())


def test_a_turn_is_had_where_nobody_can_tell_whose_it_was(tmp_path: Path) -> None:
    said: list[str] = []

    async def wait() -> None:
        async with turn(tmp_path / "a.lock", "one", lambda _: None):
            (tmp_path / "a.json").write_text("{")
            task = asyncio.create_task(enter())
            await until(lambda: said)
        await task

    async def enter() -> None:
        async with turn(tmp_path / "a.lock", "two", lambda step: said.append(str(step))):
            pass

    asyncio.run(wait())
    assert said == ["waiting: for another change"]
