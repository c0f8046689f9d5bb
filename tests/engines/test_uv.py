"""What the uv engine makes of real indexes, odd packages, a hostile one and a broken uv."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from uv import find_uv_bin
from wheelhouse import Distribution, HttpIndex, Wheelhouse, counting_build, slow_build, standard

from envpanel.engines.download import fetch
from envpanel.engines.interface import Request, Resolution
from envpanel.engines.interpreters import Interpreter
from envpanel.engines.uv import UvEngine
from envpanel.engines.uv_texts import Downloads, not_done, unresolved
from envpanel.errors import EngineFailed, EnvPanelError, Failed, Unsatisfiable
from envpanel.model.lock import Lock
from envpanel.model.nouns import Origin, Progress
from envpanel.settings import Index, Limits, Settings

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
RUNNING = Path(os.path.realpath(sys.executable))
HERE = Interpreter(path=RUNNING, version=platform.python_version())
PASSWORD = "pa55w0rd-canary"


@dataclass
class Machine:
    """An engine as one user has it: variables, settings, a cache; and what it said."""

    folder: Path
    index: str | None = None
    environ: dict[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    uv: str = field(default_factory=find_uv_bin)
    cache: str = "cache"
    interpreter: Interpreter = HERE
    log: list[str] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    @property
    def engine(self) -> UvEngine:
        environ = {"HOME": str(self.folder), "PATH": os.environ["PATH"]}
        if self.index is not None:
            environ["UV_DEFAULT_INDEX"] = self.index
        return UvEngine(
            uv=self.uv, cache=self.folder / self.cache, environ={**environ, **self.environ}, settings=self.settings
        )

    async def resolving(
        self, *lines: str, preferred: Lock | None = None, upgrade: Iterable[str] | None = ()
    ) -> Resolution:
        request = Request(
            requirements=lines,
            python=PYTHON,
            preferred=preferred,
            upgrade=None if upgrade is None else frozenset(upgrade),
        )
        return await self.engine.resolve(request, self.interpreter, report=self.progress.append, log=self.log.append)

    def resolve(self, *lines: str, preferred: Lock | None = None, upgrade: Iterable[str] | None = ()) -> Resolution:
        return asyncio.run(self.resolving(*lines, preferred=preferred, upgrade=upgrade))

    def build(self, lock: Lock, name: str = "prefix", wheels: Mapping[str, Path] | None = None) -> Path:
        folder = self.folder / f"{name}-wheels"
        for path in (wheels or {}).values():
            folder.mkdir(exist_ok=True)
            shutil.copy(path, folder / path.name)
        directory = self.folder / name
        call = self.engine.build(
            lock,
            directory,
            self.interpreter,
            wheels=folder,
            pass_fds=(),
            report=self.progress.append,
            log=self.log.append,
        )
        asyncio.run(call)
        return directory


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return standard(tmp_path / "house")


@pytest.fixture
def machine(tmp_path: Path, house: Wheelhouse) -> Machine:
    folder = tmp_path / "machine"
    folder.mkdir()
    return Machine(folder=folder, index=house.url)


@pytest.fixture
def http(house: Wheelhouse) -> Iterator[HttpIndex]:
    with HttpIndex(house) as index:
        yield index


@pytest.fixture
def locked_http(house: Wheelhouse) -> Iterator[HttpIndex]:
    """An index that wants a name and a password."""
    with HttpIndex(house, username="ada", password=PASSWORD) as index:
        yield index


def codes(resolution: Resolution) -> list[tuple[str, str]]:
    return [(warning.code, warning.package) for warning in resolution.warnings]


def installed(directory: Path) -> dict[str, str]:
    names = [path.name.removesuffix(".dist-info") for path in directory.glob("lib/python3.*/site-packages/*.dist-info")]
    return {canonicalize_name(name.rpartition("-")[0]): name.rpartition("-")[2] for name in names}


def is_a_sentence(message: str) -> bool:
    """One line that ends with a full stop, without uv's own marks in it."""
    marks = re.search(r"(^|: )(error|cause|hint): ", message)
    return "\n" not in message and message.endswith((".", "…")) and marks is None


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


# Reasons


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["nosuch"], ["nosuch was not found"]),
        (["alpha==2.0", "gamma"], ["gamma", "alpha==2.0", "beta"]),
        (["alpha==9.9"], ["no version of alpha==9.9"]),
        (["newpy"], ["newpy", "Python>=3.99"]),
        (["wintag"], ["wintag", "no wheels with a matching platform tag"]),
        (["beta>2"], ["beta==3.0", "yanked", "broken"]),
    ],
    ids=["unknown name", "conflict", "no such version", "other Python", "wrong tags", "yanked in a range"],
)
def test_the_reason_is_one_sentence_that_names_the_packages(
    machine: Machine, lines: Sequence[str], said: Sequence[str]
) -> None:
    with pytest.raises(Unsatisfiable) as raised:
        machine.resolve(*lines)
    message = raised.value.message
    assert is_a_sentence(message)
    assert all(part in message for part in said), message


