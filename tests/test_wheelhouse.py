"""What the real uv makes of the wheels and indexes of `wheelhouse`: the ground the other tests stand on."""

from __future__ import annotations

import base64
import csv
import hashlib
import http.client
import os
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from uv import find_uv_bin
from wheelhouse import (
    Distribution,
    HttpIndex,
    Wheelhouse,
    canonical,
    make_sdist,
    make_wheel,
    slow_build,
    standard,
)


class Uv:
    """The real uv in a folder of its own: cache, home and files are new for each test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "pylock.toml"
        self.prefix = folder / "venv"
        self.env = {
            "HOME": str(folder),
            "PATH": "/usr/bin:/bin",
            "UV_NO_CONFIG": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_CACHE_DIR": str(folder / "cache"),
        }

    def command(self, *args: str | Path) -> dict[str, Any]:
        """The arguments of `subprocess` for this call of uv."""
        return {
            "args": [find_uv_bin(), *map(str, args)],
            "env": self.env,
            "cwd": self.folder,
            "stdin": subprocess.DEVNULL,
        }

    def __call__(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(**self.command(*args), capture_output=True, text=True, timeout=120)

    def compile(self, index: str, *requirements: str) -> subprocess.CompletedProcess[str]:
        """Resolve from nothing; the lock of an earlier call does not take part."""
        self.lock.unlink(missing_ok=True)
        (self.folder / "reqs.in").write_text("\n".join(requirements))
        where = ("-p", sys.executable, "--default-index", index)
        return self("pip", "compile", "reqs.in", *where, "--generate-hashes", "-o", self.lock)

    def sync(self) -> subprocess.CompletedProcess[str]:
        """Install what was locked into a new environment."""
        assert self("venv", "--no-project", "--clear", "-p", sys.executable, self.prefix).returncode == 0
        return self("pip", "sync", "-p", self.prefix / "bin/python", self.lock)

    @property
    def locked(self) -> dict[str, dict[str, Any]]:
        """The packages of the lock by name."""
        return {entry["name"]: entry for entry in tomllib.loads(self.lock.read_text())["packages"]}

    @property
    def versions(self) -> dict[str, str]:
        return {name: entry["version"] for name, entry in self.locked.items()}


@pytest.fixture
def uv(tmp_path: Path) -> Uv:
    folder = tmp_path / "uv"
    folder.mkdir()
    return Uv(folder)


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    return standard(tmp_path / "house")


def request(index: HttpIndex, path: str = "/simple/") -> http.client.HTTPConnection:
    """Ask without waiting for the answer."""
    connection = http.client.HTTPConnection(urlsplit(index.url).netloc, timeout=60)
    connection.request("GET", path)
    return connection


def test_the_same_distribution_gives_the_same_bytes(tmp_path: Path) -> None:
    dist = Distribution(name="some.Name", version="1.0+local", requires=("alpha",), scripts={"run": "m:f"})
    for make in (make_wheel, make_sdist):
        assert make(dist, tmp_path / "a").read_bytes() == make(dist, tmp_path / "b").read_bytes()


def test_record_tells_the_hash_and_size_of_every_file(tmp_path: Path) -> None:
    dist = Distribution(name="many", version="1", scripts={"x": "m:f"}, data_scripts={"a,b": "#!python\n"})
    with zipfile.ZipFile(make_wheel(dist, tmp_path)) as wheel:
        rows = {row[0]: row[1:] for row in csv.reader(wheel.read("many-1.dist-info/RECORD").decode().split())}
        assert set(rows) == set(wheel.namelist())
        assert rows.pop("many-1.dist-info/RECORD") == ["", ""]
        for path, (digest, size) in rows.items():
            content = wheel.read(path)
            sha256 = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert (digest, size) == (f"sha256={sha256}", str(len(content)))


def test_the_file_index_resolves_to_the_newest_with_true_hashes(uv: Uv, house: Wheelhouse) -> None:
    assert uv.compile(house.url, "alpha", "beta").returncode == 0
    assert uv.versions == {"alpha": "2.0", "beta": "2.0"}
    content = (house.find_links / "alpha-2.0-py3-none-any.whl").read_bytes()
    assert uv.locked["alpha"]["wheels"][0]["hashes"]["sha256"] == hashlib.sha256(content).hexdigest()

    uv.compile(house.url, "alpha<2")
    assert uv.versions == {"alpha": "1.10"}


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        (["alpha==2.0", "gamma"], "alpha==2.0 depends on beta>=2"),
        (["newpy"], "does not satisfy Python>=3.99"),
        (["wintag"], "no wheels with a matching platform tag"),
        (["nosuch"], "nosuch was not found"),
    ],
)
def test_what_cannot_be_had_together_or_here_has_no_solution(
    uv: Uv, house: Wheelhouse, requirements: list[str], reason: str
) -> None:
    result = uv.compile(house.url, *requirements)
    assert result.returncode == 1
    assert "No solution" in result.stderr
    assert reason in result.stderr


def test_markers_and_extras_decide_what_is_required(uv: Uv, house: Wheelhouse) -> None:
    uv.compile(house.url, "marked", "alpha<2")
    assert uv.versions == {"marked": "1.0", "alpha": "1.10"}
    uv.compile(house.url, "extra")
    assert set(uv.versions) == {"extra"}
    uv.compile(house.url, "extra[fast]")
    assert set(uv.versions) == {"extra", "gamma", "alpha", "beta"}


def test_a_yanked_release_is_taken_only_when_named_and_with_a_warning(uv: Uv, house: Wheelhouse) -> None:
    assert "yanked" not in uv.compile(house.url, "beta").stderr
    assert uv.versions == {"beta": "2.0"}
    result = uv.compile(house.url, "beta==3.0")
    assert 'warning: `beta==3.0` is yanked (reason: "broken")' in result.stderr
    assert uv.versions == {"beta": "3.0"}


def test_everything_installs_and_the_commands_run(uv: Uv, house: Wheelhouse) -> None:
    script = "#!python\nprint('hello from a data script')\n"
    house.add(Distribution(name="scripted", version="1.0+local.1", data_scripts={"data-hello": script})).write()
    names = ("dashed.name", "tool", "scripted", "big", "ipykernel", "ipywidgets", "chain-0", "lib-a")
    assert uv.compile(house.url, *names).returncode == 0
    assert uv.sync().returncode == 0
    assert uv("pip", "check", "-p", uv.prefix / "bin/python").returncode == 0
    assert {"comm", "chain-20", *map(canonical, names)} <= set(uv.versions)

    for command, text in (("tool-hello", "hello from tool\n"), ("data-hello", "hello from a data script\n")):
        assert subprocess.check_output([uv.prefix / "bin" / command], text=True) == text
    code = "import dashed_name, big.part_59; print(dashed_name.__version__)"
    assert subprocess.check_output([uv.prefix / "bin/python", "-c", code], text=True) == "1.0\n"


def test_a_source_distribution_is_built_and_installed(uv: Uv, house: Wheelhouse) -> None:
    assert "Built fromsource==1.0" in uv.compile(house.url, "fromsource").stderr
    assert "sdist" in uv.locked["fromsource"]
    assert "+ fromsource==1.0" in uv.sync().stderr


def test_a_build_gives_the_bytes_of_the_wheel(uv: Uv, tmp_path: Path) -> None:
    dist = Distribution(name="fromsource", version="1.0", scripts={"x": "fromsource:x"})
    sdist, wheel = make_sdist(dist, tmp_path), make_wheel(dist, tmp_path)
    assert uv("build", "--wheel", sdist, "-o", "out", "-p", sys.executable, "--offline").returncode == 0
    assert (uv.folder / "out" / wheel.name).read_bytes() == wheel.read_bytes()


def test_a_build_that_fails_tells_its_message(uv: Uv, house: Wheelhouse) -> None:
    result = uv.compile(house.url, "badsource")
    assert result.returncode == 1
    assert "Failed to build `badsource==1.0`" in result.stderr
    assert "no compiler here" in result.stderr


def test_a_slow_build_runs_with_a_child_in_the_process_group_of_uv(uv: Uv, tmp_path: Path) -> None:
    started = tmp_path / "started"
    dist = Distribution(name="slow", version="1.0", build_script=slow_build(60, started))
    call = uv.command("build", "--wheel", make_sdist(dist, tmp_path), "-o", "out", "-p", sys.executable)
    process = subprocess.Popen(**call, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while not started.exists():
            assert process.poll() is None
            time.sleep(0.02)
        build, child = map(int, started.read_text().split())
        assert build != child
        assert os.getpgid(build) == os.getpgid(child) == process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_http_index_tells_size_and_upload_time(uv: Uv, house: Wheelhouse) -> None:
    with HttpIndex(house) as index:
        assert uv.compile(index.url, "alpha<2").returncode == 0
        assert uv.sync().returncode == 0
        assert "/simple/alpha/" in index.requests
        assert "/files/alpha-1.10-py3-none-any.whl" in index.requests
    (wheel,) = uv.locked["alpha"]["wheels"]
    assert wheel["upload-time"].isoformat() == "2024-04-01T00:00:00+00:00"
    assert wheel["size"] == (house.find_links / "alpha-1.10-py3-none-any.whl").stat().st_size


def test_the_http_index_wants_the_right_password(uv: Uv, house: Wheelhouse) -> None:
    with HttpIndex(house, username="ada", password="s3/cret") as index:
        result = uv.compile(index.url, "alpha")
        assert result.returncode == 1
        assert "(401 Unauthorized)" in result.stderr
        assert uv.compile(index.url_with_credentials, "alpha").returncode == 0
        wrong = index.url_with_credentials.replace("cret", "x")
        assert "(401 Unauthorized)" in uv.compile(wrong, "beta").stderr


@pytest.mark.parametrize(
    ("name", "filename"), [("beta", "beta-2.0-py3-none-any.whl"), ("fromsource", "fromsource-1.0.tar.gz")]
)
def test_a_corrupt_file_is_refused_for_its_hash(uv: Uv, house: Wheelhouse, name: str, filename: str) -> None:
    with HttpIndex(house) as index:
        assert uv.compile(index.url, name).returncode == 0
        uv.env["UV_CACHE_DIR"] += "-empty"
        index.corrupt = {filename}
        result = uv.sync()
    assert result.returncode == 1
    assert "Hash mismatch" in result.stderr


def test_a_lost_file_still_resolves_over_http_and_then_fails(uv: Uv, house: Wheelhouse) -> None:
    with HttpIndex(house) as index:
        house.remove("Beta", "2.0")
        assert uv.compile(index.url, "beta").returncode == 0
        result = uv.sync()
    assert uv.versions == {"beta": "2.0"}
    assert result.returncode == 1
    assert "404 Not Found" in result.stderr


def test_a_lost_file_fails_to_resolve_from_the_file_index(uv: Uv, house: Wheelhouse) -> None:
    """uv reads a local wheel itself, not the metadata beside it."""
    house.remove("beta", "2.0")
    result = uv.compile(house.url, "beta")
    assert result.returncode == 2
    assert "failed to open file" in result.stderr


def test_a_release_no_longer_listed_is_no_longer_known(uv: Uv, house: Wheelhouse) -> None:
    house.remove("beta", "2.0", listed=False)
    uv.compile(house.url, "beta")
    assert uv.versions == {"beta": "1.0"}
    house.remove("onlypre", "1.0a1", listed=False)
    assert "onlypre was not found" in uv.compile(house.url, "onlypre").stderr
    with pytest.raises(KeyError, match="not in this wheelhouse"):
        house.remove("onlypre", "1.0a1")


def test_a_lost_file_comes_back_when_added_again(uv: Uv, house: Wheelhouse) -> None:
    house.remove("comm", "0.2")
    house.add(Distribution(name="comm", version="0.2")).write()
    assert uv.compile(house.url, "comm").returncode == 0


def test_the_http_index_fails_and_waits_as_told(house: Wheelhouse) -> None:
    with HttpIndex(house) as index:
        index.fail_status = 503
        assert request(index).getresponse().status == 503
        index.fail_status, index.delay = None, 0.2
        before = time.monotonic()
        assert request(index).getresponse().status == 200
        assert time.monotonic() - before >= 0.2


@pytest.mark.parametrize("path", ["/", "/simple/nosuch/", "/files/../simple/", "/files/..%2Fsimple/index.html", "/x"])
def test_the_http_index_serves_nothing_else(house: Wheelhouse, path: str) -> None:
    with HttpIndex(house) as index:
        assert request(index, path).getresponse().status == 404


def test_closing_cuts_hanging_and_idle_connections_at_once(house: Wheelhouse) -> None:
    index = HttpIndex(house)
    idle = request(index)
    assert idle.getresponse().read()
    index.hang = True
    hanging = request(index)
    while len(index.requests) < 2:
        time.sleep(0.01)
    before = time.monotonic()
    index.close()
    index.close()
    assert time.monotonic() - before < 5
    for connection in (idle, hanging):
        with pytest.raises(ConnectionError):
            if connection is idle:
                connection.request("GET", "/simple/")
            connection.getresponse()
