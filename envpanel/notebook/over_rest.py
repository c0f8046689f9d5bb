"""envpanel in a Jupyter server, over REST."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any, Callable, TypeVar
from urllib.parse import quote, unquote, urlencode, urlsplit

from envpanel.notebook.client import Client, EnvPanelError, Json, Report, quiet

_PATIENCE = 120.0
"""Seconds for an answer; work that takes longer is a build, and asked after."""

_STEPS = (0.05, 0.1, 0.2, 0.3)
"""Seconds between two questions for a build; the last one from then on."""

_Answer = TypeVar("_Answer")


class Server:
    """A Jupyter server at an address such as `http://127.0.0.1:8888/user/ada/`, asked with an Authorization."""

    def __init__(self, address: str, authorization: str | None) -> None:
        self.address = address
        self._authorization = authorization

    def ask(self, method: str, path: str, body: Json | None = None, *, patience: float = _PATIENCE) -> tuple[int, str]:
        """Status and text of a path below its address.

        Raises:
            OSError: it does not answer.
        """
        parts = urlsplit(self.address)
        # Never through a proxy: it is this machine, or this container.
        connection = _connection(parts.scheme, parts.netloc, patience)
        headers = {"Accept": "application/json"}
        if self._authorization:
            headers["Authorization"] = self._authorization
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        try:
            connection.request(method, f"{parts.path.rstrip('/')}/{path}", data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()


class RestClient(Client):
    """Asks a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.where = "the Jupyter server"

    def environments(self, *, archived: bool = False) -> list[Json]:
        return [item for page in self._pages(archived=int(archived)) for item in page["environments"]]

    def having(self, package: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for page in self._pages(package=package):
            found.update(page["versions"] or {})
        return found

    def history(
        self, name: str, *, limit: int = 20, before: int | None = None, package: str | None = None
    ) -> list[Json]:
        answer = self._get(_environment(name, "revisions"), limit=limit, before=before, package=package)
        return list(answer["revisions"])

    def attempts(self, name: str, *, limit: int = 20) -> list[Json]:
        return list(self._get(_environment(name, "attempts"), limit=limit)["attempts"])

    def attempt_log(self, name: str, attempt: str) -> str:
        return self._ask("GET", _environment(name, "attempts", attempt, "log"))[1]

    def record(self, name: str, number: int | None = None) -> Json:
        if number is None:
            head: Json = self._get(_environment(name))["head"]
            return head
        record: Json = self._get(_environment(name, "revisions", number))
        return record

    def diff(self, old: tuple[str, int], new: tuple[str, int]) -> Json:
        query = {"from": old[1], "to": new[1], "other": new[0]}
        diff: Json = self._get(_environment(old[0], "diff"), **query)["diff"]
        return diff

    def text(self, name: str, number: int, kind: str) -> str:
        return self._ask("GET", _environment(name, "revisions", number, kind))[1]

    def search(self, query: str, *, limit: int = 20) -> list[str]:
        return [match["name"] for match in self._get("packages", query=query, limit=limit)["matches"]]

    def change(self, name: str, change: Json, *, message: str, report: Report = quiet) -> Json:
        return self._result(name, {"change": _pasted(change), "message": message}, "", report)

    def preview(self, name: str, change: Json, *, report: Report = quiet) -> Json:
        return self._result(name, {"change": _pasted(change)}, "?preview=1", report)

    def apply(self, name: str, plan: str, *, message: str, report: Report = quiet) -> Json:
        return self._result(name, {"plan": plan, "message": message}, "", report)

    def _result(self, name: str, body: Json, query: str, report: Report) -> Json:
        path = _environment(name, "changes") + query
        body = {**body, "via": self.via}
        # Who interrupts before the server has said which build it is would else leave one running.
        (status, text), interrupted = _to_the_end(lambda: self._ask("POST", path, body))
        answer: Json = json.loads(text)
        if status != 202:
            return answer
        return self._wait(answer, report, cancelled=interrupted)

    def _wait(self, build: Json, report: Report, *, cancelled: bool) -> Json:
        path = f"builds/{build['id']}"
        steps = iter(_STEPS)
        try:
            while build["state"] == "running" and not cancelled:
                report(build["progress"])
                time.sleep(next(steps, _STEPS[-1]))
                build = self._get(path, lines=0)
        except KeyboardInterrupt:
            cancelled = True
        if cancelled:
            (_, text), _ = _to_the_end(lambda: self._ask("DELETE", path))
            build = json.loads(text)
        if build["state"] == "succeeded":
            # Even where it was to be cancelled: that came too late.
            result: Json = build["result"]
            return result
        if build["state"] == "cancelled":
            raise EnvPanelError("Cancelled; nothing was changed.", code="cancelled")
        raise _error(build.get("failure") or {}, "The change ended, and the server does not say why.")

    def _pages(self, **query: Any) -> list[Json]:
        pages = [self._get("environments", **query)]
        while pages[-1]["next"] is not None:
            pages.append(self._get("environments", after=pages[-1]["next"], **query))
        return pages

    def _get(self, path: str, **query: Any) -> Json:
        given = {key: value for key, value in query.items() if value is not None}
        answer: Json = json.loads(self._ask("GET", f"{path}?{urlencode(given)}" if given else path)[1])
        return answer

    def _ask(self, method: str, path: str, body: Json | None = None) -> tuple[int, str]:
        try:
            status, text = self._server.ask(method, f"envpanel/{path}", body)
        except OSError as error:
            raise EnvPanelError(
                f"The Jupyter server does not answer: {error.strerror or error}.",
                hint="Where it was restarted, restart this kernel, too.",
                code="unreachable",
            ) from None
        if status < 400:
            return status, text
        try:
            told = json.loads(text)
        except ValueError:
            told = {}
        raise _error(told if isinstance(told, dict) else {}, f"The Jupyter server answers with status {status}.")


def _error(told: Json, otherwise: str) -> EnvPanelError:
    return EnvPanelError(
        str(told.get("message") or otherwise), hint=told.get("hint"), code=str(told.get("code") or "error")
    )


def _environment(name: str, *more: object) -> str:
    return "/".join(["environments", *(quote(str(part), safe="") for part in (name, *more))])


def _pasted(change: Json) -> Json:
    """The change with the text of its files in the place of their names: they are this kernel's, not the server's."""
    files = change.get("files")
    change = {key: value for key, value in change.items() if key != "files"}
    if files:
        texts = []
        for name in files:
            try:
                texts.append(Path(name).read_text(encoding="utf-8"))
            except OSError as error:
                raise EnvPanelError(f"{name} cannot be read: {error.strerror}.", code="not-found") from None
            except UnicodeDecodeError:
                raise EnvPanelError(f"{name} is no text.", code="invalid-input") from None
        change["requirements_txt"] = "\n".join(texts)
    return change


def _to_the_end(work: Callable[[], _Answer]) -> tuple[_Answer, bool]:
    """What it gives, and whether somebody has interrupted it: it is not ended by that."""
    answers: list[_Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    interrupted = False
    thread.start()
    while thread.is_alive():
        try:
            thread.join(0.1)
        except KeyboardInterrupt:
            if interrupted:
                # Somebody means it.
                raise
            interrupted = True
    if errors:
        raise errors[0]
    return answers[0], interrupted


class _UnixConnection(http.client.HTTPConnection):
    """A server that listens at a file: `http+unix://%2Ftmp%2Fserver.sock/`."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._file)

    _file = ""


def _connection(scheme: str, netloc: str, patience: float) -> http.client.HTTPConnection:
    if scheme == "http+unix":
        made = _UnixConnection("localhost", timeout=patience)
        made._file = unquote(netloc)
        return made
    if scheme == "https":
        import ssl

        context = ssl.create_default_context()
        if urlsplit(f"//{netloc}").hostname in ("127.0.0.1", "::1", "localhost"):
            # This machine is reached by no name that a certificate could be for.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(netloc, timeout=patience, context=context)
    return http.client.HTTPConnection(netloc, timeout=patience)
