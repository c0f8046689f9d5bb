"""Source distributions, in the lock of a bundled base or behind a kept wheel: a machine builds each of them once."""

from __future__ import annotations

import asyncio
import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from uv import find_uv_bin
from wheelhouse import Distribution, HttpIndex, Wheelhouse, counting_build, make_wheel, slow_build, standard

from envpanel.engines.from_source import FromSource
from envpanel.engines.interface import Request, Resolution
from envpanel.engines.interpreters import Interpreter, Interpreters
from envpanel.engines.uv import UvEngine
from envpanel.errors import EngineFailed, Unsatisfiable
from envpanel.model import wire
from envpanel.model.lock import Lock, LockedPackage, lock
from envpanel.model.nouns import Progress
from envpanel.model.target import Target, default_python
from envpanel.settings import Settings

PYTHON = default_python()


@dataclass
class Machine:
    """A machine with a cache of its own: `other` is another one."""

    folder: Path
    interpreter: Interpreter
    environ: dict[str, str]
    log: list[str] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    @property
    def engine(self) -> UvEngine:
        return UvEngine(uv=find_uv_bin(), cache=self.folder / "uv", environ=self.environ, settings=Settings())

    @property
    def wheels(self) -> list[Path]:
        """What it has built."""
        return list((self.folder / "uv" / "from-source").glob("*/*"))

    def other(self) -> Machine:
        return replace(self, folder=self.folder / "other")

    def resolve(
        self, *lines: str, preferred: Lock | None = None, upgrade: Iterable[str] | None = frozenset()
    ) -> Resolution:
        names = None if upgrade is None else frozenset(upgrade)
        request = Request(requirements=lines, python=PYTHON, preferred=preferred, upgrade=names)
        resolving = self.engine.resolve(request, self.interpreter, report=self.progress.append, log=self.log.append)
        return asyncio.run(resolving)

    async def building(
        self, lock: Lock, name: str, wheels: Path | None = None, pass_fds: tuple[int, ...] = ()
    ) -> dict[str, str]:
        """Build a lock; what it installed."""
        directory = self.folder / name
        await self.engine.build(
            lock,
            directory,
            self.interpreter,
            wheels=wheels or self.folder / "no-wheels",
            pass_fds=pass_fds,
            report=self.progress.append,
            log=self.log.append,
        )
        stems = [path.stem for path in directory.glob("lib/python3.*/site-packages/*.dist-info")]
        return dict(sorted(stem.split("-") for stem in stems))

    def build(self, lock: Lock, name: str, wheels: Path | None = None) -> dict[str, str]:
        return asyncio.run(self.building(lock, name, wheels))


@dataclass
class Source:
    """The releases of `src`, as source distributions that need alpha below 2, and count how often they are built."""

    house: Wheelhouse
    counter: Path

    @property
    def builds(self) -> int:
        return len(self.counter.read_text().splitlines()) if self.counter.exists() else 0

    def publish(self, version: str, *requires: str, script: str = "") -> None:
        dist = Distribution(
            name="src",
            version=version,
            requires=requires or ("alpha<2",),
            extras={"more_of": ("comm",)},
            requires_python=">=3.9",
            sdist_only=True,
            build_script=script or counting_build(self.counter),
        )
        self.house.add(dist).write()

    def locked(self, version: str = "1.0") -> Lock:
        """As a base has it: by the hash of its source, without an address, and no wheel is kept."""
        source, alpha = self.house.find_links / f"src-{version}.tar.gz", "alpha-1.10-py3-none-any.whl"
        packages = [
            LockedPackage(name="src", version=version, file=source.name, sha256=wire.sha256(source.read_bytes())),
            LockedPackage(
                name="alpha",
                version="1.10",
                file=alpha,
                sha256=wire.sha256((self.house.find_links / alpha).read_bytes()),
            ),
        ]
        return lock(packages, python=PYTHON, platform=Target(python=PYTHON).platform)


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return standard(tmp_path / "index")