def test_the_hint_of_uv_is_kept(machine: Machine) -> None:
    with pytest.raises(Unsatisfiable) as raised:
        machine.resolve("wintag")
    assert raised.value.hint is not None
    assert "win_amd64" in raised.value.hint


def test_all_that_uv_said_is_in_the_log(machine: Machine) -> None:
    with pytest.raises(Unsatisfiable):
        machine.resolve("alpha==2.0", "gamma")
    assert any("No solution found" in line for line in machine.log)
    assert any("cause:" in line for line in machine.log)


pieces = st.one_of(
    st.sampled_from(["error: ", "  cause: ", "hint: ", "No solution found", "[stderr]", "\n", ". And because ", "we "]),
    st.text(max_size=30),
)


@given(st.lists(st.lists(pieces, max_size=6).map("".join), max_size=12))
@configured(max_examples=300, deadline=None)
def test_whatever_uv_writes_the_reason_is_one_line_of_a_length_for_people(lines: list[str]) -> None:
    for error in (unresolved(lines), not_done(lines, "It failed")):
        assert "\n" not in error.message
        assert error.message.endswith((".", "…"))
        assert len(error.message) < 1000


@given(
    st.lists(
        st.sampled_from(["a", "b", "c"]).flatmap(
            lambda n: st.sampled_from([f"Downloading {n} (1.5MiB)", f" Downloaded {n}", "x"])
        )
    )
)
def test_downloads_never_count_more_than_there_is(lines: list[str]) -> None:
    seen: list[Progress] = []
    downloads = Downloads(seen.append)
    for line in lines:
        downloads.line(line)
    assert all(0 <= step.done <= step.total and step.unit == "MiB" for step in seen)


# Surprises


def test_a_yanked_version_is_taken_where_it_is_named_and_the_reason_told(machine: Machine) -> None:
    taken = machine.resolve("beta==3.0")
    assert taken.lock.versions == {"beta": "3.0"}
    assert codes(taken) == [("yanked", "beta")]
    assert "broken" in taken.warnings[0].message


def test_a_yanked_version_without_a_reason_is_told_as_well(machine: Machine, house: Wheelhouse) -> None:
    house.add(Distribution(name="silent", version="1.0", yanked="")).write()
    assert codes(machine.resolve("silent==1.0")) == [("yanked", "silent")]


def test_a_yanked_version_that_was_there_before_is_no_news(machine: Machine) -> None:
    before = machine.resolve("beta==3.0").lock
    assert codes(machine.resolve("beta==3.0", "comm", preferred=before)) == []


def test_a_pre_release_that_solves_a_conflict_is_told(machine: Machine) -> None:
    taken = machine.resolve("alpha>=2", "gamma")
    assert taken.lock.versions["alpha"] == "2.1b1"
    assert codes(taken) == [("pre-release", "alpha")]


def test_a_pre_release_that_was_meant_is_not_told(machine: Machine) -> None:
    taken = machine.resolve("alpha>=2.1b1")
    assert taken.lock.versions["alpha"] == "2.1b1"
    assert codes(taken) == []


def old_and_new(house: Wheelhouse) -> None:
    """As requests and urllib3: what the new version of one needs does not go with the new version of the other."""
    dates = {"2.15": "2017-05-01", "2.31": "2023-05-01", "2.32": "2024-05-01"}
    needs = {"2.31": ("transport<3",), "2.32": ("transport<3",)}
    for version, date in dates.items():
        dist = Distribution(
            name="session", version=version, requires=needs.get(version, ()), uploaded=f"{date}T00:00:00Z"
        )
        house.add(dist)
    for version, date in (("2.9", "2023-01-01"), ("3.0", "2024-01-01")):
        house.add(Distribution(name="transport", version=version, uploaded=f"{date}T00:00:00Z"))
    house.write()


def test_a_version_years_older_than_the_newest_is_told(machine: Machine, house: Wheelhouse, http: HttpIndex) -> None:
    old_and_new(house)
    machine.index = http.url
    taken = machine.resolve("session", "transport>=3")
    assert taken.lock.versions == {"session": "2.15", "transport": "3.0"}
    assert codes(taken) == [("old-version", "session")]
    assert all(part in taken.warnings[0].message for part in ("2.15", "2017", "2.32", "2024"))


def test_an_old_version_that_was_asked_for_is_not_told(machine: Machine, house: Wheelhouse, http: HttpIndex) -> None:
    old_and_new(house)
    machine.index = http.url
    assert codes(machine.resolve("session<2.20", "transport>=3")) == []


def test_a_newest_version_of_years_ago_is_not_told(machine: Machine, house: Wheelhouse, http: HttpIndex) -> None:
    house.add(Distribution(name="finished", version="1.0", uploaded="2012-01-01T00:00:00Z")).write()
    machine.index = http.url
    assert codes(machine.resolve("finished")) == []


def test_an_index_without_times_gives_no_word_of_age(machine: Machine, house: Wheelhouse) -> None:
    old_and_new(house)
    taken = machine.resolve("session", "transport>=3")
    assert taken.lock.versions["session"] == "2.15"
    assert codes(taken) == []


# Source distributions


