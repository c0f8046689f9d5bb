"""How values look: HTML in a notebook, plain text elsewhere, and data all the same.

Text in them comes from many people. It is escaped, and loses its control characters. Colours are those of the theme,
and only help: signs and words say the same.
"""

from __future__ import annotations

import html
import importlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from envpanel.notebook.client import Json, plain

_KINDS = (
    ("installed", "+", "success"),
    ("uninstalled", "−", "error"),
    ("upgraded", "↑", "success"),
    ("downgraded", "↓", "warn"),
    ("changed", "~", "info"),
)

_BLOCK = '<div style="color: inherit; text-align: left">{}</div>'
_CELL = ' style="text-align: left; vertical-align: top; padding: 2px 12px 2px 0"'
_FAINT = '<span style="opacity: 0.75">{}</span>'


class View:
    """What shows itself as `lines` in text, and as `html` in a notebook."""

    def lines(self) -> list[str]:
        """As text."""
        raise NotImplementedError

    def html(self) -> str:
        """As HTML."""
        return "<br>".join(escape(line) for line in self.lines())

    def __repr__(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # IPython would else print a list or dict as what it is besides.
        printer.text(repr(self))

    def _repr_html_(self) -> str:
        return _BLOCK.format(self.html())


class Rows(View, list):  # type: ignore[type-arg]
    """A list of dicts that shows itself as a table. `columns`: which keys are shown, and their titles."""

    def __init__(
        self, rows: Iterable[Json], columns: Mapping[str, str], *, title: str = "", note: str = "", none: str = ""
    ) -> None:
        super().__init__(rows)
        self._columns = dict(columns)
        self._title = title
        self._note = note
        self._none = none

    @property
    def df(self) -> Any:
        """A pandas DataFrame where pandas is here, else the plain list."""
        frame = data_frame(self)
        return list(self) if frame is None else frame

    def lines(self) -> list[str]:
        cells = [[_shown(key, row) for key in self._columns] for row in self]
        titles = [plain(title) for title in self._columns.values()]
        table = text_table([titles, *cells]) if cells else [plain(self._none)]
        return [line for line in (plain(self._title), *table, plain(self._note)) if line]

    def html(self) -> str:
        if not self:
            return escape(self._none)
        head = "".join(f"<th{_CELL}>{escape(title)}</th>" for title in self._columns.values())
        body = "".join(
            "<tr>" + "".join(f"<td{_CELL}>{escape(_shown(key, row))}</td>" for key in self._columns) + "</tr>"
            for row in self
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return _titled(self._title) + table + (_FAINT.format(escape(self._note)) if self._note else "")


class Facts(View, dict):  # type: ignore[type-arg]
    """A dict that shows itself as sentences."""

    def __init__(self, values: Json, sentences: Iterable[str]) -> None:
        super().__init__(values)
        self._sentences = [sentence for sentence in sentences if sentence]

    def lines(self) -> list[str]:
        return [plain(sentence) for sentence in self._sentences]

    def html(self) -> str:
        first, *more = self.lines()
        return "<br>".join([f"<b>{escape(first)}</b>", *map(escape, more)])


class Difference(View, dict):  # type: ignore[type-arg]
    """A diff, grouped by words; below it further sentences. The dict has `old`, `new` and the lists by their words."""

    def __init__(
        self,
        diff: Json,
        *,
        title: str,
        values: Json | None = None,
        warnings: Sequence[Json] = (),
        sentences: Iterable[str] = (),
    ) -> None:
        super().__init__({**diff, **(values or {})})
        self._diff = diff
        self._title = title
        self._warnings = [str(warning.get("message", "")) for warning in warnings]
        self._sentences = [sentence for sentence in sentences if sentence]

    def lines(self) -> list[str]:
        found = [plain(self._title)] if self._title else []
        python = self._diff.get("python")
        if python:
            found.append(plain(f"Python {python['old']} → {python['new']}"))
        for word, sign, entries in _groups(self._diff):
            found.append(word)
            width = max(len(name) for name, _, _ in entries)
            found += [f"  {sign} {name:<{width}}  {version}{note}" for name, version, note in entries]
        if not counts(self._diff):
            found.append("The packages are the same.")
        found += [f"Warning: {plain(text)}" for text in self._warnings]
        return [*found, *map(plain, self._sentences)]

    def html(self) -> str:
        parts = [_titled(self._title)]
        python = self._diff.get("python")
        if python:
            parts.append("<div>" + escape("Python {} → {}".format(python["old"], python["new"])) + "</div>")
        colours = {word: colour for word, _, colour in _KINDS}
        for word, sign, entries in _groups(self._diff):
            colour = f"color: var(--jp-{colours[word]}-color1, inherit); font-weight: bold"
            rows = "".join(
                f'<tr><td{_CELL}><span style="{colour}">{sign}</span> {escape(name)}</td>'
                f"<td{_CELL}>{escape(version)}{_FAINT.format(escape(note)) if note else ''}</td></tr>"
                for name, version, note in entries
            )
            parts.append(f"<div>{_FAINT.format(word)}</div><table><tbody>{rows}</tbody></table>")
        if not counts(self._diff):
            parts.append("<div>The packages are the same.</div>")
        parts += [f"<div><b>Warning:</b> {escape(text)}</div>" for text in self._warnings]
        parts += [f"<div>{escape(text)}</div>" for text in self._sentences]
        return "".join(parts)


class Text(View, str):
    """A text that shows itself as it is."""

    def lines(self) -> list[str]:
        return [_tabbed(line) for line in str.splitlines(self)]

    def html(self) -> str:
        return f"<pre>{escape_lines(self.lines())}</pre>"


class Note(View):
    """A sentence."""

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence

    def lines(self) -> list[str]:
        return [plain(self._sentence)]


def counts(diff: Json) -> str:
    """A diff in short, as lists show it: `+2 −1 ↑3`."""
    found = [f"{sign}{len(diff[word])}" for word, sign, _ in _KINDS if diff.get(word)]
    if diff.get("python"):
        found.append("Python {} → {}".format(diff["python"]["old"], diff["python"]["new"]))
    return " ".join(found)


def signs(diff: Json) -> list[str]:
    """A diff as a list: `+ cowsay 6.1`, `↑ numpy 1.26.4 → 2.1.0`."""
    return [f"{sign} {name} {version}" for _, sign, entries in _groups(diff) for name, version, _ in entries]


def data_frame(rows: Sequence[Json]) -> Any:
    """A pandas DataFrame; None where there is no pandas."""
    try:
        # A package of the user's, where it is one; no type checker of ours knows it.
        pandas = importlib.import_module("pandas")
    except ImportError:
        return None
    return pandas.DataFrame([dict(row) for row in rows])


def local(created: str) -> str:
    """A time in the time zone of whoever looks."""
    try:
        # Python 3.9 does not know the Z.
        return f"{datetime.fromisoformat(created.replace('Z', '+00:00')).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return created


def text_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, the first one being the titles."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def escape(text: object) -> str:
    """Somebody's text in HTML."""
    return html.escape(plain(text), quote=True)


def escape_lines(lines: Iterable[str]) -> str:
    """Somebody's lines in HTML."""
    return "\n".join(map(escape, lines))


def _titled(title: str) -> str:
    return f"<div><b>{escape(title)}</b></div>" if title else ""


def _tabbed(line: str) -> str:
    return plain(line.expandtabs(8))


def _shown(key: str, row: Json) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    return plain(local(str(value)) if key == "created" else value)


def _groups(diff: Json) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """Word, sign, and of each package name, version and a note; what was asked for comes first."""
    found = []
    for word, sign, _ in _KINDS:
        entries = sorted(diff.get(word) or (), key=lambda entry: not entry.get("requested", True))
        if entries:
            lines = [
                (plain(entry["name"]), plain(_version(entry)), "" if entry.get("requested", True) else "  (pulled in)")
                for entry in entries
            ]
            found.append((word, sign, lines))
    return found


def _version(entry: Json) -> str:
    if "version" not in entry:
        return f"{entry['old']} → {entry['new']}"
    if "new" in entry:
        sources = " → ".join(f"{side['manager']} {side['origin']}" for side in (entry["old"], entry["new"]))
        return f"{entry['version']} ({sources})"
    return str(entry["version"])