@pytest.fixture
def index(house: Wheelhouse) -> Iterator[HttpIndex]:
    with HttpIndex(house) as served:
        yield served


@pytest.fixture
def machine(tmp_path: Path, index: HttpIndex) -> Machine:
    found = Interpreters(find_uv_bin(), {}).running(PYTHON)
    assert found is not None
    return Machine(folder=tmp_path / "machine", interpreter=found, environ={"UV_DEFAULT_INDEX": index.url})


@pytest.fixture
def source(house: Wheelhouse, tmp_path: Path) -> Source:
    found = Source(house=house, counter=tmp_path / "builds")
    found.publish("1.0")
    return found


def package(resolution: Resolution, name: str = "src") -> LockedPackage:
    return {item.name: item for item in resolution.lock.packages}[name]


# Once


def test_a_source_of_a_base_is_built_once_for_all_builds(machine: Machine, source: Source) -> None:
    for name in ("first", "second"):
        assert machine.build(source.locked(), name) == {"alpha": "1.10", "src": "1.0"}
    assert source.builds == 1
    assert len(machine.wheels) == 1


def test_a_build_from_source_tells_how_far_it_is(machine: Machine, source: Source) -> None:
    machine.build(source.locked(), "first")
    size = (source.house.find_links / "src-1.0.tar.gz").stat().st_size / (1 << 20)
    downloaded = Progress(phase="downloading", done=size, total=size, unit="MiB", detail="src-1.0.tar.gz")
    built = Progress(phase="building", detail="src 1.0 from source")
    assert [step for step in machine.progress if step.phase != "installing"][:3] == [built, downloaded, built]


def test_no_change_and_no_question_builds_a_source_that_was_built(machine: Machine, source: Source) -> None:
    machine.build(source.locked(), "first")
    request = Request(requirements=("src", "lib-a"), python=PYTHON, preferred=source.locked())
    added = machine.resolve("src", "lib-a", preferred=source.locked())
    machine.resolve("src", preferred=added.lock, upgrade={"alpha"})
    machine.resolve("src", preferred=added.lock, upgrade=None)
    needs = asyncio.run(machine.engine.needed_by(added.lock, request, machine.interpreter))
    assert needs == {"alpha": ("src",)}
    allowed, newest = asyncio.run(machine.engine.newest(request, machine.interpreter, log=machine.log.append))
    assert (allowed["src"], newest["src"]) == ("1.0", "1.0")
    machine.build(added.lock, "second")
    assert source.builds == 1


def test_the_first_change_of_a_clone_builds_a_source_once(machine: Machine, source: Source, index: HttpIndex) -> None:
    """A clone is built where it is used: the change may come before."""
    added = machine.resolve("src", "lib-a", preferred=source.locked())
    assert machine.build(added.lock, "first") == {"alpha": "1.10", "lib_a": "2.0", "src": "1.0"}
    assert source.builds == 1
    assert index.requests.count("/files/src-1.0.tar.gz") == 1


@pytest.mark.parametrize("asked", ["lib-a", "src>1.0"], ids=["uninstalled", "another version"])
def test_a_source_that_will_not_stay_is_not_built(machine: Machine, source: Source, asked: str) -> None:
    source.publish("2.0", script="pass")
    machine.resolve(asked, preferred=source.locked())
    assert source.builds == 0


def test_resolving_leaves_no_source_in_the_cache_of_uv(machine: Machine, source: Source) -> None:
    """Gigabytes, where it is that of Spark."""
    machine.build(source.locked(), "first")
    added = machine.resolve("src", "lib-a", preferred=source.locked())
    machine.build(added.lock, "second")
    assert [path for path in (machine.folder / "uv").glob("sdists-*/**/*") if "src" in path.parts] == []