def test_what_comes_as_source_only_becomes_a_kept_wheel(machine: Machine, house: Wheelhouse) -> None:
    taken = machine.resolve("fromsource", "comm")
    assert codes(taken) == [("built-from-source", "fromsource")]
    package = {item.name: item for item in taken.lock.packages}["fromsource"]
    assert (package.origin, package.kept, package.file) == (Origin.SDIST, True, "fromsource-1.0-py3-none-any.whl")
    assert package.source_sha256 is not None
    assert package.source_sha256 != package.sha256
    assert list(taken.wheels) == [package.sha256]
    assert installed(machine.build(taken.lock, wheels=taken.wheels)) == {"fromsource": "1.0", "comm": "0.2"}


def test_a_kept_wheel_installs_where_no_index_has_the_package_any_more(machine: Machine, house: Wheelhouse) -> None:
    taken = machine.resolve("fromsource")
    house.remove("fromsource", "1.0", listed=False)
    machine.cache = "another-cache"
    assert installed(machine.build(taken.lock, wheels=taken.wheels)) == {"fromsource": "1.0"}


@pytest.mark.parametrize("as_preferred", [True, False], ids=["by the lock", "by the machine's cache"])
def test_a_wheel_is_built_once(machine: Machine, house: Wheelhouse, tmp_path: Path, as_preferred: bool) -> None:
    built = tmp_path / "built"
    house.add(Distribution(name="varying", version="1.0", sdist_only=True, build_script=counting_build(built))).write()
    first = machine.resolve("varying")
    count = built.read_text()
    second = machine.resolve("varying", "comm", preferred=first.lock if as_preferred else None)
    assert built.read_text() == count
    assert second.lock.packages[1] == first.lock.packages[0]


def test_a_kept_wheel_of_the_lock_is_not_built_again_on_another_machine(
    machine: Machine, house: Wheelhouse, tmp_path: Path
) -> None:
    built = tmp_path / "built"
    house.add(Distribution(name="varying", version="1.0", sdist_only=True, build_script=counting_build(built))).write()
    first = machine.resolve("varying")
    machine.cache = "another-cache"
    second = machine.resolve("varying", "comm", preferred=first.lock)
    assert second.lock.packages[1] == first.lock.packages[0]
    assert codes(second) == []
    assert not second.wheels


