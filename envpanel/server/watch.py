"""Watches a home for what others commit there: another server, the command line, a colleague on another machine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from envpanel.errors import EnvPanelError
from envpanel.model.nouns import Record
from envpanel.service import Environments


class Watch:
    """Tells `changed` of each new head, once.

    `interval` is the time between two looks, in seconds, `full` that between two at every environment, which find what
    lost hints have hidden.
    """

    def __init__(
        self, environments: Environments, changed: Callable[[Record], None], *, interval: float, full: float = 60.0
    ) -> None:
        self._environments = environments
        self._changed = changed
        self._interval = interval
        self._full = full
        self._hints: dict[str, str] = {}
        self._heads: dict[str, int] = {}
        self._last_full = 0.0

    def seen(self, record: Record) -> None:
        """Tell of a commit of one's own, at once."""
        if self._heads.get(record.environment, 0) < record.number:
            self._heads[record.environment] = record.number
            self._changed(record)

    async def run(self) -> None:
        """Look until cancelled. What is there at the first look is no news."""
        await self._look(first=True)
        while True:
            await asyncio.sleep(self._interval)
            await self._look()

    async def _look(self, *, first: bool = False) -> None:
        full = first or time.monotonic() - self._last_full >= self._full
        try:
            hints, numbers = await asyncio.to_thread(self._numbers, full)
        except EnvPanelError:
            # The share is gone for a moment, or the network; the next look may be luckier.
            return
        if full:
            self._last_full = time.monotonic()
        self._hints |= hints
        for name, number in numbers.items():
            if first:
                self._heads.setdefault(name, number)
            elif self._heads.get(name, 0) < number:
                # A damaged one is told by whoever looks at it.
                with contextlib.suppress(EnvPanelError):
                    self.seen(await asyncio.to_thread(self._environments.ledger.get, name, number))

    def _numbers(self, full: bool) -> tuple[dict[str, str], dict[str, int]]:
        """The hints, and the heads of those whose hint is another one now; with `full`, of all."""
        ledger = self._environments.ledger
        hints = dict(ledger.hints())
        moved = [name for name, version in hints.items() if self._hints.get(name) != version]
        names = {*moved, *ledger.names()} if full else moved
        return hints, {name: ledger.last_number(name) for name in names}
