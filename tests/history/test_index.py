"""The local index: it answers as the ledger would, whatever happens to its file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from factories import commit, few, history, package
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

import envpanel
from envpanel.errors import NotFound, RecordDamaged
from envpanel.history.index import HistoryEntry, Index, entry_of
from envpanel.history.ledger import Ledger
from envpanel.history.store import FolderStore, ObjectStore, Store
from envpanel.model.nouns import Author, Digests, Record, Via


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def ledger(home: Path) -> Ledger:
    return Ledger(FolderStore(home))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "local" / "index.sqlite"


def varied(ledger: Ledger, count: int) -> list[Record]:
    """Each installs a package of its own; every third one upgrades six, too; authors and messages differ."""
    records: list[Record] = []
    for number in range(1, count + 1):
        packages = [package(f"package-{other}") for other in range(number)] + [package("six", str(number // 3))]
        other: dict[str, Any] = {
            "message": f"für {number} 🐍",
            "author": Author(username=f"user{number % 2}", name="N", verified=number % 2 == 0),
            "via": Via.LAB,
            "packages": tuple(packages),
        }
        records.append(commit(ledger, records[-1] if records else None, **other))
    return records


def expected(records: list[Record]) -> list[HistoryEntry]:
    return [entry_of(entry) for entry in reversed(records)]


def ask(index: Index, **other: Any) -> list[HistoryEntry]:
    return index.history("churn", **{"limit": 1000, **other})


# Answers


@pytest.mark.parametrize("stored", [True, False], ids=["file", "memory"])
def test_the_history_is_that_of_the_ledger_newest_first(ledger: Ledger, path: Path, stored: bool) -> None:
    records = varied(ledger, 9)
    index = Index(ledger, path if stored else None)
    assert ask(index) == expected(records)
    assert [entry.number for entry in ask(index)] == list(range(9, 0, -1))


def test_a_line_has_the_parts_of_its_record(ledger: Ledger, path: Path) -> None:
    first = commit(ledger)
    digests = Digests(lock=first.digests.lock, yaml=first.digests.yaml, commands=ledger.put_blob(b"echo"))
    second = commit(ledger, first, digests=digests, operation="upgrade", message="why")
    entry, _ = ask(Index(ledger, path))
    assert entry == HistoryEntry(
        number=2,
        parent=1,
        author=second.author,
        created=second.created,
        operation="upgrade",
        arguments=second.arguments,
        message="why",
        diff=second.diff,
        commands=True,
    )


def test_what_comes_later_is_seen_at_the_next_question(ledger: Ledger, path: Path) -> None:
    index = Index(ledger, path)
    records = [commit(ledger)]
    for _ in range(3):
        assert ask(index) == expected(records)
        records.append(commit(ledger, records[-1]))
        records.append(commit(ledger, records[-1]))
    assert ask(index) == expected(records)


def test_pages_follow_each_other_without_gap_or_overlap(ledger: Ledger, path: Path) -> None:
    records = varied(ledger, 11)
    index = Index(ledger, path)
    pages, before = [], None
    while page := ask(index, limit=4, before=before):
        assert len(page) <= 4
        pages += page
        before = page[-1].number
    assert pages == expected(records)
    assert [entry.number for entry in ask(index, limit=2, before=5)] == [4, 3]
    assert ask(index, limit=0) == []
    assert ask(index, before=1) == []
    assert ask(index, before=10**9) == expected(records)


SHARED: dict[str, Any] = {}


def shared() -> tuple[Index, list[Record]]:
    if not SHARED:
        ledger = Ledger(ObjectStore(MemoryStore()))
        SHARED["records"] = varied(ledger, 12)
        SHARED["index"] = Index(ledger, None)
    return SHARED["index"], SHARED["records"]


@few
@given(
    limit=st.integers(0, 15),
    before=st.none() | st.integers(0, 15),
    name=st.none() | st.sampled_from(["six", "Six", "package-3", "Package_3", "package.7", "absent", ""]),
)
def test_any_page_is_that_part_of_the_ledger(limit: int, before: int | None, name: str | None) -> None:
    index, records = shared()
    wanted = [
        entry_of(entry)
        for entry in reversed(records)
        if (before is None or entry.number < before)
        and (name is None or name.lower().replace("_", "-").replace(".", "-") in entry.diff.names)
    ]
    assert ask(index, limit=limit, before=before, package=name) == wanted[:limit]


def test_a_package_is_found_however_its_name_is_written(ledger: Ledger, path: Path) -> None:
    first = commit(ledger, packages=(package("Rapid_Fuzz"),))
    second = commit(ledger, first, packages=(package("Rapid_Fuzz"), package("numpy")))
    third = commit(ledger, second, packages=(package("rapid.fuzz", "2"), package("numpy")))
    commit(ledger, third, packages=(package("rapid.fuzz", "2"),))
    index = Index(ledger, path)
    for name in ("rapid-fuzz", "Rapid_Fuzz", "RAPID.FUZZ"):
        assert [entry.number for entry in ask(index, package=name)] == [3, 1]
    assert [entry.number for entry in ask(index, package="numpy")] == [4, 2]
    assert ask(index, package="rapid") == []
    assert ask(index, package="%") == []
    assert ask(index, package="rapid-fuzz", limit=1)[0].number == 3


def test_environments_are_told_apart(ledger: Ledger, path: Path) -> None:
    churn, fraud = history(ledger, 3), history(ledger, 2, environment="fraud")
    index = Index(ledger, path)
    assert ask(index) == expected(churn)
    assert index.history("fraud", limit=10) == expected(fraud)
    assert ask(index) == expected(churn)


def test_an_environment_that_does_not_exist_is_not_found(ledger: Ledger, path: Path) -> None:
    commit(ledger)
    with pytest.raises(NotFound):
        Index(ledger, path).history("absent", limit=1)


def test_a_damaged_record_is_said_and_not_left_out(ledger: Ledger, path: Path) -> None:
    records = history(ledger, 3)
    index = Index(ledger, path)
    key = "environments/churn/00000002.json"
    whole = ledger.store.get(key)
    ledger.store.put(key, whole.replace(b"change 2", b"change 3"))
    for _ in range(2):
        with pytest.raises(RecordDamaged, match="churn@2"):
            ask(index)
    ledger.store.put(key, whole)
    assert ask(index) == expected(records)


# What may happen to its file


def removed(path: Path) -> None:
    path.unlink()


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(10_000))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def other_version(path: Path) -> None:
    """Its entries mean something else."""
    statement(path, "PRAGMA user_version = 99; UPDATE revisions SET entry = replace(entry, 'install', 'other')")


def other_tables(path: Path) -> None:
    statement(path, "DROP TABLE revisions; CREATE TABLE revisions (x)")


def unreadable_entries(path: Path) -> None:
    statement(path, "UPDATE revisions SET entry = '{'")


def entries_of_another_form(path: Path) -> None:
    statement(path, 'UPDATE revisions SET entry = \'{"number": "one"}\'')


def scribbled(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100:4096] = os.urandom(3996)
    path.write_bytes(data)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


def folder_gone(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def folder_is_a_file(path: Path) -> None:
    folder_gone(path)
    path.parent.touch()


def statement(path: Path, sql: str) -> None:
    database = sqlite3.connect(path)
    database.executescript(sql)
    database.commit()
    database.close()


DAMAGES = [
    *(removed, garbage, emptied, cut, other_version, other_tables, unreadable_entries, entries_of_another_form),
    *(scribbled, a_folder, folder_gone, folder_is_a_file),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_whatever_happens_to_the_file_the_answers_are_the_same(
    ledger: Ledger, path: Path, damage: Callable[[Path], None]
) -> None:
    records = varied(ledger, 7)
    assert ask(Index(ledger, path)) == expected(records)
    damage(path)
    index = Index(ledger, path)
    for _ in range(2):
        assert ask(index) == expected(records)
        assert [entry.number for entry in ask(index, package="six")] == [6, 3, 1]
    records.append(commit(ledger, records[-1]))
    assert ask(index) == expected(records)
    assert ask(Index(ledger, path)) == expected(records)


@pytest.mark.parametrize(
    "damage",
    [other_tables, unreadable_entries, entries_of_another_form, removed],
    ids=lambda damage: damage.__name__,
)
def test_what_happens_while_it_is_open_does_not_matter_either(
    ledger: Ledger, path: Path, damage: Callable[[Path], None]
) -> None:
    records = varied(ledger, 4)
    index = Index(ledger, path)
    assert ask(index) == expected(records)
    damage(path)
    assert ask(index) == expected(records)
    records.append(commit(ledger, records[-1]))
    assert ask(index) == expected(records)


def test_a_file_that_can_be_mended_is_used_again(ledger: Ledger, path: Path) -> None:
    records = varied(ledger, 3)
    path.parent.mkdir()
    garbage(path)
    assert ask(Index(ledger, path)) == expected(records)
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*) FROM revisions").fetchone() == (3,)
    assert database.execute("PRAGMA user_version").fetchone() != (0,)
    database.close()


def test_where_it_cannot_write_it_answers_all_the_same() -> None:
    """Root may write anywhere, so a root that runs the tests becomes somebody else."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(envpanel.__file__).parents[1])!r})
