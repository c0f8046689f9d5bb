"""What others commit is told once, by one listing, on a folder and on an object store alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from factories import record
from obstore.store import MemoryStore

from envpanel.history.ledger import Ledger
from envpanel.history.store import FolderStore, ObjectStore, Store
from envpanel.model.nouns import Record
from envpanel.server.watch import Watch


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return FolderStore(tmp_path / "home") if request.param == "folder" else ObjectStore(MemoryStore(), "bucket")


def commit(ledger: Ledger, name: str) -> Record:
    """The next revision, by somebody else."""
    number = ledger.last_number(name) + 1
    previous = ledger.head(name).digest if number > 1 else None
    draft = replace(
        record(), environment=name, number=number, parent=number - 1 or None, previous=previous, id=f"{name}{number}"
    )
    return ledger.commit(draft)


@asynccontextmanager
async def watching(ledger: Ledger, *, full: float = 60) -> AsyncIterator[tuple[Watch, list[tuple[str, int]]]]:
    told: list[tuple[str, int]] = []
    environments = cast(Any, SimpleNamespace(ledger=ledger))
    watched = Watch(
        environments, lambda record: told.append((record.environment, record.number)), interval=0.02, full=full
    )
    task = asyncio.create_task(watched.run())
    await asyncio.sleep(0.1)
    try:
        yield watched, told
    finally:
        task.cancel()


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not happened():
            await asyncio.sleep(0.01)


async def test_what_is_there_already_is_no_news_and_what_comes_is_told_once(store: Store) -> None:
    ledger, other = Ledger(store), Ledger(store)
    commit(other, "churn")
    async with watching(ledger) as (_, told):
        assert told == []
        commit(other, "churn")
        await until(lambda: told == [("churn", 2)])
        commit(other, "fraud")
        await until(lambda: told == [("churn", 2), ("fraud", 1)])
        await asyncio.sleep(0.1)
        assert len(told) == 2


async def test_a_commit_of_ones_own_is_told_at_once_and_not_again(store: Store) -> None:
    ledger = Ledger(store)
    async with watching(ledger) as (watched, told):
        watched.seen(commit(ledger, "churn"))
        assert told == [("churn", 1)]
        await asyncio.sleep(0.1)
        assert told == [("churn", 1)]


async def test_several_commits_between_two_looks_are_told_as_the_newest(store: Store) -> None:
    ledger = Ledger(store)
    async with watching(ledger) as (_, told):
        for _number in range(3):
            commit(ledger, "churn")
        await until(lambda: bool(told) and told[-1] == ("churn", 3))
        assert [number for _, number in told] == sorted({number for _, number in told})


async def test_a_lost_hint_is_made_up_for_by_the_slow_look(store: Store) -> None:
    ledger = Ledger(store)
    async with watching(ledger, full=0.2) as (_, told):
        commit(ledger, "churn")
        store.delete("live/heads/churn")
        await until(lambda: told == [("churn", 1)])


async def test_a_store_that_fails_for_a_while_is_asked_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from envpanel.errors import StoreError

    ledger = Ledger(store)
    async with watching(ledger) as (_, told):
        commit(Ledger(store), "churn")
        await until(lambda: told == [("churn", 1)])

        def broken() -> None:
            raise StoreError("the share is gone")

        with monkeypatch.context() as patch:
            patch.setattr(ledger, "hints", broken)
            commit(Ledger(store), "churn")
            await asyncio.sleep(0.1)
        await until(lambda: told == [("churn", 1), ("churn", 2)])