def test_a_wheel_is_kept_where_the_cache_is_on_another_disk_than_temporary_files(machine: Machine) -> None:
    """As a home on a file server always is."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        machine.cache = folder
        taken = machine.resolve("fromsource")
        assert installed(machine.build(taken.lock, wheels=taken.wheels)) == {"fromsource": "1.0"}


def going_back(house: Wheelhouse, marker: Path, *middle: Distribution) -> None:
    """The newest version has a wheel, and needs a new beta; the old ones are source that leaves a mark."""
    mark = f"open({str(marker)!r}, 'w').close()\n"
    house.add(Distribution(name="modern", version="3.0", requires=("beta>=2",)), *middle)
    for version in ("1.0", "1.1"):
        house.add(Distribution(name="modern", version=version, sdist_only=True, build_script=mark))
    house.write()


def test_nothing_is_built_while_resolving_where_another_version_has_a_wheel(
    machine: Machine, house: Wheelhouse, tmp_path: Path
) -> None:
    going_back(house, tmp_path / "ran")
    with pytest.raises(Unsatisfiable, match="modern") as raised:
        machine.resolve("modern", "beta<2")
    assert "source" in (raised.value.hint or "")
    assert not (tmp_path / "ran").exists()


def test_an_older_wheel_goes_before_newer_source(machine: Machine, house: Wheelhouse, tmp_path: Path) -> None:
    going_back(house, tmp_path / "ran", Distribution(name="modern", version="0.9"))
    assert machine.resolve("modern", "beta<2").lock.versions == {"modern": "0.9", "beta": "1.0"}
    assert not (tmp_path / "ran").exists()


def test_a_version_that_comes_as_source_only_is_built_where_it_is_asked_for(
    machine: Machine, house: Wheelhouse, tmp_path: Path
) -> None:
    going_back(house, tmp_path / "ran")
    taken = machine.resolve("modern==1.1", "beta<2")
    assert taken.lock.versions == {"modern": "1.1", "beta": "1.0"}
    assert codes(taken) == [("built-from-source", "modern")]
    assert (tmp_path / "ran").exists()


def test_source_is_built_where_the_wheels_are_for_other_systems_only(machine: Machine, house: Wheelhouse) -> None:
    house.add(
        Distribution(name="foreign", version="1.0", tag="cp311-cp311-win_amd64"),
        Distribution(name="foreign", version="1.0", sdist_only=True),
        Distribution(name="user", version="1.0", requires=("foreign",)),
    ).write()
    taken = machine.resolve("user")
    assert taken.lock.versions == {"foreign": "1.0", "user": "1.0"}
    assert codes(taken) == [("built-from-source", "foreign")]
    assert installed(machine.build(taken.lock, wheels=taken.wheels)) == taken.lock.versions


def test_what_needs_source_may_need_more_source(machine: Machine, house: Wheelhouse) -> None:
    house.add(
        Distribution(name="outer", version="1.0", requires=("middle>=1",), sdist_only=True),
        Distribution(name="middle", version="1.0", requires=("fromsource", "comm"), sdist_only=True),
    ).write()
    taken = machine.resolve("outer")
    assert taken.lock.versions == {"outer": "1.0", "middle": "1.0", "fromsource": "1.0", "comm": "0.2"}
    assert {package.name for package in taken.lock.packages if package.kept} == {"outer", "middle", "fromsource"}
    assert installed(machine.build(taken.lock, wheels=taken.wheels)) == taken.lock.versions


def test_a_new_requirement_leaves_source_for_the_wheel_that_meets_it(machine: Machine, house: Wheelhouse) -> None:
    before = machine.resolve("fromsource").lock
    house.add(Distribution(name="fromsource", version="2.0")).write()
    machine.cache = "another-cache"
    (package,) = machine.resolve("fromsource>=2", preferred=before).lock.packages
    assert (package.version, package.origin, package.kept) == ("2.0", Origin.INDEX, False)


def test_a_kept_wheel_stays_where_a_wheel_of_the_next_version_appears(machine: Machine, house: Wheelhouse) -> None:
    before = machine.resolve("fromsource").lock
    house.add(Distribution(name="fromsource", version="2.0")).write()
    machine.cache = "another-cache"
    assert machine.resolve("fromsource", preferred=before).lock == before


def test_an_upgrade_leaves_source_for_the_wheel_of_the_next_version(machine: Machine, house: Wheelhouse) -> None:
    before = machine.resolve("fromsource").lock
    house.add(Distribution(name="fromsource", version="2.0")).write()
    machine.cache = "another-cache"
    (package,) = machine.resolve("fromsource", preferred=before, upgrade=None).lock.packages
    assert (package.version, package.origin, package.kept) == ("2.0", Origin.INDEX, False)


def test_source_that_does_not_build_fails_and_the_log_has_the_reason(machine: Machine) -> None:
    with pytest.raises(EngineFailed, match="badsource") as raised:
        machine.resolve("badsource")
    assert is_a_sentence(raised.value.message)
    assert any("no compiler here" in line for line in machine.log)


# Credentials


def login(password: str = PASSWORD, name: str = "CORP") -> dict[str, str]:
    return {f"UV_INDEX_{name}_USERNAME": "ada", f"UV_INDEX_{name}_PASSWORD": password}


def is_anywhere(secret: str, folder: Path) -> bool:
    return any(secret.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("way", ["variables", "address", "netrc"])
def test_the_login_of_an_index_serves_for_resolving_source_and_building(
    machine: Machine, locked_http: HttpIndex, tmp_path: Path, way: str
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login ada password {PASSWORD}\n")
    netrc.chmod(0o600)
    machine.index = f"corp={locked_http.url_with_credentials if way == 'address' else locked_http.url}"
    machine.environ = {"variables": login(), "address": {}, "netrc": {"NETRC": str(netrc)}}[way]
    taken = machine.resolve("alpha", "fromsource")
    directory = machine.build(taken.lock, wheels=taken.wheels)
    assert installed(directory) == {"alpha": "2.0", "beta": "2.0", "fromsource": "1.0"}

    said = [taken.lock.to_toml(), *machine.log, *map(str, machine.progress), *map(str, taken.warnings)]
    assert PASSWORD not in "\n".join(said)
    assert not is_anywhere(PASSWORD, directory)


@pytest.mark.parametrize("in_address", [False, True], ids=["variables", "address"])
def test_a_wrong_password_is_told_as_such_and_not_repeated(
    machine: Machine, locked_http: HttpIndex, in_address: bool
) -> None:
    if in_address:
        machine.index = "corp=" + locked_http.url_with_credentials.replace(PASSWORD, f"wrong-{PASSWORD}")
    else:
        machine.index, machine.environ = f"corp={locked_http.url}", login(f"wrong-{PASSWORD}")
    with pytest.raises(Failed) as raised:
        machine.resolve("alpha")
    assert re.search("authenti|401", f"{raised.value.message} {raised.value.hint}")
    said = [raised.value.message, raised.value.hint or "", str(raised.value.details), *machine.log]
    assert PASSWORD not in "\n".join(said)


def test_a_password_that_is_refused_for_source_is_in_no_error(machine: Machine, locked_http: HttpIndex) -> None:
    machine.index = f"corp={locked_http.url_with_credentials}"
    machine.resolve("fromsource")
    shutil.rmtree(machine.folder / "cache" / "from-source")
    locked_http.password = "another"
    with pytest.raises(Failed) as raised:
        machine.resolve("fromsource")
    assert PASSWORD not in "\n".join([raised.value.message, raised.value.hint or "", *machine.log])


def test_no_password_is_in_the_arguments_of_a_program_which_all_users_see(
    machine: Machine, locked_http: HttpIndex
) -> None:
    record = machine.folder / "arguments"
    machine.uv = script(machine.folder / "uv", f'echo "$@" >> "{record}"\nexec "{find_uv_bin()}" "$@"')
    machine.index, machine.environ = f"corp={locked_http.url_with_credentials}", login()
    taken = machine.resolve("alpha", "fromsource")
    machine.build(taken.lock, wheels=taken.wheels)
    assert "pip sync" in record.read_text()
    assert PASSWORD not in record.read_text()


def test_each_of_two_indexes_of_a_host_gets_its_own_password_for_source(machine: Machine, tmp_path: Path) -> None:
    dists = [Distribution(name=name, version="1.0", sdist_only=True) for name in ("mine", "yours")]
    houses = [Wheelhouse(tmp_path / dist.name).add(dist).write() for dist in dists]
    with (
        HttpIndex(houses[0], username="ada", password="one") as mine,
        HttpIndex(houses[1], username="ada", password="two") as yours,
    ):
        machine.index = f"yours={yours.url}"
        machine.environ = {"UV_INDEX": f"mine={mine.url}", **login("one", "MINE"), **login("two", "YOURS")}
        assert machine.resolve("mine", "yours").lock.versions == {"mine": "1.0", "yours": "1.0"}


def test_the_password_of_an_index_is_shown_to_no_other_service_of_its_host(tmp_path: Path) -> None:
    """As uv has it: a password is for one scheme, host and port."""
    shown: list[str | None] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["Authorization"])
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}/files/x-1.0.tar.gz"
        env = {"UV_INDEX": "corp=http://127.0.0.1:9/simple/", **login()}
        with pytest.raises(EngineFailed):
            asyncio.run(fetch(address, env, folder=tmp_path, target=tmp_path / "file", seconds=10))
        server.shutdown()
        thread.join()
    assert set(shown) == {None}


# The network


def test_offline_without_a_cache_there_is_a_sentence(machine: Machine, http: HttpIndex) -> None:
    machine.index = http.url
    machine.environ = {"UV_OFFLINE": "1"}
    with pytest.raises(Failed) as raised:
        machine.resolve("alpha")
    assert is_a_sentence(raised.value.message)
    assert "alpha" in raised.value.message
    assert "network was disabled" in f"{raised.value.message} {raised.value.hint}"
    assert http.requests == []


def test_offline_with_a_cache_all_works(machine: Machine, http: HttpIndex) -> None:
    machine.index = http.url
    first = machine.resolve("alpha", "fromsource")
    machine.build(first.lock, "first", wheels=first.wheels)
    http.close()
    machine.environ = {"UV_OFFLINE": "1"}
    again = machine.resolve("alpha", "fromsource")
    assert again.lock == first.lock
    directory = machine.build(again.lock, "second", wheels=again.wheels)
    assert installed(directory) == {"alpha": "2.0", "beta": "2.0", "fromsource": "1.0"}


def test_what_the_cache_has_is_built_without_a_question_to_the_index(machine: Machine, http: HttpIndex) -> None:
    machine.index = http.url
    lock = machine.resolve("alpha").lock
    machine.build(lock, "first")
    http.requests.clear()
    machine.build(lock, "second")
    assert http.requests == []


def test_a_lock_builds_from_any_index_with_the_same_files(machine: Machine, http: HttpIndex, house: Wheelhouse) -> None:
    machine.index = http.url
    lock = machine.resolve("alpha").lock
    http.close()
    machine.index, machine.cache = house.url, "another-cache"
    assert installed(machine.build(lock)) == {"alpha": "2.0", "beta": "2.0"}


def test_a_lock_builds_from_a_folder_of_files(machine: Machine, house: Wheelhouse) -> None:
    machine.index = None
    machine.environ = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(house.find_links)}
    taken = machine.resolve("alpha", "beta<3", "fromsource")
    directory = machine.build(taken.lock, wheels=taken.wheels)
    assert installed(directory) == {"alpha": "2.0", "beta": "2.0", "fromsource": "1.0"}


def test_a_file_that_is_not_the_one_of_the_lock_is_refused(machine: Machine, http: HttpIndex) -> None:
    machine.index = http.url
    lock = machine.resolve("alpha").lock
    http.corrupt = {"beta-2.0-py3-none-any.whl"}
    with pytest.raises(EngineFailed, match=r"[Hh]ash.*beta==2\.0") as raised:
        machine.build(lock)
    assert is_a_sentence(raised.value.message)


def test_a_source_that_is_not_the_one_of_the_index_is_refused(machine: Machine, http: HttpIndex) -> None:
    machine.index = http.url
    http.corrupt = {"fromsource-1.0.tar.gz"}
    with pytest.raises(Failed, match="fromsource") as raised:
        machine.resolve("fromsource")
    assert is_a_sentence(raised.value.message)


def test_a_file_that_the_index_lost_is_installed_from_the_cache(
    machine: Machine, http: HttpIndex, house: Wheelhouse
) -> None:
    machine.index = http.url
    lock = machine.resolve("alpha").lock
    machine.build(lock, "first")
    house.remove("beta", "2.0", listed=False)
    assert installed(machine.build(lock, "second")) == {"alpha": "2.0", "beta": "2.0"}


def test_a_file_that_nobody_has_any_more_fails_with_its_name(
    machine: Machine, http: HttpIndex, house: Wheelhouse
) -> None:
    machine.index = http.url
    lock = machine.resolve("alpha").lock
    house.remove("beta", "2.0", listed=False)
    with pytest.raises(Failed, match="beta") as raised:
        machine.build(lock)
    assert is_a_sentence(raised.value.message)


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_index_that_fails_gives_a_sentence(machine: Machine, http: HttpIndex, status: int) -> None:
    machine.index = http.url
    machine.environ = {"UV_HTTP_RETRIES": "0"}
    http.fail_status = status
    with pytest.raises(Failed) as raised:
        machine.resolve("alpha")
    assert is_a_sentence(raised.value.message)
    assert "alpha" in raised.value.message


def test_an_index_that_never_answers_is_given_up_in_time(machine: Machine, http: HttpIndex) -> None:
    machine.index = http.url
    machine.settings = Settings(limits=Limits(build_minutes=1 / 60))
    http.hang = True
    before = time.monotonic()
    with pytest.raises(EngineFailed, match="minutes") as raised:
        machine.resolve("alpha")
    assert time.monotonic() - before < 6
    assert "build_minutes" in (raised.value.hint or "")


def test_a_build_from_an_index_that_never_answers_is_given_up_in_time(machine: Machine, http: HttpIndex) -> None:
    machine.index = http.url
    lock = machine.resolve("alpha").lock
    machine.settings = Settings(limits=Limits(build_minutes=1 / 60))
    http.hang = True
    before = time.monotonic()
    with pytest.raises(EngineFailed, match="minutes"):
        machine.build(lock)
    assert time.monotonic() - before < 6


@pytest.fixture
def silent(machine: Machine, house: Wheelhouse, tmp_path: Path) -> Iterator[HttpIndex]:
    """An index that falls silent once the resolver has read the source `distant`, for 12 seconds."""
    read, gone = tmp_path / "read", threading.Event()
    mark = f"open({str(read)!r}, 'w').close()\n"
    house.add(Distribution(name="distant", version="1.0", sdist_only=True, build_script=mark)).write()
    with HttpIndex(house) as index:
        machine.index = index.url

        def watch() -> None:
            while not read.exists() and not gone.is_set():
                time.sleep(0.001)
            index.hang = True
            gone.wait(12)
            index.close()

        thread = threading.Thread(target=watch)
        thread.start()
        yield index
        gone.set()
        thread.join()


def test_source_that_never_comes_is_given_up_in_time(machine: Machine, silent: HttpIndex) -> None:
    machine.settings = Settings(limits=Limits(build_minutes=2 / 60))
    before = time.monotonic()
    with pytest.raises(EngineFailed):
        machine.resolve("distant")
    assert time.monotonic() - before < 8


def test_cancelling_does_not_wait_for_source_that_never_comes(machine: Machine, silent: HttpIndex) -> None:
    async def cancel() -> None:
        task = asyncio.create_task(machine.resolving("distant"))
        asked = await asyncio.to_thread(wait_until, lambda: silent.requests.count("/files/distant-1.0.tar.gz") > 1)
        assert asked
        task.cancel()
        await asyncio.wait([task])

    before = time.monotonic()
    asyncio.run(cancel())
    assert time.monotonic() - before < 8


@pytest.mark.parametrize("verb", ["cancel", "time out"])
def test_what_ends_a_build_from_source_ends_its_children_too(
    machine: Machine, house: Wheelhouse, tmp_path: Path, verb: str
) -> None:
    started = tmp_path / "started"
    house.add(Distribution(name="slow", version="1.0", sdist_only=True, build_script=slow_build(60, started))).write()

    async def cancel() -> None:
        task = asyncio.create_task(machine.resolving("slow"))
        assert await asyncio.to_thread(wait_until, started.exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    if verb == "cancel":
        asyncio.run(cancel())
    else:
        machine.settings = Settings(limits=Limits(build_minutes=2.5 / 60))
        with pytest.raises(EngineFailed):
            machine.resolve("slow")
    pids = list(map(int, started.read_text().split()))
    assert len(pids) == 2
    assert wait_until(lambda: not any(map(is_alive, pids)), seconds=5)


# What is set


def only_alpha(root: Path, version: str) -> Wheelhouse:
    return Wheelhouse(root).add(Distribution(name="alpha", version=version)).write()


def test_variables_off_the_allow_list_change_nothing(machine: Machine, house: Wheelhouse, tmp_path: Path) -> None:
    plain = machine.resolve("alpha", "fromsource")
    hostile = tmp_path / "hostile"
    (hostile / "bin").mkdir(parents=True)
    (hostile / "sitecustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    (hostile / "constraints.txt").write_text("alpha<1.5\n")
    (hostile / "uv.toml").write_text(
        f'[[index]]\nurl = "{only_alpha(tmp_path / "other", "0.1").url}"\ndefault = true\n'
    )
    (machine.folder / ".config" / "uv").mkdir(parents=True)
    shutil.copy(hostile / "uv.toml", machine.folder / ".config" / "uv" / "uv.toml")
    machine.environ = {
        "UV_PRERELEASE": "allow",
        "UV_RESOLUTION": "lowest",
        "UV_CONSTRAINT": str(hostile / "constraints.txt"),
        "UV_OVERRIDE": str(hostile / "constraints.txt"),
        "UV_CONFIG_FILE": str(hostile / "uv.toml"),
        "UV_PYTHON": "3.99",
        "UV_SYSTEM_PYTHON": "1",
        "UV_TARGET": str(hostile),
        "UV_NO_BUILD": "1",
        "UV_NO_BINARY": "1",
        "UV_LINK_MODE": "symlink",
        "UV_CACHE_DIR": str(hostile / "cache"),
        "UV_REQUIRE_HASHES": "1",
        "UV_CUSTOM_COMPILE_COMMAND": "x",
        "VIRTUAL_ENV": str(hostile),
        "CONDA_PREFIX": str(hostile),
        "PYTHONPATH": str(hostile),
        "PYTHONHOME": str(hostile),
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple/",
        "XDG_CONFIG_HOME": str(machine.folder / ".config"),
    }
    machine.cache = "another-cache"
    again = machine.resolve("alpha", "fromsource")
    assert again.lock == plain.lock
    assert installed(machine.build(again.lock, wheels=again.wheels)) == plain.lock.versions
    assert not (tmp_path / "ran").exists()
    assert not (hostile / "cache").exists()


def test_a_project_in_the_current_folder_changes_nothing(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.uv]\nconstraint-dependencies = ["alpha<1.5"]\n')
    (tmp_path / "uv.toml").write_text("no-index = true\n")
    monkeypatch.chdir(tmp_path)
    assert machine.resolve("alpha").lock.versions["alpha"] == "2.0"


def test_the_default_index_of_the_settings_is_used(machine: Machine, house: Wheelhouse) -> None:
    machine.index = None
    machine.settings = Settings(indexes=(Index(name="corp", url=house.url, default=True),))
    lock = machine.resolve("alpha").lock
    assert lock.versions == {"alpha": "2.0", "beta": "2.0"}
    machine.build(lock)


def test_a_named_index_of_the_settings_goes_before_the_default_one(machine: Machine, tmp_path: Path) -> None:
    team = only_alpha(tmp_path / "team", "7.0")
    machine.settings = Settings(indexes=(Index(name="team", url=team.url),))
    assert machine.resolve("alpha", "comm").lock.versions == {"alpha": "7.0", "comm": "0.2"}


def test_the_login_of_an_index_of_the_settings_is_in_the_variables(machine: Machine, locked_http: HttpIndex) -> None:
    machine.index, machine.environ = None, login(name="TEAM_A")
    machine.settings = Settings(indexes=(Index(name="team-a", url=locked_http.url, default=True),))
    taken = machine.resolve("beta", "fromsource")
    assert installed(machine.build(taken.lock, wheels=taken.wheels)) == {"beta": "2.0", "fromsource": "1.0"}


def test_what_variables_say_goes_before_the_settings(machine: Machine, tmp_path: Path) -> None:
    settings, mine = only_alpha(tmp_path / "settings", "0.1"), only_alpha(tmp_path / "mine", "8.0")
    machine.settings = Settings(
        indexes=(Index(name="corp", url=settings.url, default=True), Index(name="team", url=settings.url))
    )
    machine.environ = {"UV_INDEX": mine.url}
    assert machine.resolve("alpha").lock.versions == {"alpha": "8.0"}
    machine.settings = Settings(indexes=(Index(name="corp", url=settings.url, default=True),))
    machine.environ = {}
    assert machine.resolve("alpha").lock.versions["alpha"] == "2.0"


# Hostile packages


@pytest.fixture
def sacrifice(machine: Machine) -> Interpreter:
    """An interpreter of one's own, that a package may overwrite without harm to the tests."""
    path = machine.folder / "base" / "bin" / f"python{PYTHON}"
    path.parent.mkdir(parents=True)
    shutil.copy2(RUNNING, path)
    (machine.folder / "base" / "lib").symlink_to(RUNNING.parent.parent / "lib")
    machine.interpreter = Interpreter(path=path, version=HERE.version)
    return machine.interpreter