from pathlib import Path
from envpanel.history.index import Index
from envpanel.history.ledger import Ledger
from envpanel.history.store import FolderStore
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
index = Index(Ledger(FolderStore(Path(sys.argv[1]))), Path(sys.argv[2]))
for _ in range(2):
    print(*[entry.number for entry in index.history("churn", limit=10)])
"""
    # Not below tmp_path, which others may not enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "home").mkdir(mode=0o755)
        ledger = Ledger(FolderStore(folder / "home"))
        records = history(ledger, 2)
        old = folder / "old.sqlite"
        ask(Index(ledger, old))
        history_then = commit(ledger, records[-1])
        assert history_then.number == 3
        old.chmod(0o444)
        for local in (folder / "absent" / "index.sqlite", folder / "index.sqlite", old):
            argv = [sys.executable, "-c", code, str(folder / "home"), str(local)]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
            assert done.stdout == "3 2 1\n3 2 1\n", done.stderr
        assert sorted(path.name for path in folder.iterdir()) == ["home", "old.sqlite"]


# What may happen to the home


def replaced(store: Store, by: Store) -> None:
    def copy(folder: str) -> None:
        for name in by.list(folder):
            path = f"{folder}/{name}" if folder else name
            if name.endswith("/"):
                copy(path.rstrip("/"))
            else:
                store.put(path, by.get(path))

    def clear(folder: str) -> None:
        for name in store.list(folder):
            path = f"{folder}/{name}" if folder else name
            clear(path.rstrip("/")) if name.endswith("/") else store.delete(path)

    clear("")
    copy("")


@pytest.mark.parametrize("count", [1, 3, 5, 6, 9])
def test_another_home_under_the_same_name_gives_its_own_answers(ledger: Ledger, path: Path, count: int) -> None:
    """Shorter, as long, or longer: nothing of the old one is left."""
    index = Index(ledger, path)
    records = varied(ledger, 5)
    assert ask(index) == expected(records)
    elsewhere = Ledger(ObjectStore(MemoryStore()))
    others = history(elsewhere, count, message="another home")
    replaced(ledger.store, elsewhere.store)
    assert ask(index) == expected(others)
    assert ask(index, package="six") == []
    assert ask(Index(ledger, path)) == expected(others)


def test_a_home_from_a_backup_is_continued_from_there(ledger: Ledger, path: Path) -> None:
    index = Index(ledger, path)
    records = history(ledger, 4)
    assert ask(index) == expected(records)
    for number in (3, 4):
        ledger.store.delete(f"environments/churn/{number:08d}.json")
    assert ask(index) == expected(records[:2])
    again = [*records[:2], commit(ledger, records[1], message="again")]
    assert ask(index) == expected(again)
    again.append(commit(ledger, again[-1]))
    assert ask(index) == expected(again)


def test_an_environment_that_went_and_came_back_is_the_new_one(ledger: Ledger, path: Path) -> None:
    index = Index(ledger, path)
    records = history(ledger, 3)
    assert ask(index) == expected(records)
    replaced(ledger.store, ObjectStore(MemoryStore()))
    with pytest.raises(NotFound):
        ask(index)
    records = history(ledger, 2, message="new")
    assert ask(index) == expected(records)


# Manners


def test_it_writes_nothing_in_the_home(ledger: Ledger, home: Path, path: Path) -> None:
    records = varied(ledger, 4)
    before = {file: file.stat().st_mtime_ns for file in home.rglob("*")}
    assert ask(Index(ledger, path)) == expected(records)
    assert ask(Index(ledger, None), package="six") != []
    assert {file: file.stat().st_mtime_ns for file in home.rglob("*")} == before
    assert path.is_file()


def test_it_reads_only_the_records_that_are_new(path: Path) -> None:
    class Counting(ObjectStore):
        reads = 0

        def get(self, key: str) -> bytes:
            self.reads += key.endswith(".json")
            return super().get(key)

    store = Counting(MemoryStore())
    ledger = Ledger(store)
    records = history(ledger, 30)
    ask(Index(ledger, path))
    commit(ledger, records[-1])
    store.reads = 0
    assert len(ask(Index(ledger, path))) == 31
    assert store.reads < 10


def test_many_threads_and_two_indexes_on_one_file_agree(ledger: Ledger, path: Path) -> None:
    records = history(ledger, 3)
    indexes = [Index(ledger, path), Index(ledger, path)]

    def reader(number: int) -> list[HistoryEntry]:
        return ask(indexes[number % 2])

    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            assert all(answer == expected(records) for answer in pool.map(reader, range(16)))
            records.append(commit(ledger, records[-1]))
