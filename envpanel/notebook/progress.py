"""How far a change is, live in the cell: one line that is updated, or lines in a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from envpanel.notebook.client import Json, plain
from envpanel.notebook.views import Note

_AT_FIRST = 0.5
"""Seconds that a change may take before anything is shown."""

_STEP = 0.25


class Progress:
    """Call it with what is reported. `shell` is IPython."""

    def __init__(self, shell: Any) -> None:
        # In a terminal, an update would be printed as another line.
        self._in_notebook = hasattr(shell, "kernel")
        self._begun = time.monotonic()
        self._shown_at = 0.0
        self._shown = ""
        self._handle: Any = None

    def __call__(self, progress: Json) -> None:
        now = time.monotonic()
        if now - self._begun < _AT_FIRST or now - self._shown_at < _STEP:
            return
        self._shown_at = now
        if not self._in_notebook:
            if self._shown != (shown := said(progress)):
                print(shown, file=sys.stderr)
                self._shown = shown
            return
        self._show(f"{said(progress)} · {now - self._begun:.0f} s · Interrupt cancels it")

    def end(self, how: str) -> None:
        """It has ended, so."""
        if self._handle is not None:
            self._show(f"{how} in {time.monotonic() - self._begun:.1f} s")

    def _show(self, text: str) -> None:
        if self._handle is not None:
            self._handle.update(Note(text))
            return
        from IPython.display import display

        self._handle = display(Note(text), display_id=True)  # type: ignore[no-untyped-call]


def said(progress: Json) -> str:
    """A line such as `installing 3 of 7 packages`."""
    text = str(progress.get("phase") or "working")
    if progress.get("total"):
        unit = str(progress.get("unit") or "")
        form = "{:.1f} of {:.1f}" if unit == "MiB" else "{:.0f} of {:.0f}"
        text += f" {form.format(progress.get('done') or 0, progress['total'])} {unit}".rstrip()
    if progress.get("detail"):
        text += f": {progress['detail']}"
    return plain(text)
