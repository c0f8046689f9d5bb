"""Completes what stands behind a magic: options, environments, revisions and packages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from envpanel.notebook.asking import Asking
from envpanel.notebook.client import EnvPanelError, plain
from envpanel.notebook.magics import MAGICS

_KEPT = 10.0
"""Seconds for which names are kept: a person presses Tab more than once."""

# Where the value is given to a name, IPython asks for completions by the pattern only.
_LINE = re.compile(r".*%(env[a-z]+)\s+(.*)$", re.DOTALL)


class Completer:
    """Called by IPython with what is being typed; gives words that may stand there. It never fails."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._kept: dict[str, tuple[float, list[str]]] = {}

    def __call__(self, shell: Any, event: Any = None) -> list[str]:
        event = event if event is not None else shell
        try:
            return self._complete(event.text_until_cursor, event.symbol)
        except (EnvPanelError, LookupError, TypeError, ValueError, OSError):
            return []

    def _complete(self, text: str, symbol: str) -> list[str]:
        match = _LINE.match(text)
        if match is None or match[1] not in MAGICS:
            return []
        magic, before = match[1], match[2].split()
        if before and not match[2].endswith(" "):
            before.pop()
        if symbol.startswith("-"):
            return sorted(option for option in MAGICS[magic].parser._option_string_actions if option.startswith("--"))
        if before and before[-1] in ("-e", "--env"):
            return self._environments()
        if before and before[-1] in ("-m", "--message", "-n", "--limit", "-r", "--requirement", "--description"):
            return []
        if before and before[-1] == "--package":
            return self._packages(None)
        return self._words(magic, [word for word in before if not word.startswith("-")], before, symbol)

    def _words(self, magic: str, words: list[str], before: list[str], symbol: str) -> list[str]:
        environment = _behind(before, "-e", "--env")
        if magic in ("envhistory", "envpackages"):
            return self._environments() if not words else []
        if magic == "envclone":
            return self._environments() if not words else []
        if magic == "envdiff":
            named = words[0] if words and not words[0].isdigit() else None
            return [*self._revisions(named), *(self._environments() if not words else [])]
        if magic in ("envyaml", "envlog"):
            return [*self._revisions(words[0] if words else None), *(self._environments() if not words else [])]
        if magic == "envrestore":
            return self._revisions(environment)
        if magic in ("envuninstall", "envupgrade"):
            return self._packages(environment)
        if magic == "envinstall":
            return self._searched(symbol)
        return []

    def _environments(self) -> list[str]:
        return self._keep("environments", lambda: [item["name"] for item in self._asking.client.environments()])

    def _revisions(self, name: str | None) -> list[str]:
        name = self._asking.name(name)
        return self._keep(
            f"revisions {name}",
            lambda: [str(entry["number"]) for entry in self._asking.client.history(name, limit=100)],
        )

    def _packages(self, name: str | None) -> list[str]:
        name = self._asking.name(name)
        return self._keep(
            f"packages {name}", lambda: [item["name"] for item in self._asking.client.record(name)["packages"]]
        )

    def _searched(self, symbol: str) -> list[str]:
        # A command line that has to fetch all names first would hold up who types.
        if len(symbol) < 2 or self._asking.client.where == "the command line":
            return []
        return self._keep(f"search {symbol}", lambda: self._asking.client.search(symbol))

    def _keep(self, key: str, find: Callable[[], list[str]]) -> list[str]:
        at, found = self._kept.get(key, (0.0, []))
        if time.monotonic() - at > _KEPT or not at:
            found = [plain(word) for word in find()]
            self._kept[key] = (time.monotonic(), found)
        return found


def install(shell: Any, asking: Asking) -> None:
    """Have IPython ask."""
    completer = Completer(asking)
    shell.set_hook("complete_command", completer, re_key=_LINE.pattern)


def _behind(words: list[str], *options: str) -> str | None:
    return next((words[at + 1] for at, word in enumerate(words[:-1]) if word in options), None)
