"""`%envhistory` and its family in kernels of a real server: over REST, by a login that is the kernel's own."""

from __future__ import annotations

import contextlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from live_server import LiveServer
from real_project import Lab

pytestmark = pytest.mark.xdist_group("kernels")


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("private") / "jupyter"


@pytest.fixture(scope="module")
def server(lab: Lab, private: Path) -> Iterator[LiveServer]:
    started = LiveServer(lab.folder, private, dict(os.environ))
    yield started
    started.stop()


def until(happened: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


class Cells:
    """A kernel of a server, and the outputs of what it is told to run."""

    def __init__(self, server: LiveServer, private: Path, spec: str) -> None:
        self.server = server
        code, told = server.ask("POST", "api/kernels", {"name": spec})
        assert code == 201, told
        self.id = told["id"]
        self.client = BlockingKernelClient()
        self.client.load_connection_file(str(private / "jupyter_runtime_dir" / f"kernel-{self.id}.json"))
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str, while_running: Callable[[list[Any]], None] = lambda _: None) -> list[Any]:
        """The messages that a cell has as outputs."""
        found: list[Any] = []

        def hook(message: Any) -> None:
            if message["msg_type"] not in ("status", "execute_input"):
                found.append(message)
                while_running(found)

        self.client.execute_interactive(code, output_hook=hook, timeout=60)
        return found

    def text(self, code: str) -> str:
        """All of it as text."""
        shown = []
        for message in self.run(code):
            content = message["content"]
            if message["msg_type"] == "stream":
                shown.append(content["text"])
            elif message["msg_type"] == "error":
                shown.append("\n".join(content["traceback"]))
            elif message["msg_type"] == "execute_result":
                shown.append(content["data"]["text/plain"])
        return "\n".join(shown)

    @property
    def token(self) -> str:
        """As the process was given it."""
        view = next(
            view["kernel"]
            for view in self.server.ask("GET", "envpanel/kernels")[1]["kernels"]
            if view["kernel"]["id"] == self.id
        )
        variables = Path(f"/proc/{view['pid']}/environ").read_bytes().decode().split("\0")
        return next(each.partition("=")[2] for each in variables if each.startswith("ENVPANEL_TOKEN="))

    def close(self) -> None:
        self.client.stop_channels()
        self.server.ask("DELETE", f"api/kernels/{self.id}")


@pytest.fixture
def opened(server: LiveServer, private: Path) -> Iterator[Callable[[str], Cells]]:
    """Opens kernels, which are shut down at the end."""
    with contextlib.ExitStack() as stack:

        def open_one(name: str) -> Cells:
            spec = name if name == "python3" else f"envpanel.{name}"
            until(lambda: spec in server.ask("GET", "api/kernelspecs")[1]["kernelspecs"])
            cells = Cells(server, private, spec)
            stack.callback(cells.close)
            return cells

        yield open_one


def by_token(server: LiveServer, token: str, method: str, path: str, body: Any = None, **headers: str) -> int:
    """The status of an answer to who has a kernel's login only."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, method=method)
    request.add_header("Authorization", f"envpanel-kernel {token}")
    for name, value in headers.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_change_is_the_user_s_who_started_the_kernel(
    lab: Lab, server: LiveServer, opened: Callable[[str], Cells]
) -> None:
    cells = opened(lab.clone("served-magics"))
    assert "It is on the newest packages." in cells.text("%envstatus")
    assert cells.text("status = %envstatus\nprint(status['asks'])").strip() == "the Jupyter server"
    printed = cells.text("%envinstall cowsay -m 'for the herd'")
    assert "served-magics@2 installed (+1)" in printed
    assert "This kernel still runs r1: restart it to use r2." in printed
    record = lab.ok("show", "served-magics@2")
    assert (record["via"], record["message"]) == ("magic", "for the herd")
    assert record["author"]["username"] == server.ask("GET", "envpanel")[1]["user"]
    assert "restart the kernel to use r2" in cells.text("%envstatus")


def test_the_login_is_for_envpanel_only_and_ends_with_the_kernel(
    lab: Lab, server: LiveServer, opened: Callable[[str], Cells], private: Path
) -> None:
    name = lab.clone("logged-in")
    cells = opened(name)
    token = cells.token
    assert by_token(server, token, "GET", "envpanel") == 200
    assert by_token(server, token, "GET", f"envpanel/environments/{name}/revisions") == 200
    change = {"change": {"operation": "describe", "description": "d"}}
    assert by_token(server, token, "POST", f"envpanel/environments/{name}/changes", change) in (200, 201)
    for path in ("api/contents", "api/kernels", "api/sessions", "api/terminals", "api/me", "api/kernelspecs"):
        assert by_token(server, token, "GET", path) == 403, path
    assert by_token(server, token, "POST", "api/kernels", {"name": "python3"}) == 403
    assert by_token(server, f"{token}x", "GET", "envpanel") == 403
    assert by_token(server, "", "GET", "envpanel") == 403

    printed = cells.text("import os; print(dict(os.environ))\n%env")
    assert token not in printed
    assert token not in cells.text("from envpanel.notebook import find; print(find._taken, vars(find))")

    server.ask("POST", f"api/kernels/{cells.id}/restart")
    assert by_token(server, token, "GET", "envpanel") == 403, "each start has a login of its own"
    token = until(lambda: cells.token)
    assert by_token(server, token, "GET", "envpanel") == 200
    server.ask("DELETE", f"api/kernels/{cells.id}")
    assert by_token(server, token, "GET", "envpanel") == 403
    assert token not in (private / "server.log").read_text()


def test_interrupting_a_change_cancels_it(lab: Lab, server: LiveServer, opened: Callable[[str], Cells]) -> None:
    name = lab.clone("interrupted")
    cells = opened(name)

    def interrupt(found: list[Any]) -> None:
        if found[-1]["msg_type"] == "display_data":
            server.ask("POST", f"api/kernels/{cells.id}/interrupt")

    found = cells.run("%envinstall pandas scikit-learn", interrupt)
    errors = [message["content"] for message in found if message["msg_type"] == "error"]
    assert [error["evalue"] for error in errors] == ["Cancelled; nothing was changed."]
    assert errors[0]["traceback"] == ["Error: Cancelled; nothing was changed."]
    updates = [message for message in found if message["msg_type"] == "update_display_data"]
    assert "cancelled in" in updates[-1]["content"]["data"]["text/plain"]
    assert lab.ok("show", name)["number"] == 1
    assert [entry["state"] for entry in lab.ok("history", name, "--attempts")] == ["cancelled"]


def test_another_kernel_of_the_server_finds_it_by_jupyter_s_files(
    lab: Lab, server: LiveServer, opened: Callable[[str], Cells]
) -> None:
    name = lab.clone("from-elsewhere")
    cells = opened("python3")
    assert cells.text("%load_ext envpanel") == ""
    assert name in cells.text("%envlist")
    assert f"{name}@2 installed (+1)" in cells.text(f"%envinstall cowsay --env {name}")
    assert lab.ok("show", name)["via"] == "magic"
    assert "is of no environment" in cells.text("%envhistory")
