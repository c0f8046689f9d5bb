"""What the notebook side asks of envpanel, however it reaches it: one interface of two kinds.

`over_rest` asks a Jupyter server, `over_cli` the command line; `find` says which. Values are those of the wire: dicts
and lists as JSON has them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Report = Callable[[Json], None]
"""Is told how far a change is: `phase`, `done`, `total`, `unit`, `detail`; and every now and then the same again."""


class EnvPanelError(Exception):
    """What happened, in a sentence; `hint` says what to do, `code` names the kind for programs.

    In a notebook it shows as its sentences instead of a traceback, and the notebook stops there as at any error.
    """

    def __init__(self, message: str, *, hint: str | None = None, code: str = "error") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def _render_traceback_(self) -> list[str]:
        # IPython's hook for errors that know how they look.
        text = f"{self.message}\n{self.hint}" if self.hint else self.message
        return ["Error: " + "\n".join(plain(line) for line in text.splitlines())]


class Client(ABC):
    """What can be asked. All of it raises `EnvPanelError`."""

    where: str
    """Whom it asks, in a few words."""

    via: str = "magic"
    """Through what: magic or widget. The history keeps it."""

    @abstractmethod
    def environments(self, *, archived: bool = False) -> list[Json]:
        """All environments in the order of lists; with `archived`, deleted ones too."""

    @abstractmethod
    def having(self, package: str) -> dict[str, str]:
        """The version of a package, such as `numpy` or `numpy<2`, by the environments that have it."""

    @abstractmethod
    def history(
        self, name: str, *, limit: int = 20, before: int | None = None, package: str | None = None
    ) -> list[Json]:
        """Lines of the history, newest first; with `package`, of the revisions that changed it."""

    @abstractmethod
    def attempts(self, name: str, *, limit: int = 20) -> list[Json]:
        """Changes that ended badly, newest first."""

    @abstractmethod
    def attempt_log(self, name: str, attempt: str) -> str:
        """What resolver and installer had said."""

    @abstractmethod
    def record(self, name: str, number: int | None = None) -> Json:
        """The record of a revision, or of the head."""

    @abstractmethod
    def diff(self, old: tuple[str, int], new: tuple[str, int]) -> Json:
        """The diff between two revisions."""

    @abstractmethod
    def text(self, name: str, number: int, kind: str) -> str:
        """A file of a revision: yaml, lock or log."""

    @abstractmethod
    def search(self, query: str, *, limit: int = 20) -> list[str]:
        """Names of packages that the indexes have."""

    @abstractmethod
    def change(self, name: str, change: Json, *, message: str, report: Report) -> Json:
        """Do it: `record`, whether anything was `changed`, and `warnings`. An interrupt cancels it.

        `change` is an intent as the REST interface has them; `files` in one of installation are requirements.txt files.
        """

    @abstractmethod
    def preview(self, name: str, change: Json, *, report: Report) -> Json:
        """What it would do: the diff as `plan`, its `id`, and `warnings`. An interrupt cancels it."""

    @abstractmethod
    def apply(self, name: str, plan: str, *, message: str, report: Report) -> Json:
        """Commit what a preview has shown, by its id, as `change` does."""


def plain(text: object) -> str:
    """Text that came from somebody, as text in one line: no control characters, none that turns its direction."""
    return "".join(char if char.isprintable() else " " for char in str(text))


def quiet(_: Json) -> None:
    """Progress that nobody watches."""


def last_line(texts: list[str]) -> str | None:
    """The last line that says anything: programs that fail say why at the end."""
    return next((plain(text).strip() for text in reversed(texts) if text.strip()), None)
