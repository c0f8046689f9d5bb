"""In a real Jupyter server, by its own REST interface: what a click gets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from real_project import Lab

pytestmark = pytest.mark.xdist_group("kernels")


@dataclass
class Server:
    """Jupyter, with the kernelspecs that name the provisioner, and the provisioner on its own."""

    url: str
    lab: Lab

    def ask(self, method: str, path: str, content: Any = None) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        data = json.dumps(content).encode() if content is not None else b"" if method == "POST" else None
        request = urllib.request.Request(f"{self.url}/api/{path}", data, method=method)
        request.add_header("Authorization", "token secret")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def revision(self, kernel_id: str) -> int | None:
        """On which revision a kernel is, as the project knows it."""
        return next((kernel.revision for kernel in self.lab.kernels if kernel.id == kernel_id), None)

    def pid(self, kernel_id: str) -> int | None:
        return next((kernel.pid for kernel in self.lab.kernels if kernel.id == kernel_id), None)


@pytest.fixture(scope="module")
def server(lab: Lab) -> Iterator[Server]:
    for name in ("lab", "bare"):
        lab.server_spec(name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "jupyter_server", f"--port={port}", "--ServerApp.port_retries=0", "--no-browser"]
    argv += ["--IdentityProvider.token=secret", f"--ServerApp.root_dir={lab.folder}", "--allow-root"]
    # Without the extension: what starts kernels needs none of it.
    argv += ["--ServerApp.jpserver_extensions={'envpanel': False}", "--KernelRestarter.time_to_dead=0.3"]
    environ = {**os.environ, "JUPYTER_PATH": str(lab.folder / "server")}
    with (lab.folder / "server.log").open("w") as log:
        process = subprocess.Popen(argv, env=environ, cwd=lab.folder, stdout=log, stderr=log)
        made = Server(f"http://127.0.0.1:{port}", lab)
        try:
            _until(lambda: process.poll() is not None or _answers(made))
            assert process.poll() is None, (lab.folder / "server.log").read_text()
            yield made
        finally:
            process.terminate()
            process.wait(timeout=30)


def _answers(server: Server) -> bool:
    try:
        return server.ask("GET", "status")[0] == 200
    except OSError:
        return False


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.1)


SENTENCE = "bare@1 has no ipykernel, so no kernel can be started in it. envpanel install bare ipykernel puts it in."


def test_an_environment_without_ipykernel_gets_a_sentence_at_the_click(server: Server) -> None:
    notebook = {"path": "a.ipynb", "type": "notebook", "name": "a", "kernel": {"name": "envpanel.bare"}}
    status, answer = server.ask("POST", "sessions", notebook)
    assert (status, answer["message"]) == (500, SENTENCE)
    status, answer = server.ask("POST", "kernels", {"name": "envpanel.bare"})
    assert (status, answer["message"]) == (409, SENTENCE)
    assert server.ask("GET", "kernels") == (200, [])


def test_changing_to_it_keeps_the_kernel_and_says_so(server: Server) -> None:
    notebook = {"path": "b.ipynb", "type": "notebook", "name": "b", "kernel": {"name": "envpanel.lab"}}
    _, session = server.ask("POST", "sessions", notebook)
    try:
        status, answer = server.ask("PATCH", f"sessions/{session['id']}", {"kernel": {"name": "envpanel.bare"}})
        assert status == 501
        assert SENTENCE in answer["message"]
        assert server.ask("GET", f"sessions/{session['id']}")[1]["kernel"]["id"] == session["kernel"]["id"]
    finally:
        server.ask("DELETE", f"sessions/{session['id']}")


def test_restarts_by_the_user_and_after_a_crash(server: Server) -> None:
    name = server.lab.clone("served")
    server.lab.server_spec(name)
    status, kernel = server.ask("POST", "kernels", {"name": f"envpanel.{name}"})
    assert status == 201
    try:
        _until(lambda: server.revision(kernel["id"]) == 1)
        server.lab.move_on(name)
        first = server.pid(kernel["id"])
        assert first is not None
        os.kill(first, signal.SIGKILL)
        _until(lambda: server.pid(kernel["id"]) not in (first, None))
        assert server.revision(kernel["id"]) == 1, "after a crash it is where it was"
        assert server.ask("POST", f"kernels/{kernel['id']}/restart")[0] == 200
        _until(lambda: server.revision(kernel["id"]) == 2)
    finally:
        server.ask("DELETE", f"kernels/{kernel['id']}")
    _until(lambda: server.pid(kernel["id"]) is None)


def test_new_environments_are_there_without_a_restart_and_gone_when_deleted(server: Server) -> None:
    name = server.lab.clone("appearing")
    assert f"envpanel.{name}" not in server.ask("GET", "kernelspecs")[1]["kernelspecs"]
    spec = server.lab.server_spec(name)
    found = server.ask("GET", "kernelspecs")[1]["kernelspecs"][spec]
    assert found["spec"]["display_name"] == f"{name} · MODEL TRAINING"
    assert set(found["resources"]) == {"logo-svg", "logo-64x64"}
    server.lab.server_folder.remove(spec)
    assert spec not in server.ask("GET", "kernelspecs")[1]["kernelspecs"]
