"""Servers that end in the middle of a build leave nothing behind, and the next one goes on at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live_server import LiveServer
from project import Project
from server_api import create, install
from wheelhouse import Wheelhouse

Start = Callable[[], LiveServer]


@pytest.fixture
def project(tmp_path: Path, house: Wheelhouse) -> Project:
    (tmp_path / "project").mkdir()
    return Project(tmp_path / "project", house)


@pytest.fixture
def start(project: Project, tmp_path: Path) -> Iterator[Start]:
    servers: list[LiveServer] = []

    def begin() -> LiveServer:
        servers.append(LiveServer(project.folder, tmp_path / "private", project.variables))
        return servers[-1]

    yield begin
    for server in servers:
        server.kill()


def build_slowly(server: LiveServer, started: Path) -> str:
    """Begin a build that takes minutes; the id of the build, once its programs run."""
    code, build = server.ask("POST", "envpanel/environments/churn/changes", install("slow"))
    assert code == 202, build
    deadline = time.monotonic() + 60
    while not started.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return str(build["id"])


def alive(started: Path) -> list[str]:
    return [pid for pid in started.read_text().split() if Path("/proc", pid, "exe").exists()]


def left(project: Project) -> list[Path]:
    """Directories of the cache that nobody finished."""
    return list((project.home / "cache" / "prefixes").glob("*/*.lock"))


def test_a_restart_in_mid_build_leaves_an_interrupted_attempt_and_nothing_else(
    project: Project, start: Start, started: Path
) -> None:
    project.ok("create", "churn", "--group", "model-training", "alpha", "--no-kernel")
    server = start()
    build_slowly(server, started)
    server.stop()
    assert alive(started) == []
    assert left(project) == []
    server = start()
    _, found = server.ask("GET", "envpanel/environments/churn/attempts")
    assert [attempt["state"] for attempt in found["attempts"]] == ["interrupted"]
    code, _ = server.ask("POST", "envpanel/environments/churn/changes", install("beta"))
    assert code in (201, 202)


def test_a_killed_server_is_recovered_from_by_the_next_one(project: Project, start: Start, started: Path) -> None:
    project.ok("create", "churn", "--group", "model-training", "alpha", "--no-kernel")
    server = start()
    build_slowly(server, started)
    server.kill()
    began = time.monotonic()
    server = start()
    _, found = server.ask("GET", "envpanel/environments/churn/attempts")
    assert [attempt["state"] for attempt in found["attempts"]] == ["interrupted"]
    code, _ = server.ask("POST", "envpanel/environments/churn/changes", create("alpha"))
    assert code == 409
    _, build = server.ask("POST", "envpanel/environments/churn/changes", install("beta"))
    while build.get("state") == "running":
        _, build = server.ask("GET", f"envpanel/builds/{build['id']}")
    assert time.monotonic() - began < 30
    assert server.ask("GET", "envpanel/environments/churn")[1]["head"]["number"] == 2


def test_a_page_that_is_loaded_again_finds_the_running_build_and_its_log(
    project: Project, start: Start, started: Path
) -> None:
    project.ok("create", "churn", "--group", "model-training", "alpha", "--no-kernel")
    server = start()
    build_id = build_slowly(server, started)
    _, found = server.ask("GET", "envpanel/builds")
    assert [build["id"] for build in found["builds"] if build["state"] == "running"] == [build_id]
    _, build = server.ask("GET", f"envpanel/builds/{build_id}?lines=50")
    assert build["lines"] >= len(build["log"])
    assert build["elapsed"] > 0
    _, ended = server.ask("DELETE", f"envpanel/builds/{build_id}")
    assert ended["state"] == "cancelled"
    assert alive(started) == []


def test_one_home_may_be_named_by_the_configuration(project: Project, tmp_path: Path) -> None:
    project.ok("create", "churn", "--group", "model-training", "alpha", "--no-kernel")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    option = f"--EnvPanel.home={project.home}"
    server = LiveServer(elsewhere, tmp_path / "private", project.variables, options=(option,))
    try:
        assert server.ask("GET", "envpanel")[1]["home"] == str(project.home)
        assert server.ask("GET", "envpanel/environments/churn")[0] == 200
    finally:
        server.kill()


def test_the_nearest_home_upwards_of_the_root_is_taken(project: Project, tmp_path: Path) -> None:
    project.ok("create", "churn", "--group", "model-training", "alpha", "--no-kernel")
    inner = project.folder / "notebooks" / "deep"
    inner.mkdir(parents=True)
    server = LiveServer(inner, tmp_path / "private", project.variables)
    try:
        assert server.ask("GET", "envpanel")[1]["home"] == str(project.home)
    finally:
        server.kill()


def test_settings_that_cannot_be_meant_are_told_and_the_server_goes_on(
    project: Project, tmp_path: Path, start: Start
) -> None:
    project.home.mkdir()
    (project.home / "settings.yaml").write_text("indexes: 7\n")
    server = start()
    code, error = server.ask("GET", "envpanel/environments")
    assert (code, error["code"]) == (400, "invalid-settings")
    assert server.ask("GET", "api/contents")[0] == 200
    (project.home / "settings.yaml").write_text("")
    assert server.ask("GET", "envpanel/environments")[0] == 200


def test_two_servers_on_one_home_see_each_others_changes_within_two_seconds(
    project: Project, tmp_path: Path, start: Start
) -> None:
    project.ok("create", "churn", "--group", "model-training", "alpha", "--no-kernel")
    one = start()
    other = LiveServer(project.folder, tmp_path / "other", project.variables)
    try:
        for server in (one, other):
            assert server.ask("GET", "envpanel/environments")[0] == 200
        _, build = one.ask("POST", "envpanel/environments/churn/changes", install("beta"))
        while build.get("state") == "running":
            _, build = one.ask("GET", f"envpanel/builds/{build['id']}")
        done = time.monotonic()
        while heads(other)["churn"] != 2:
            assert time.monotonic() - done < 2
            time.sleep(0.05)
        code, outcome = other.ask("POST", "envpanel/environments/copy/changes", {"change": CLONE})
        assert code == 201, outcome
        done = time.monotonic()
        while "copy" not in heads(one):
            assert time.monotonic() - done < 2
            time.sleep(0.05)
    finally:
        other.kill()


CLONE = {"operation": "clone", "source": "churn"}


def heads(server: LiveServer) -> dict[str, int]:
    return {item["name"]: item["head"] for item in server.ask("GET", "envpanel/environments")[1]["environments"]}
