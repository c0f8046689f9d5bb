"""envpanel where no server is: the command line of a Python that has it, with `--json`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from envpanel.notebook.client import Client, EnvPanelError, Json, Report, last_line, quiet

_TICK = 0.2
"""Seconds between two reports that it goes on."""

_GRACE = 30.0
"""Seconds that a cancelled command has to clean up."""


class CliClient(Client):
    """Asks `python -m envpanel`, for the project whose home is `home`, or the one around the current folder."""

    def __init__(self, python: str, home: str | None, environ: Mapping[str, str]) -> None:
        # -P: the folder of the notebook must not come first on its path.
        self._command = [python, "-P", "-m", "envpanel", "--json"]
        if home:
            self._command += ["--home", home]
        # What reads progress asks for it; a command line that does not know the variable tells none.
        self._environ = {**environ, "ENVPANEL_PROGRESS": "json"}
        self.where = "the command line"

    def environments(self, *, archived: bool = False) -> list[Json]:
        return list(self._run("list", *(["--all"] if archived else [])))

    def having(self, package: str) -> dict[str, str]:
        found = self._run("list", f"--package={package}")
        name = package_name(package)
        versions = {}
        for item in found:
            record = self.record(item["name"], item["head"])
            versions[item["name"]] = next((each["version"] for each in record["packages"] if each["name"] == name), "")
        return versions

    def history(
        self, name: str, *, limit: int = 20, before: int | None = None, package: str | None = None
    ) -> list[Json]:
        options = [f"--limit={limit}"]
        options += [f"--before={before}"] if before is not None else []
        options += [f"--package={package}"] if package is not None else []
        return list(self._run("history", *options, "--", name))

    def attempts(self, name: str, *, limit: int = 20) -> list[Json]:
        return list(self._run("history", "--attempts", f"--limit={limit}", "--", name))

    def attempt_log(self, name: str, attempt: str) -> str:
        return str(self._run("show", f"--attempt={attempt}", "--log", "--", name)["log"])

    def record(self, name: str, number: int | None = None) -> Json:
        record: Json = self._run("show", "--", name if number is None else f"{name}@{number}")
        return record

    def diff(self, old: tuple[str, int], new: tuple[str, int]) -> Json:
        diff: Json = self._run("diff", "--", f"{old[0]}@{old[1]}", f"{new[0]}@{new[1]}")
        return diff

    def text(self, name: str, number: int, kind: str) -> str:
        return str(self._run("show", f"--{kind}", "--", f"{name}@{number}")[kind])

    def search(self, query: str, *, limit: int = 20) -> list[str]:
        return [match["name"] for match in self._run("search", f"--limit={limit}", "--", query)["matches"]]

    def change(self, name: str, change: Json, *, message: str, report: Report = quiet) -> Json:
        return self._outcome(_arguments(name, change, f"--message={message}"), report)

    def preview(self, name: str, change: Json, *, report: Report = quiet) -> Json:
        preview: Json = self._run(*_arguments(name, change, "--dry-run"), report=report)
        return preview

    def apply(self, name: str, plan: str, *, message: str, report: Report = quiet) -> Json:
        return self._outcome(["apply", f"--message={message}", "--", plan], report)

    def _outcome(self, arguments: list[str], report: Report) -> Json:
        begun = datetime.now(timezone.utc)
        # Records are in milliseconds.
        begun = begun.replace(microsecond=begun.microsecond // 1000 * 1000)
        record = self._run(*arguments, report=report)
        created = datetime.fromisoformat(record["created"].replace("Z", "+00:00"))
        # A change that changes nothing answers with the head that was there.
        return {"record": record, "changed": created >= begun, "warnings": []}

    def _run(self, *arguments: str, report: Report = quiet) -> Any:
        try:
            # A session of its own: an interrupt of the kernel is for its whole group, and is told to it by us, once.
            process = subprocess.Popen(
                [*self._command, *arguments],
                env={**self._environ, "ENVPANEL_VIA": self.via},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise EnvPanelError(
                f"{self._command[0]}, which started this kernel, cannot be run: {error.strerror}.",
                hint="Restart the kernel from a Python that has envpanel.",
                code="unreachable",
            ) from None
        out: list[bytes] = []
        told = _Told()
        threads = [
            threading.Thread(target=lambda: out.append(process.stdout.read()), daemon=True),  # type: ignore[union-attr]
            threading.Thread(target=lambda: told.read(process.stderr), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            while process.poll() is None:
                report(told.progress)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_TICK)
            for thread in threads:
                thread.join()
        except BaseException as error:
            _end(process)
            if not isinstance(error, KeyboardInterrupt):
                raise
            for thread in threads:
                thread.join(_GRACE)
            # It may have come too late.
            if process.returncode != 0:
                raise EnvPanelError("Cancelled; nothing was changed.", code="cancelled") from None
        if process.returncode != 0:
            raise told.error(process.returncode)
        return json.loads(out[0])


class _Told:
    """What a command says on standard error: progress, warnings, and at the end an error, each a line of JSON."""

    def __init__(self) -> None:
        self.progress: Json = {"phase": "working"}
        self._last: Json = {}
        self._lines: list[str] = []

    def read(self, stream: Any) -> None:
        for data in stream:
            line = data.decode(errors="replace").rstrip()
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if not isinstance(value, dict):
                self._lines = [*self._lines[-20:], line]
            elif "phase" in value:
                self.progress = value
            elif "message" in value:
                self._last = value

    def error(self, code: int) -> EnvPanelError:
        told = self._last
        message = told.get("message") or last_line(self._lines) or f"envpanel ended with exit code {code}."
        return EnvPanelError(str(message), hint=told.get("hint"), code=str(told.get("code") or "error"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Cancel it, wait until it has cleaned up, and do not be interrupted in that."""
    with contextlib.suppress(OSError):
        process.terminate()
    deadline = time.monotonic() + _GRACE
    while process.poll() is None:
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
        except KeyboardInterrupt:
            continue


def _arguments(name: str, change: Json, option: str) -> list[str]:
    """The command for an intent."""
    operation = change["operation"]
    if operation == "clone":
        number = change.get("revision")
        source = change["source"] + (f"@{number}" if number else "")
        options = [f"--description={change['description']}"] if change.get("description") is not None else []
        return ["clone", option, *options, "--", source, name]
    if operation == "install":
        files = [f"--requirement={file}" for file in change.get("files", ())]
        return ["install", option, *files, "--", name, *change.get("requirements", ())]
    if operation == "restore":
        return ["restore", option, "--", name, str(change["revision"])]
    return [operation, option, "--", name, *change.get("packages", ())]


def package_name(spec: str) -> str:
    """The name in a specification, as records have it."""
    name = ""
    for char in spec.strip():
        if not (char.isalnum() or char in "._-"):
            break
        name += char
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)
