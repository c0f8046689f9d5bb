"""Both ways to envpanel, over REST and by the command line, keep the same contract."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_server import LiveServer
from wheelhouse import Distribution, Wheelhouse, slow_build

from envpanel.notebook import find, over_rest
from envpanel.notebook.client import Client, EnvPanelError, quiet
from envpanel.notebook.over_cli import CliClient, package_name
from envpanel.notebook.over_rest import RestClient, Server

PACKAGES = (
    Distribution(name="alpha", version="1.0", modules={"alpha.py": "V = 1\n"}),
    Distribution(name="alpha", version="2.0", modules={"alpha.py": "V = 2\n"}),
    Distribution(name="beta", version="1.0", requires=("alpha",), modules={"beta.py": "V = 1\n"}),
)


class Place:
    """A project of its own, which a client asks for."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self.environ = environ

    def ok(self, *arguments: str) -> Any:
        """What the real command line prints, by `--json`."""
        argv = [sys.executable, "-m", "envpanel", *arguments, "--json"]
        done = subprocess.run(argv, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pid child_pid` of a build that sleeps."""
    return tmp_path_factory.mktemp("started") / "slow"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, started: Path) -> Place:
    slow = Distribution(name="slow", version="1.0", sdist_only=True, build_script=slow_build(120, started=started))
    house = Wheelhouse(tmp_path_factory.mktemp("house")).add(*PACKAGES, slow).write()
    folder = tmp_path_factory.mktemp("project")
    unwanted = ("ENVPANEL_", "JUPYTER", "UV_")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
    cache = tmp_path_factory.mktemp("user-cache")
    made = Place(folder, {**environ, "UV_DEFAULT_INDEX": house.url, "ENVPANEL_CACHE": str(cache)})
    made.ok("create", "ground", "--group", "model-training", "--no-kernel", "alpha<2", "-m", "the first")
    return made


@pytest.fixture(scope="module")
def server(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    made = LiveServer(place.folder, tmp_path_factory.mktemp("private") / "jupyter", place.environ)
    yield made
    made.stop()


@pytest.fixture(params=["rest", "cli"])
def client(request: pytest.FixtureRequest, place: Place) -> Client:
    if request.param == "cli":
        return CliClient(sys.executable, str(place.folder / ".envpanel"), place.environ)
    server = request.getfixturevalue("server")
    return RestClient(Server(server.url, f"token {server.token}"))


@pytest.fixture
def name(request: pytest.FixtureRequest, client: Client) -> str:
    """A clone of the ground, for this client and test."""
    made = "c-" + "".join(char if char.isalnum() else "-" for char in request.node.name.lower())[-60:].strip("-")
    client.change(made, {"operation": "clone", "source": "ground", "description": "mine"}, message="", report=quiet)
    return made


def install(*requirements: str, **more: Any) -> dict[str, Any]:
    return {"operation": "install", "requirements": list(requirements), **more}


def test_looking(client: Client, name: str) -> None:
    listed = {item["name"]: item for item in client.environments()}
    assert (listed["ground"]["head"], listed[name]["description"]) == (1, "mine")
    assert client.record(name)["number"] == client.record("ground", 1)["number"] == 1
    assert client.having("alpha<2")["ground"] == "1.0"
    assert "ground" not in client.having("alpha>=2")
    [entry] = client.history("ground")
    assert (entry["number"], entry["operation"], entry["message"]) == (1, "create", "the first")
    assert [item["name"] for item in entry["diff"]["installed"]] == ["alpha"]
    assert client.history("ground", package="beta") == []
    assert client.text("ground", 1, "yaml").startswith("name: ground\n")
    assert client.attempts(name) == []


def test_changing(client: Client, name: str) -> None:
    preview = client.preview(name, install("beta", "alpha>=2"), report=quiet)
    assert [item["name"] for item in preview["plan"]["installed"]] == ["beta"]
    assert client.record(name)["number"] == 1
    with pytest.raises(EnvPanelError) as failed:
        client.apply(name, "0" * 64, message="", report=quiet)
    assert failed.value.code == "not-found"
    outcome = client.apply(name, preview["id"], message="-m is no option here", report=quiet)
    assert outcome["changed"] is True
    record = outcome["record"]
    assert (record["number"], record["operation"], record["message"]) == (2, "install", "-m is no option here")
    again = client.change(name, install("beta"), message="", report=quiet)
    assert (again["changed"], again["record"]["number"]) == (False, 2)
    diff = client.diff((name, 1), (name, 2))
    assert [(item["name"], item["old"], item["new"]) for item in diff["upgraded"]] == [("alpha", "1.0", "2.0")]
    assert client.diff((name, 2), ("ground", 1))["uninstalled"][0]["name"] == "beta"
    gone = client.change(name, {"operation": "uninstall", "packages": ["beta"]}, message="", report=quiet)
    assert gone["record"]["number"] == 3
    back = client.change(name, {"operation": "restore", "revision": 1}, message="", report=quiet)
    assert back["record"]["content_id"] == client.record(name, 1)["content_id"]
    upgraded = client.change(name, {"operation": "upgrade", "packages": []}, message="", report=quiet)
    assert upgraded["changed"] is False, "alpha<2 is what was asked for"
    assert [entry["number"] for entry in client.history(name, limit=2)] == [4, 3]
    assert [entry["number"] for entry in client.history(name, before=3)] == [2, 1]


def test_a_file_of_requirements(client: Client, name: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.folder / "wanted.txt").write_text("beta==1.0  # for the joins\n")
    monkeypatch.chdir(place.folder)
    outcome = client.change(name, install(files=["wanted.txt"]), message="", report=quiet)
    assert [item["name"] for item in outcome["record"]["diff"]["installed"]] == ["beta"]
    with pytest.raises(EnvPanelError, match=r"nosuch\.txt"):
        client.change(name, install(files=["nosuch.txt"]), message="", report=quiet)


@pytest.mark.parametrize("asked", ["alpha>=7", "nosuch-package"])
def test_what_cannot_be_is_the_resolver_s_reason(client: Client, name: str, asked: str) -> None:
    with pytest.raises(EnvPanelError, match="No set of packages meets all requirements") as failed:
        client.change(name, install(asked), message="", report=quiet)
    assert failed.value.code == "unsatisfiable"
    [attempt] = client.attempts(name)
    assert attempt["code"] == "unsatisfiable"
    assert asked.partition(">")[0] in client.attempt_log(name, attempt["id"])


def test_errors_are_sentences(client: Client, name: str) -> None:
    for asked in (lambda: client.record("nosuch"), lambda: client.history("nosuch"), lambda: client.record(name, 9)):
        with pytest.raises(EnvPanelError) as failed:
            asked()
        assert failed.value.code == "not-found"
        assert failed.value.message.endswith(".")
    with pytest.raises(EnvPanelError) as failed:
        client.change(name, install("--index-url=http://evil"), message="", report=quiet)
    assert failed.value.code.startswith("invalid")
    with pytest.raises(EnvPanelError):
        client.change("No Name", {"operation": "clone", "source": "ground"}, message="", report=quiet)


def test_an_interrupt_cancels_it_and_all_that_it_has_started(client: Client, name: str, started: Path) -> None:
    started.unlink(missing_ok=True)
    told: list[Any] = []

    def interrupt() -> None:
        deadline = time.monotonic() + 40
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(EnvPanelError, match="Cancelled; nothing was changed") as failed:
        client.change(name, install("slow"), message="", report=told.append)
    thread.join()
    assert failed.value.code == "cancelled"
    assert told, "it says how far it is"
    assert all("phase" in each for each in told)
    assert client.record(name)["number"] == 1
    assert [attempt["state"] for attempt in client.attempts(name)] == ["cancelled"]
    for pid in started.read_text().split():
        assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()


# Each of its own


def test_a_server_that_is_gone_is_a_sentence() -> None:
    client = RestClient(Server("http://127.0.0.1:9/", None))
    with pytest.raises(EnvPanelError, match="The Jupyter server does not answer") as failed:
        client.environments()
    assert failed.value.code == "unreachable"


def test_a_python_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    client = CliClient(str(tmp_path / "python"), None, os.environ)
    with pytest.raises(EnvPanelError, match="which started this kernel, cannot be run"):
        client.environments()


def test_a_python_without_envpanel_is_a_sentence(place: Place) -> None:
    real = shutil.which("python3", path="/usr/bin:/bin")
    if real is None:
        pytest.skip("this machine has no other Python")
    with pytest.raises(EnvPanelError):
        CliClient(real, None, {"PATH": "/usr/bin:/bin"}).environments()


def test_progress_of_a_command_line_that_tells_it_is_told(tmp_path: Path) -> None:
    """One that does, for there may be a newer envpanel than this notebook side."""
    python = tmp_path / "python"
    lines = '{"phase": "installing", "done": 1, "total": 2, "unit": "packages"}'
    python.write_text(f"#!/bin/sh\necho '{lines}' >&2\nsleep 0.6\necho '[]'\n")
    python.chmod(0o755)
    told: list[Any] = []
    assert CliClient(str(python), None, os.environ)._run("list", report=told.append) == []
    assert told[-1]["phase"] == "installing"


def test_addresses_of_all_kinds() -> None:
    made = over_rest._connection("http+unix", "%2Ftmp%2Fa%20b.sock", 1)
    assert made._file == "/tmp/a b.sock"  # type: ignore[attr-defined]
    for address in ("https://127.0.0.1:1/", "http+unix://%2Fnosuch.sock/", "http://[::1]:1/"):
        with pytest.raises(OSError):
            Server(address, None).ask("GET", "envpanel")


@pytest.mark.parametrize(("spec", "expected"), [("Nu_m.Py<2", "nu-m-py"), ("a[b]>1", "a"), (" x ", "x")])
def test_the_name_in_a_specification(spec: str, expected: str) -> None:
    assert package_name(spec) == expected


# Which one


@pytest.fixture(autouse=True)
def nothing_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "_taken", [])


def test_the_login_is_taken_out_of_the_variables() -> None:
    environ = {"ENVPANEL_SERVER_URL": "http://127.0.0.1:1/", "ENVPANEL_TOKEN": "s3cret", "PATH": "/bin"}
    find.take(environ)
    assert environ == {"PATH": "/bin"}
    assert isinstance(find.client(environ, None), RestClient)
    assert "s3cret" not in repr(find._taken)
    find.take(environ)
    assert isinstance(find.client(environ, None), RestClient), "loading the extension again loses nothing"


def test_without_a_server_it_is_the_python_that_started_the_kernel() -> None:
    own = {"ENVPANEL_PREFIX": sys.prefix, "ENVPANEL_ENVIRONMENT": "churn", "ENVPANEL_REVISION": "3"}
    found = find.client({**own, "ENVPANEL_PYTHON": "/x/python", "ENVPANEL_HOME": "/h"}, None)
    assert isinstance(found, CliClient)
    assert found._command == ["/x/python", "-P", "-m", "envpanel", "--json", "--home", "/h"]


def test_another_server_s_kernel_is_none_of_this_one(place: Place, server: LiveServer, tmp_path: Path) -> None:
    """A server that runs, and has envpanel, is not asked unless it runs this very kernel."""
    runtime = next(server.log.parent.glob("jupyter_runtime_dir"))
    assert list(runtime.glob("jpserver-*.json"))
    environ = {"JUPYTER_RUNTIME_DIR": str(runtime), "HOME": str(tmp_path)}
    assert find._server_of(environ, runtime / "kernel-0000.json") is None


def test_with_neither_it_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "_is_installed_here", lambda: False)
    with pytest.raises(EnvPanelError, match="This kernel has no envpanel to ask"):
        find.client({}, None)