SHELL = "#!/bin/sh\necho pwned\n"
HOSTILE = {
    "script named python": Distribution(name="evil", version="1.0", data_scripts={"python": SHELL}),
    "script named python3": Distribution(name="evil", version="1.0", data_scripts={"python3": SHELL}),
    "script upwards": Distribution(name="evil", version="1.0", data_scripts={"../../../x": SHELL}),
    "data named python": Distribution(
        name="evil", version="1.0", modules={"evil.py": "", "evil-1.0.data/data/bin/python": SHELL}
    ),
    "data upwards": Distribution(
        name="evil", version="1.0", modules={"evil.py": "", "evil-1.0.data/data/../../../x": SHELL}
    ),
    "module over python": Distribution(
        name="evil", version="1.0", modules={"evil.py": "", "../../../bin/python": SHELL}
    ),
    "module upwards": Distribution(name="evil", version="1.0", modules={"evil.py": "", "../../../../x": SHELL}),
    "module from the root": Distribution(name="evil", version="1.0", modules={"evil.py": "", "{outside}/x": SHELL}),
    "command upwards": Distribution(name="evil", version="1.0", scripts={"../../x": "evil:main"}),
    "command named python": Distribution(name="evil", version="1.0", scripts={"python": "evil:main"}),
    "another dist-info": Distribution(
        name="evil",
        version="1.0",
        modules={"evil.py": "", "comm-9.9.dist-info/METADATA": "Name: comm\nVersion: 9.9\n"},
    ),
}