def test_a_kept_wheel_of_another_machine_is_not_built_once_it_was_installed(
    machine: Machine, source: Source, tmp_path: Path
) -> None:
    there = machine.other().resolve("src")
    (wheel,) = there.wheels.values()
    machine.build(there.lock, "first", wheel.parent)
    before = source.builds
    added = machine.resolve("src", "lib-a", preferred=there.lock)
    assert source.builds == before
    assert package(added) == package(there)


def test_what_was_forgotten_is_built_again(machine: Machine, source: Source) -> None:
    machine.build(source.locked(), "first")
    asyncio.run(machine.engine.forget({"src"}, log=machine.log.append))
    assert machine.wheels == []
    assert machine.build(source.locked(), "second") == {"alpha": "1.10", "src": "1.0"}


def test_two_builds_at_once_share_one_wheel(machine: Machine, source: Source) -> None:
    async def both() -> list[dict[str, str]]:
        return await asyncio.gather(*(machine.building(source.locked(), name) for name in ("first", "second")))

    assert asyncio.run(both()) == [{"alpha": "1.10", "src": "1.0"}] * 2
    assert len(machine.wheels) == 1
    count = source.builds
    machine.build(source.locked(), "third")
    assert source.builds == count


def test_wheels_for_several_platforms_stand_beside_each_other(machine: Machine, source: Source) -> None:
    """As in a home on a file server."""
    machine.build(source.locked(), "first")
    (wheel,) = machine.wheels
    wheel.rename(wheel.with_name("src-1.0-cp311-cp311-win_amd64.whl"))
    machine.build(source.locked(), "second")
    assert source.builds == 2
    assert sorted(path.name for path in machine.wheels) == [
        "src-1.0-cp311-cp311-win_amd64.whl",
        "src-1.0-py3-none-any.whl",
    ]


# The same


def test_a_change_leaves_the_source_of_a_base_as_it_is(machine: Machine, source: Source) -> None:
    for _ in ("before it is built", "and after"):
        added = machine.resolve("src", "alpha", "lib-a", preferred=source.locked())
        assert [item for item in added.lock.packages if item.name == "src"] == [source.locked().packages[1]]
        assert (added.warnings, added.wheels) == ((), {})
        back = machine.resolve("src", preferred=added.lock)
        assert back.lock.content_id() == source.locked().content_id()
        machine.build(added.lock, "prefix")


def test_a_wheel_that_an_index_has_by_now_changes_nothing(machine: Machine, house: Wheelhouse, source: Source) -> None:
    machine.build(source.locked(), "first")
    house.add(
        Distribution(name="src", version="1.0", requires=("alpha<2",), tag=f"cp{PYTHON.replace('.', '')}-none-any")
    )
    house.write()
    asyncio.run(machine.engine.forget({"alpha"}, log=machine.log.append))
    assert machine.resolve("src", preferred=source.locked()).lock.content_id() == source.locked().content_id()
    assert machine.build(source.locked(), "second") == {"alpha": "1.10", "src": "1.0"}
    assert source.builds == 1


def test_extras_and_markers_hold_for_what_was_built(machine: Machine, source: Source) -> None:
    source.publish("1.0", "alpha<2", "beta<2; python_version >= '3'", "gamma; sys_platform == 'none'")
    machine.build(machine.resolve("src", preferred=source.locked()).lock, "first")
    again = machine.resolve("src[more-of]", preferred=source.locked())
    assert again.lock.versions == {"alpha": "1.10", "beta": "1.0", "comm": "0.2", "src": "1.0"}
    assert source.builds == 1


# Newer


@pytest.mark.parametrize("names", [{"src"}, None], ids=["by name", "all"])
def test_an_upgrade_finds_newer_source(machine: Machine, source: Source, names: set[str] | None) -> None:
    machine.build(source.locked(), "first")
    source.publish("1.1", "alpha")
    taken = machine.resolve("src", preferred=source.locked(), upgrade=names)
    assert taken.lock.versions["src"] == "1.1"
    request = Request(requirements=("src",), python=PYTHON, preferred=source.locked())
    allowed, newest = asyncio.run(machine.engine.newest(request, machine.interpreter, log=machine.log.append))
    assert (allowed["src"], newest["src"]) == ("1.1", "1.1")


