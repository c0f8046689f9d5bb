"""What uv says, read: reasons, warnings and progress from the lines that it writes for people.

There is no other form: uv 0.13 has no JSON for any of it, which is why its minor version is pinned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from packaging.utils import canonicalize_name

from envpanel.engines.interface import Report
from envpanel.errors import EngineFailed, Unsatisfiable
from envpanel.model.nouns import Progress


class NoWheels(Unsatisfiable):
    """It might go if these packages were built from source."""

    def __init__(self, message: str, packages: frozenset[str]) -> None:
        names = ", ".join(sorted(packages))
        hint = f"Some versions of {names} come as source only; they are not built where others have wheels."
        super().__init__(message, hint=hint)
        self.packages = packages


class Downloads:
    """MiB of MiB, from uv's lines at the start and end of each larger file."""

    _START = re.compile(r"^Downloading (\S+) \(([\d.]+)([KMG])iB\)")
    _END = re.compile(r"^ *Downloaded (\S+)")
    _IN_MIB: ClassVar = {"K": 1 / 1024, "M": 1.0, "G": 1024.0}

    def __init__(self, report: Report) -> None:
        self._report = report
        self._sizes: dict[str, float] = {}
        self._done: dict[str, float] = {}

    @property
    def running(self) -> bool:
        return len(self._done) < len(self._sizes)

    def line(self, line: str) -> None:
        if match := self._START.match(line):
            self._sizes[match[1]] = float(match[2]) * self._IN_MIB[match[3]]
        elif match := self._END.match(line):
            self._done[match[1]] = self._sizes.get(match[1], 0.0)
        else:
            return
        done, total = sum(self._done.values()), sum(self._sizes.values())
        self._report(Progress(phase="downloading", done=done, total=total, unit="MiB", detail=match[1]))


def unresolved(lines: Sequence[str], code: int = 1) -> EngineFailed | Unsatisfiable:
    """Why a resolution ended, in one sentence. `code` is uv's exit code."""
    said = _Said(lines)
    if not said.error.startswith("No solution found") or not any(said.causes):
        return not_done(lines, "The requirements could not be resolved", code)
    if "network was disabled" in (said.hint or ""):
        return not_done(lines, "The requirements could not be resolved offline", code)
    message = f"No set of packages meets all requirements: {_sentence(_conclusion(said.causes[0]))}"
    wheels = frozenset(map(canonicalize_name, re.findall(r"Wheels are required for `([\w.-]+)`", said.text)))
    return NoWheels(message, wheels) if wheels else Unsatisfiable(message, hint=said.hint)


def not_done(lines: Sequence[str], what: str, code: int = 1) -> EngineFailed:
    """Why something else ended, in one sentence. `code` is uv's exit code."""
    said = _Said(lines)
    # "No solution found when resolving dependencies" says less than its cause.
    error = "" if said.error.startswith("No solution found") and any(said.causes) else said.error
    # The first cause says what was tried, the last one what was in the way: a full disk, no such host.
    causes = [
        re.sub(r" for url \(\S+\)", "", _conclusion(cause)) for cause in (*said.causes[:1], *said.causes[1:][-1:])
    ]
    reason = ": ".join(dict.fromkeys(part.rstrip(".: ") for part in (error, *causes) if part.rstrip(".: ")))
    ended = f"uv was ended by signal {-code}" if code < 0 else "uv ended without a reason"
    return EngineFailed(f"{what}: {_sentence(_cut(reason or ended))}", hint=said.hint)


class _Said:
    """What uv wrote at its end: `error:`, one or more `cause:` and perhaps a `hint:`, each over several lines."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.text = "\n".join(lines)
        # What a build back end said stands behind `[stderr]`, as long as it likes: the log has it.
        brief = re.sub(r"\n *\[std(?:err|out)\]\n.*?(?=\nhint: |\Z)", "", self.text, flags=re.DOTALL)
        parts = re.split(r"^ *(error|cause|hint): ", brief, flags=re.MULTILINE)
        said = [(kind, re.sub(r"\s+", " ", part).strip()) for kind, part in zip(parts[1::2], parts[2::2], strict=True)]
        self.error = next((part for kind, part in said if kind == "error"), "")
        self.causes = [part for kind, part in said if kind == "cause"]
        # The last hint is the most precise: that a password is missing, say, rather than that a name is unknown.
        self.hint = next((part for kind, part in reversed(said) if kind == "hint"), None)


def _conclusion(text: str, longest: int = 500) -> str:
    """uv's derivation, or where that is long its last two steps: what was asked for, and what is in the way."""
    steps = text.split(". And because ")
    if len(text) <= longest or len(steps) < 2:
        return _cut(text)
    before = steps[-2].rpartition("we can conclude that ")[2]
    return _cut(f"{before[:1].upper()}{before[1:]}. And because {steps[-1]}")


def _sentence(text: str) -> str:
    return text if text.endswith(("…", ".")) else f"{text}."


def _cut(text: str, longest: int = 700) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…"


def yanked(lines: Sequence[str]) -> dict[str, str]:
    """The packages that uv took though their authors withdrew them, with a sentence for each."""
    found = re.findall(r"warning: `([\w.-]+)==(\S+)` is yanked(?: \(reason: \"(.*)\"\))?", "\n".join(lines))
    return {
        canonicalize_name(name): f"{name} {version} was withdrawn by its authors" + (f": {reason}" if reason else ".")
        for name, version, reason in found
    }