def everything(folder: Path) -> dict[str, bytes | None]:
    """What is below, save what the build itself may write."""
    mine = ("prefix", "cache", "tmp")
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.relative_to(folder).parts[0] not in mine
    }


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_wheel_fails_or_leaves_all_outside_and_the_interpreter_alone(
    machine: Machine, house: Wheelhouse, sacrifice: Interpreter, tmp_path: Path, kind: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (machine.folder / "tmp").mkdir()
    machine.environ = {"TMPDIR": str(machine.folder / "tmp")}
    dist = HOSTILE[kind]
    modules = {path.format(outside=outside): text for path, text in dist.modules.items()}
    house.add(Distribution(**{**vars(dist), "modules": modules})).write()
    before = everything(machine.folder), sacrifice.path.read_bytes()
    try:
        directory = machine.build(machine.resolve("evil").lock)
    except Failed as error:
        assert is_a_sentence(error.message)
    else:
        assert Path(os.path.realpath(directory / "bin" / "python")) == sacrifice.path
        assert set(installed(directory)) == {"evil"}
        assert SHELL.encode() not in [path.read_bytes() for path in (directory / "bin").iterdir()]
    assert (everything(machine.folder), sacrifice.path.read_bytes()) == before
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "x").exists()


# A broken uv


@pytest.fixture
def lock(machine: Machine) -> Lock:
    return machine.resolve("alpha").lock


