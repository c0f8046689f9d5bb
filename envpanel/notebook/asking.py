"""What magics and panel share: whom they ask, the revision of this kernel, and what they make of the answers."""

from __future__ import annotations

import argparse
import os
from typing import Any

from envpanel.notebook import find
from envpanel.notebook.client import Client, EnvPanelError, Json
from envpanel.notebook.find import Own
from envpanel.notebook.progress import Progress
from envpanel.notebook.views import Difference, Rows, counts, signs

_DONE = {
    "clone": "made",
    "install": "installed",
    "uninstall": "uninstalled",
    "upgrade": "upgraded",
    "restore": "restored",
}


class Asking:
    """What the magics of a shell share: whom they ask, and the revision of this kernel."""

    def __init__(self, shell: Any, *, via: str = "magic") -> None:
        self.shell = shell
        self._via = via
        self._client: Client | None = None

    @property
    def own(self) -> Own | None:
        """The revision that this kernel runs; None in a kernel of no environment."""
        return find.own(os.environ)

    @property
    def client(self) -> Client:
        """Whom they ask.

        Raises:
            EnvPanelError: nobody is there.
        """
        if self._client is None:
            self._client = find.client(os.environ, connection_file(self.shell))
            self._client.via = self._via
        return self._client

    def name(self, given: str | None) -> str:
        """The environment that was named, or this kernel's own.

        Raises:
            EnvPanelError: this kernel has none.
        """
        if given:
            return given
        if self.own is None:
            raise EnvPanelError(
                "This kernel is of no environment of envpanel, so one has to be named.",
                hint="%envlist shows which there are.",
                code="usage",
            )
        return self.own.environment

    def number(self, name: str, given: int | None) -> int:
        """The revision that was named; this kernel's own in its environment, else the newest."""
        if given is not None:
            return given
        if self.own is not None and self.own.environment == name:
            return self.own.revision
        return int(self.client.record(name)["number"])

    def do(self, name: str, change: Json, arguments: argparse.Namespace) -> Difference:
        """A change, or with --dry-run what it would do; live in the cell."""
        progress = Progress(self.shell)
        try:
            if arguments.dry_run:
                preview = self.client.preview(name, change, report=progress)
                progress.end("resolved")
                to_do = f"the same line without --dry-run, or in a terminal: envpanel apply {preview['id']}"
                return preview_of(name, change, preview, to_do=f"To do it: {to_do}")
            outcome = self.client.change(name, change, message=arguments.message, report=progress)
        except EnvPanelError as error:
            progress.end("cancelled" if error.code == "cancelled" else "ended without a change")
            raise
        progress.end("done")
        return outcome_of(self, name, change, outcome)


def connection_file(shell: Any) -> str | None:
    """Jupyter's file about this kernel; None in a terminal."""
    application = getattr(getattr(shell, "kernel", None), "parent", None)
    path = getattr(application, "abs_connection_file", None) or getattr(application, "connection_file", None)
    return str(path) if path else None


def history_of(asking: Asking, name: str, *, limit: int, package: str | None = None) -> Rows:
    """The history as a table."""
    found = asking.client.history(name, limit=limit, package=package)
    rows = [
        {
            "revision": entry["number"],
            "created": entry["created"],
            "author": entry["author"]["name"],
            "verified": entry["author"]["verified"],
            "operation": entry["operation"],
            "changes": counts(entry["diff"]),
            "message": entry["message"],
            "packages": signs(entry["diff"]),
        }
        for entry in found
    ]
    columns = {
        "revision": "rev",
        "created": "when",
        "author": "who",
        "operation": "what",
        "changes": "changes",
        "message": "why",
    }
    own = asking.own
    note = f"This kernel runs r{own.revision}." if own is not None and own.environment == name else ""
    return Rows(rows, columns, title=name, note=note, none=f"No revision of {name} matches.")


def packages_of(record: Json) -> Rows:
    """The packages of a revision, those that were asked for first."""
    packages = sorted(record["packages"], key=lambda item: (not item["requested"], item["name"]))
    rows = [{key: item[key] for key in ("name", "version", "requested", "since", "manager")} for item in packages]
    columns = {"name": "package", "version": "version", "requested": "asked for", "since": "since revision"}
    title = f"{record['environment']}@{record['number']}"
    return Rows(rows, columns, title=title, none="There are no packages.")


def outcome_of(asking: Asking, name: str, change: Json, outcome: Json) -> Difference:
    """What a change did, and what it means for this kernel."""
    record = outcome["record"]
    number, own = int(record["number"]), asking.own
    ref = f"{name}@{number}"
    values = {"environment": name, "revision": number, "changed": outcome["changed"]}
    if not outcome["changed"]:
        return Difference({}, title=f"Nothing to change: {ref} is just that already.", values=values)
    done = f"{ref} {_DONE.get(change['operation'], change['operation'])} ({counts(record['diff']) or 'same packages'})"
    after = ""
    if own is not None and own.environment == name:
        after = f"This kernel still runs r{own.revision}: restart it to use r{number}."
    elif change["operation"] == "clone":
        after = f"Start a kernel {name} to use it."
    return Difference(
        record["diff"], title=done, values=values, warnings=outcome.get("warnings") or (), sentences=[after]
    )


def preview_of(name: str, change: Json, preview: Json, *, to_do: str) -> Difference:
    """What a change would do."""
    return Difference(
        preview["plan"],
        title=f"{change['operation']} would change {name}",
        values={"environment": name, "id": preview["id"], "changed": False},
        warnings=preview.get("warnings") or (),
        sentences=[f"Nothing was changed. {to_do}"],
    )


def compared(asking: Asking, old: tuple[str, int], new: tuple[str, int]) -> Difference:
    """What is different from one revision to another."""
    refs = {"old": f"{old[0]}@{old[1]}", "new": f"{new[0]}@{new[1]}"}
    return Difference(asking.client.diff(old, new), title=f"{refs['old']} → {refs['new']}", values=refs)