def test_a_requirement_finds_newer_source(machine: Machine, source: Source) -> None:
    machine.build(source.locked(), "first")
    source.publish("1.1", "alpha")
    assert machine.resolve("src>1.0", preferred=source.locked()).lock.versions["src"] == "1.1"


def test_the_newest_version_of_a_source_is_told_without_building_it(machine: Machine, source: Source) -> None:
    machine.build(source.locked(), "first")
    source.publish("9.0", script="raise SystemExit('built')")
    request = Request(requirements=("src<9",), python=PYTHON, preferred=source.locked())
    allowed, newest = asyncio.run(machine.engine.newest(request, machine.interpreter, log=machine.log.append))
    assert (allowed["src"], newest["src"]) == ("1.0", "9.0")


# Not the same


def test_a_source_that_changed_on_the_index_is_refused_before_it_runs(machine: Machine, source: Source) -> None:
    before = source.locked()
    source.publish("1.0", "alpha<1.5")
    with pytest.raises(EngineFailed, match=r"src-1\.0\.tar\.gz could not be had.*sha256"):
        machine.build(before, "prefix")
    assert source.builds == 0


def test_a_source_that_changed_on_its_way_is_refused_before_it_runs(
    machine: Machine, source: Source, index: HttpIndex
) -> None:
    index.corrupt = {"src-1.0.tar.gz"}
    with pytest.raises(EngineFailed, match=r"src-1\.0\.tar\.gz is not the file.*sha256"):
        machine.build(source.locked(), "prefix")
    assert source.builds == 0
    assert machine.wheels == []


def test_what_another_source_of_the_same_version_needs_is_asked_of_itself(machine: Machine, source: Source) -> None:
    before = source.locked()
    machine.build(before, "first")
    source.publish("1.0", "alpha<1.5")
    taken = machine.resolve("src", preferred=before)
    assert taken.lock.versions == {"src": "1.0", "alpha": "1.1"}
    assert package(taken).source_sha256 == source.locked().packages[1].sha256


def test_a_source_that_no_index_has_any_more_is_named(machine: Machine, source: Source, house: Wheelhouse) -> None:
    before = source.locked()
    house.remove("src", "1.0", listed=False)
    with pytest.raises(EngineFailed, match=r"src-1\.0\.tar\.gz could not be had"):
        machine.build(before, "prefix")
    with pytest.raises(Unsatisfiable, match="src"):
        machine.resolve("src", preferred=before)


def test_a_source_that_does_not_build_is_named(machine: Machine, source: Source) -> None:
    source.publish("1.0", script="raise SystemExit('no compiler here')")
    with pytest.raises(EngineFailed, match=r"src 1\.0 could not be built from source"):
        machine.build(source.locked(), "prefix")
    assert any("no compiler here" in line for line in machine.log)


# Places


def test_a_source_is_built_from_a_folder_of_files(machine: Machine, source: Source) -> None:
    machine.environ = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(source.house.find_links)}
    added = machine.resolve("src", "lib-a", preferred=source.locked())
    assert machine.build(added.lock, "prefix") == {"alpha": "1.10", "lib_a": "2.0", "src": "1.0"}
    machine.resolve("src", preferred=added.lock)
    assert source.builds == 1


def test_offline_a_source_is_not_downloaded(machine: Machine, source: Source, index: HttpIndex) -> None:
    machine.resolve("src", preferred=source.locked(), upgrade={"src"})
    asyncio.run(machine.engine.forget({"alpha"}, log=machine.log.append))
    for path in machine.wheels:
        path.unlink()
    machine.environ["UV_OFFLINE"] = "1"
    index.requests.clear()
    with pytest.raises(EngineFailed, match="network"):
        machine.build(source.locked(), "prefix")
    assert index.requests == []