FAKES = {
    "rubbish, then an error": "printf '\\377\\000\\033[31mgarbage\\n' >&2; exit 1",
    "rubbish, and all is well": "echo '{not what was asked'; exit 0",
    "nothing, then an error": "exit 2",
    "a crash": "kill -SEGV $$",
    "not found": None,
    "another version": "echo \"error: unexpected argument '--no-header' found\" >&2; exit 2",
}


@pytest.mark.parametrize("verb", ["resolve", "build"])
@pytest.mark.parametrize("kind", FAKES)
def test_a_broken_uv_gives_a_sentence(machine: Machine, lock: Lock, verb: str, kind: str) -> None:
    text = FAKES[kind]
    machine.uv = script(machine.folder / "uv", text) if text is not None else str(machine.folder / "absent")
    with pytest.raises(EngineFailed) as raised:
        if verb == "resolve":
            machine.resolve("alpha")
        else:
            machine.build(lock)
    assert is_a_sentence(raised.value.message)
    assert "replaced the interpreter" not in raised.value.message


def test_a_uv_that_crashes_is_told_from_one_that_says_why(machine: Machine) -> None:
    machine.uv = script(machine.folder / "uv", FAKES["a crash"] or "")
    with pytest.raises(EngineFailed, match=r"signal 11|SIGSEGV|-11"):
        machine.resolve("alpha")


