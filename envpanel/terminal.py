"""What the command line prints for people: tables, diffs, progress, errors. Colour only helps the words and signs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import click

from envpanel.errors import EnvPanelError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from envpanel.catalog.catalog import PackageInfo, Search
    from envpanel.history.attempts import Attempt
    from envpanel.history.index import HistoryEntry
    from envpanel.model.diff import Diff
    from envpanel.model.nouns import Package, PlanWarning, Progress, Record
    from envpanel.service import Environment, Outcome, Outdated, Preview
    from envpanel.verification import Verification

_DONE = {
    "create": "made",
    "clone": "cloned from {cloned_from}",
    "install": "installed",
    "uninstall": "uninstalled",
    "upgrade": "upgraded",
    "restore": "restored from {restored_from}",
    "describe": "described",
    "archive": "deleted; its history stays",
    "unarchive": "is back",
}


_FITS = {"wheel": "", "source": "source only", "no": "not for Python {python} here"}


class Terminal:
    """Standard output for results, standard error for progress, warnings and errors."""

    @cached_property
    def out(self) -> Console:
        """Where results go."""
        return _console(stderr=False)

    @cached_property
    def err(self) -> Console:
        """Where progress, warnings and errors go."""
        return _console(stderr=True)

    def environments(self, found: Sequence[Environment]) -> None:
        """The list, by group."""
        from rich.padding import Padding

        width = min(max((len(item.name) for item in found), default=0), 40)
        for group in dict.fromkeys(item.group for item in found):
            members = [item for item in found if item.group == group]
            self.out.print(f"[bold]{group.title}[/]  [dim]{len(members)}[/]")
            for item in members:
                count = f"{item.packages} package{'' if item.packages == 1 else 's'}"
                facts = f"r{item.head} · {count} · Python {item.python} · {item.state}"
                self.out.print(f"  {item.name:<{width}}  {item.kind.upper():<6}  {facts}", soft_wrap=True)
                below = " · ".join(filter(None, [item.description, f"from {item.base}" if item.base else ""]))
                if below:
                    self.out.print(Padding(f"[dim]{plain(below)}[/]", (0, 0, 0, 4), expand=False))

    def kernelspecs(self, folder: Path, names: Mapping[str, str]) -> None:
        """The kernelspecs of a home by name, as launchers show them, and how programs find them."""
        table = _table("kernelspec", "shown as")
        for name, shown in names.items():
            table.add_row(plain(name), plain(shown))
        if names:
            self.out.print(table)
            self.err.print(f"[dim]Programs find them with JUPYTER_PATH={plain(str(folder))}[/]", soft_wrap=True)
        else:
            self.err.print("There are no environments to start a kernel in; bases are there once they are built.")

    def history(self, name: str, entries: Sequence[HistoryEntry]) -> None:
        """The lines of the history."""
        table = _table("rev", "when", "who", "what", "changes", "why")
        for entry in entries:
            cells = (f"r{entry.number}", _local(entry.created), entry.author.name, entry.operation)
            table.add_row(*map(plain, (*cells, entry.diff.counts, entry.message)))
        if entries:
            self.out.print(table)
        else:
            self.err.print(f"No revision of {plain(name)} matches.")

    def attempts(self, name: str, attempts: Sequence[Attempt]) -> None:
        """The changes that ended badly."""
        from rich.padding import Padding

        for attempt in attempts:
            facts = (attempt.id, _local(attempt.created), attempt.author.name, attempt.operation, attempt.state)
            self.out.print("  ".join(map(plain, facts)), soft_wrap=True)
            self.out.print(Padding(f"[dim]{plain(attempt.reason)}[/]", (0, 0, 0, 4), expand=False))
        if not attempts:
            self.err.print(f"No change of {plain(name)} has failed.")

    def attempt(self, attempt: Attempt) -> None:
        """A change that ended badly."""
        values = [value if isinstance(value, list) else [value] for value in attempt.arguments.values()]
        asked = [str(part) for value in values for part in value]
        lines = {
            "change": f"{attempt.operation} {' '.join(asked)}".rstrip(),
            "by": attempt.author.name,
            "when": _local(attempt.created),
            "on": f"{attempt.environment}@{attempt.head}" if attempt.head else f"{attempt.environment} (new)",
            "why": attempt.message or "—",
            "ended": attempt.state,
            "reason": attempt.reason,
            "hint": attempt.hint or "—",
        }
        self._facts(lines)

    def packages(self, packages: Sequence[Package]) -> None:
        """The packages, those that were asked for first."""
        table = _table("package", "version", "manager", "", "since")
        for package in sorted(packages, key=lambda item: (not item.requested, item.name)):
            asked = "asked for" if package.requested else "pulled in"
            table.add_row(*map(plain, (package.name, package.version, package.manager, asked, f"r{package.since}")))
        self.out.print(table)

    def outdated(self, found: Sequence[Outdated]) -> None:
        """The packages that could be newer, those that were asked for first."""
        table = _table("package", "current", "allowed", "newest", "")
        behind = [item for item in found if item.current not in (item.newest, None) or item.current != item.allowed]
        for item in sorted(behind, key=lambda item: (not item.requested, item.name)):
            asked = "asked for" if item.requested else "pulled in"
            table.add_row(*map(plain, (item.name, item.current, item.allowed or "—", item.newest or "—", asked)))
        if behind:
            self.out.print(table)
        newest = len(found) - len(behind)
        self.out.print(f"{newest} of {len(found)} package{'' if len(found) == 1 else 's'} at the newest version.")

    def search(self, found: Search) -> None:
        """The names that a search has found, and what is to be known of it."""
        table = _table("package", "index")
        for match in found.matches:
            table.add_row(*map(plain, (match.name, ", ".join(match.indexes) or "—")))
        if found.matches:
            self.out.print(table)
        else:
            self.err.print(f"No package has a name like {plain(found.query)!r}.", soft_wrap=True)
        self.notes(found.notes)

    def versions(self, found: PackageInfo, limit: int) -> None:
        """A package, and its newest versions."""
        self.out.print(f"[bold]{found.name}[/]" + (f"  {plain(found.summary)}" if found.summary else ""))
        table = _table("version", "uploaded", "Python", "index", "")
        for release in found.releases[:limit]:
            marks = [_FITS[release.fits].format(python=found.python), "pre-release" if release.prerelease else ""]
            if release.yanked:
                marks.append(f"withdrawn: {release.yanked_reason}" if release.yanked_reason else "withdrawn")
            marks.append("← newest" if release.version == found.newest else "")
            uploaded = (release.uploaded or "—")[:10]
            cells = (release.version, uploaded, release.requires_python or "", release.index)
            table.add_row(*map(plain, (*cells, " · ".join(filter(None, marks)))))
        self.out.print(table)
        left = len(found.releases) - limit
        if left > 0:
            self.out.print(f"And {left} older version{'' if left == 1 else 's'}: --limit {len(found.releases)}")
        self.notes(found.notes)

    def notes(self, notes: Sequence[str]) -> None:
        """What is to be known of an answer."""
        for note in notes:
            self.err.print(f"[dim]{plain(note)}[/]", soft_wrap=True)

    def record(self, record: Record) -> None:
        """A revision."""
        came = record.cloned_from or record.restored_from
        lines = {
            "for": record.group.title,
            "kind": f"{record.kind}{' (deleted)' if record.archived else ''}",
            "description": record.description or "—",
            "base": record.base or "—",
            "change": f"{record.operation}{f' ({came})' if came else ''} by {record.author.name}",
            "when": _local(record.created),
            "why": record.message or "—",
            "Python": f"{record.python} on {record.platform}",
            "asked for": ", ".join(record.requirements) or "nothing",
            "packages": len(record.packages),
        }
        self.out.print(f"[bold]{record.ref}[/]")
        self._facts(lines)
        self.diff(record.diff)

    def _facts(self, lines: Mapping[str, object]) -> None:
        table = _table("", "", headless=True)
        for key, value in lines.items():
            table.add_row(f"[dim]{key}[/]", plain(value))
        self.out.print(table)

    def preview(self, preview: Preview) -> None:
        """What a change would do."""
        self.diff(preview.plan)
        self.warnings(preview.warnings)
        if preview.download:
            self.out.print(f"To download: at most {preview.download / 2**20:.1f} MiB.")
        self.out.print(f"Nothing was changed. To do it: [bold]envpanel apply {preview.id}[/]", soft_wrap=True)

    def outcome(self, outcome: Outcome) -> None:
        """What a change did."""
        record = outcome.record
        if not outcome.changed:
            self.out.print(f"Nothing to change: {record.ref} is just that already.")
            return
        if record.diff:
            self.diff(record.diff)
        self.warnings(outcome.warnings)
        done = _DONE.get(record.operation, record.operation)
        text = done.format(cloned_from=record.cloned_from, restored_from=record.restored_from)
        self.out.print(f"[bold]{record.ref}[/] {plain(text)} ({record.diff.counts or 'same packages'})")

    def verification(self, result: Verification) -> None:
        """What `verify` found."""
        for problem in result.repaired:
            self.out.print(plain(f"repaired {problem.what}: {problem.message}"), soft_wrap=True)
        for problem in result.problems:
            self.out.print(plain(f"{problem.what}: {problem.message}"), soft_wrap=True)
        count = f"{len(result.problems) or 'no'} problem{'' if len(result.problems) == 1 else 's'}"
        self.out.print(f"{result.checked} record{'' if result.checked == 1 else 's'} checked, {count}.")

    def diff(self, found: Diff) -> None:
        """A diff; what was asked for first, what it pulled in below."""
        from rich.text import Text

        if not found:
            self.out.print("The packages are the same.")
            return
        if found.python:
            self.out.print(f"Python {found.python.old} → {found.python.new}")
        one_sided = [(entry.name, entry.version, entry.requested) for entry in found.installed]
        gone = [(entry.name, entry.version, entry.requested) for entry in found.uninstalled]
        up = [(entry.name, f"{entry.old} → {entry.new}", entry.requested) for entry in found.upgraded]
        down = [(entry.name, f"{entry.old} → {entry.new}", entry.requested) for entry in found.downgraded]
        other = [
            (
                entry.name,
                f"{entry.version} ({entry.old.manager} {entry.old.origin} → {entry.new.manager} {entry.new.origin})",
                True,
            )
            for entry in found.changed
        ]
        for sign, word, colour, entries in (
            ("+", "installed", "green", one_sided),
            ("−", "uninstalled", "red", gone),
            ("↑", "upgraded", "green", up),
            ("↓", "downgraded", "yellow", down),
            ("~", "changed", "cyan", other),
        ):
            if entries:
                self.out.print(f"[dim]{word}[/]")
            width = max((len(name) for name, _, _ in entries), default=0)
            for name, value, requested in sorted(entries, key=lambda entry: not entry[2]):
                note = "" if requested else "  (pulled in)"
                self.out.print(Text.assemble((f"  {sign} ", colour), f"{name:<{width}}  {value}", (note, "dim")))

    def warnings(self, warnings: Sequence[PlanWarning]) -> None:
        """What a person would not expect."""
        for warning in warnings:
            self.warning(warning.message)

    def warning(self, message: str, hint: str | None = None) -> None:
        """A warning, and what to do."""
        self.err.print(f"[yellow]Warning:[/] {plain(message)}", soft_wrap=True)
        if hint:
            self.err.print(plain(hint), soft_wrap=True)

    def error(self, error: EnvPanelError) -> None:
        """What happened, what to do, and where to read more."""
        self.err.print(f"[bold red]Error:[/] {plain(error.message)}", soft_wrap=True)
        if error.hint:
            self.err.print(plain(error.hint), soft_wrap=True)
        if error.log:
            self.err.print(f"[dim]The log: {plain(error.log)}[/]", soft_wrap=True)

    @contextmanager
    def progress(self) -> Iterator[Callable[[Progress], None]]:
        """Progress as a bar on a terminal, as lines elsewhere: one for each phase, and for each tenth of it."""
        if not self.err.is_terminal:
            last = ""

            def line(progress: Progress) -> None:
                nonlocal last
                tenth = int(10 * progress.done / progress.total) if progress.total else 0
                if last != (last := f"{progress.phase} {tenth}"):
                    click.echo(str(progress), err=True)

            yield line
            return
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        with Bars(*columns, console=self.err, transient=True) as bars:
            task = bars.add_task("starting", total=None)

            def bar(progress: Progress) -> None:
                bars.update(task, description=plain(progress), completed=progress.done, total=progress.total or None)

            yield bar


def plain(text: object) -> str:
    """Text that came from somebody, as text: no markup, no control characters."""
    from rich.markup import escape

    return escape("".join(char if char.isprintable() else " " for char in str(text)))


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # In a pipe or a file there is no width to fit, and a cut name is a wrong one.
    width = None if stream.isatty() or os.environ.get("COLUMNS") else 160
    return Console(stderr=stderr, highlight=False, width=width, emoji=False)


def _table(*columns: str, headless: bool = False) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        box=None if headless else box.SIMPLE_HEAD,
        show_header=not headless,
        pad_edge=False,
        show_edge=False,
        header_style="dim",
    )
    for column in columns:
        narrow = column in ("rev", "when", "since")
        table.add_column(column, overflow="fold", no_wrap=narrow)
    return table


def _local(created: str) -> str:
    """In the time zone of whoever looks."""
    return f"{datetime.fromisoformat(created).astimezone():%Y-%m-%d %H:%M}"