def test_offline_all_works_with_a_source_that_was_built(machine: Machine, source: Source, index: HttpIndex) -> None:
    machine.resolve("src", "lib-a", preferred=source.locked())
    machine.build(source.locked(), "first")
    index.close()
    machine.environ["UV_OFFLINE"] = "1"
    machine.build(machine.resolve("src", "alpha", preferred=source.locked()).lock, "second")
    assert source.builds == 1


# Ends


def test_a_cancelled_build_ends_what_it_started_and_the_lock_of_its_directory_is_held_until_then(
    machine: Machine, source: Source, tmp_path: Path
) -> None:
    started, held = tmp_path / "started", tmp_path / "held"
    source.publish("1.0", script=slow_build(60, started))
    descriptor = os.open(held, os.O_RDWR | os.O_CREAT)

    async def cancel() -> list[Path]:
        task = asyncio.create_task(machine.building(source.locked(), "prefix", pass_fds=(descriptor,)))
        while not started.exists():
            assert not task.done()
            await asyncio.sleep(0.02)
        processes = [Path("/proc") / pid for pid in started.read_text().split()]
        assert all(process.exists() for process in processes)
        (builder,) = {parent(process) for process in processes} - {Path("/proc") / pid.name for pid in processes}
        assert held in {link.resolve() for link in (builder / "fd").iterdir()}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return processes

    processes = asyncio.run(cancel())
    os.close(descriptor)
    assert not any(is_running(process) for process in processes)
    assert machine.wheels == []


def parent(process: Path) -> Path:
    return process.with_name((process / "stat").read_text().rpartition(")")[2].split()[1])


def is_running(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# What a wheel states


def stated(tmp_path: Path, wheel: Path) -> dict[str, object] | None:
    """What is told to uv of a wheel that lies in the place of a built one."""
    item = LockedPackage(name="src", version="1.0", file="src-1.0.tar.gz", sha256="0" * 64)
    folder = tmp_path / "built" / f"{item.sha256}-{PYTHON}"
    folder.mkdir(parents=True)
    wheel.rename(folder / wheel.name)

    async def never(*arguments: object, **more: object) -> None:
        raise AssertionError

    found = FromSource(tmp_path / "built", run=never, env={}, seconds=1)  # type: ignore[arg-type]
    return found.metadata([item], PYTHON).get(item)


def test_what_a_wheel_states_is_told_to_uv(tmp_path: Path) -> None:
    dist = Distribution(
        name="src", version="1.0", requires=("alpha (<2)",), extras={"A_b": ("beta",)}, requires_python=">=3.9"
    )
    assert stated(tmp_path, make_wheel(dist, tmp_path)) == {
        "name": "src",
        "version": "1.0",
        "requires-dist": ["alpha<2", 'beta; extra == "a-b"'],
        "provides-extra": ["a-b"],
        "requires-python": ">=3.9",
    }


@pytest.mark.parametrize(
    "dist",
    [
        Distribution(name="src", version="1.0", requires=("alpha (<2.*)",)),
        Distribution(name="src", version="1.0", requires_python="three"),
    ],
    ids=["requirement", "python"],
)
def test_what_uv_would_refuse_is_not_told(tmp_path: Path, dist: Distribution) -> None:
    assert stated(tmp_path, make_wheel(dist, tmp_path)) is None


@pytest.mark.parametrize("damage", ["empty", "no metadata", "no archive"])
def test_of_a_damaged_wheel_nothing_is_told(tmp_path: Path, damage: str) -> None:
    wheel = tmp_path / "src-1.0-py3-none-any.whl"
    if damage == "no metadata":
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("src.py", "")
    else:
        wheel.write_bytes(b"" if damage == "empty" else b"PK or not")
    assert stated(tmp_path, wheel) is None