def test_a_uv_that_may_not_be_run_gives_a_sentence(machine: Machine) -> None:
    machine.uv = str(machine.folder)
    with pytest.raises(EngineFailed, match="uv could not be started"):
        machine.resolve("alpha")


def test_the_log_has_no_control_characters(machine: Machine) -> None:
    machine.uv = script(machine.folder / "uv", "printf 'a\\033[2Jb\\033]52;c;eA==\\007c\\rd\\000e\\n' >&2; exit 1")
    with pytest.raises(EngineFailed):
        machine.resolve("alpha")
    assert machine.log
    assert not any(ord(character) < 32 for line in machine.log for character in line)


# Together


def test_engines_that_share_a_cache_do_not_disturb_each_other(machine: Machine) -> None:
    async def all_at_once() -> list[Resolution]:
        asked = [("alpha", "fromsource"), ("fromsource", "comm"), ("big", "fromsource"), ("chain-0", "fromsource")]
        return await asyncio.gather(*(machine.resolving(*lines) for lines in asked))

    found = asyncio.run(all_at_once())
    kept = {package.sha256 for one in found for package in one.lock.packages if package.name == "fromsource"}
    assert len(kept) == 1


def test_a_wheel_built_at_once_by_two_is_one_wheel(machine: Machine, house: Wheelhouse, tmp_path: Path) -> None:
    """Both get a lock whose file is there, be their wheels the same or not."""
    built = tmp_path / "built"
    varying = Distribution(name="varying", version="1.0", sdist_only=True, build_script=counting_build(built))
    house.add(varying).write()

    async def both() -> tuple[Resolution, Resolution]:
        return await asyncio.gather(machine.resolving("varying"), machine.resolving("varying"))

    for resolution in asyncio.run(both()):
        ((digest, path),) = resolution.wheels.items()
        assert digest == resolution.lock.packages[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert installed(machine.build(resolution.lock, f"prefix-{digest[:8]}", {digest: path})) == {"varying": "1.0"}


def test_errors_of_the_engine_are_errors_of_envpanel(machine: Machine) -> None:
    for line in ("nosuch", "badsource"):
        with pytest.raises(EnvPanelError):
            machine.resolve(line)
