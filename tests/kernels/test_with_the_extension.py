"""In a server with the extension: who runs what, how far behind, and kernels that are told to stay."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from live_server import LiveServer
from real_project import Lab

pytestmark = pytest.mark.xdist_group("kernels")


@pytest.fixture(scope="module")
def server(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    started = LiveServer(lab.folder, tmp_path_factory.mktemp("private") / "jupyter", dict(os.environ))
    yield started
    started.stop()


def until(happened: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def offered(server: LiveServer, name: str) -> bool:
    return f"envpanel.{name}" in server.ask("GET", "api/kernelspecs")[1]["kernelspecs"]


def told(server: LiveServer, kernel_id: str) -> Any:
    """What the project knows of a kernel; None where it knows none."""
    code, found = server.ask("GET", "envpanel/kernels")
    assert code == 200, found
    return next((view for view in found["kernels"] if view["kernel"]["id"] == kernel_id), None)


def test_a_kernel_is_told_with_its_revision_its_user_and_how_far_it_is_behind(lab: Lab, server: LiveServer) -> None:
    name = lab.clone("told")
    until(lambda: offered(server, name))
    code, kernel = server.ask("POST", "api/kernels", {"name": f"envpanel.{name}"})
    assert code == 201, kernel
    view = told(server, kernel["id"])
    assert (view["kernel"]["environment"], view["kernel"]["revision"]) == (name, 1)
    assert (view["behind"], view["here"], view["stay"]) == (0, True, False)
    assert view["kernel"]["author"]["username"] == server.ask("GET", "envpanel")[1]["user"]

    lab.move_on(name)
    assert told(server, kernel["id"])["behind"] == 1
    code, stays = server.ask("PATCH", f"envpanel/kernels/{kernel['id']}", {"stay": True})
    assert (code, stays["stay"]) == (200, True)
    server.ask("POST", f"api/kernels/{kernel['id']}/restart")
    assert told(server, kernel["id"])["kernel"]["revision"] == 1
    server.ask("PATCH", f"envpanel/kernels/{kernel['id']}", {"stay": False})
    server.ask("POST", f"api/kernels/{kernel['id']}/restart")
    view = told(server, kernel["id"])
    assert (view["kernel"]["revision"], view["behind"]) == (2, 0)

    server.ask("DELETE", f"api/kernels/{kernel['id']}")
    until(lambda: told(server, kernel["id"]) is None)
    assert server.ask("PATCH", f"envpanel/kernels/{kernel['id']}", {"stay": True})[0] == 404


def test_what_has_to_be_built_for_a_kernel_is_a_build_that_everybody_sees(lab: Lab, server: LiveServer) -> None:
    name = lab.unbuilt("to-build")
    until(lambda: offered(server, name))
    code, kernel = server.ask("POST", "api/kernels", {"name": f"envpanel.{name}"})
    assert code == 201, kernel
    builds = server.ask("GET", "envpanel/builds")[1]["builds"]
    assert [build["state"] for build in builds if build["environment"] == name] == ["succeeded"]
    server.ask("DELETE", f"api/kernels/{kernel['id']}")
    until(lambda: told(server, kernel["id"]) is None)


def test_what_changes_the_description_only_leaves_kernels_on_the_newest(lab: Lab, server: LiveServer) -> None:
    name = lab.clone("described")
    until(lambda: offered(server, name))
    _, kernel = server.ask("POST", "api/kernels", {"name": f"envpanel.{name}"})
    lab.ok("describe", name, "another description")
    assert told(server, kernel["id"])["behind"] == 0
    server.ask("DELETE", f"api/kernels/{kernel['id']}")
    until(lambda: told(server, kernel["id"]) is None)


def test_the_notebook_of_a_deleted_environment_goes_on(lab: Lab, server: LiveServer) -> None:
    name = lab.clone("put-away")
    until(lambda: offered(server, name))
    _, kernel = server.ask("POST", "api/kernels", {"name": f"envpanel.{name}"})
    lab.ok("delete", name)
    until(lambda: not offered(server, name))
    assert told(server, kernel["id"])["behind"] == 0
    server.ask("DELETE", f"api/kernels/{kernel['id']}")
    until(lambda: told(server, kernel["id"]) is None)
