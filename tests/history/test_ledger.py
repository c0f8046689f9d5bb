"""The ledger on both kinds of store: the chain, the commit, the head, and what verify finds."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import commit, history, package, record, sha, with_blobs
from obstore.store import MemoryStore

from envpanel.errors import FormatTooNew, KeyExists, KeyMissing, NotFound, RecordDamaged, StoreError
from envpanel.history.ledger import Ledger
from envpanel.history.store import FolderStore, ObjectStore, Store
from envpanel.model import wire
from envpanel.model.nouns import FORMAT, Digests, Record

HINT = "live/heads/churn"


def key(number: int, suffix: str = "json") -> str:
    return f"environments/churn/{number:08d}.{suffix}"


def blob(digest: str) -> str:
    return f"blobs/sha256/{digest}"


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return FolderStore(tmp_path / "home") if request.param == "folder" else ObjectStore(MemoryStore())


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)


class Around(Store):
    """Another store, all of whose verbs can be changed."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.description = inner.description

    def create(self, key: str, data: bytes) -> None:
        self.inner.create(key, data)

    def put(self, key: str, data: bytes) -> None:
        self.inner.put(key, data)

    def get(self, key: str) -> bytes:
        return self.inner.get(key)

    def list(self, folder: str) -> Sequence[str]:
        return self.inner.list(folder)

    def versions(self, folder: str) -> Mapping[str, str]:
        return self.inner.versions(folder)

    def delete(self, key: str) -> None:
        self.inner.delete(key)


class Overwriting(Around):
    """Without the one thing that makes it safe."""

    def create(self, key: str, data: bytes) -> None:
        self.inner.put(key, data)


class LosingAnswers(Around):
    """It does what it is asked to, and the answer gets lost, as one of the kind that `error` makes."""

    def __init__(self, inner: Store, error: Callable[[str], StoreError] = StoreError) -> None:
        super().__init__(inner)
        self.error = error

    def create(self, key: str, data: bytes) -> None:
        self.inner.create(key, data)
        raise self.error("the answer was lost")


class Refusing(Around):
    """It writes nothing below `folder`."""

    def __init__(self, inner: Store, folder: str = "", error: Callable[[str], StoreError] = StoreError) -> None:
        super().__init__(inner)
        self.folder = folder
        self.error = error

    def create(self, key: str, data: bytes) -> None:
        if key.startswith(self.folder):
            raise self.error("the disk is full")
        super().create(key, data)

    def put(self, key: str, data: bytes) -> None:
        if key.startswith(self.folder):
            raise self.error("the disk is full")
        super().put(key, data)


def contents(store: Store, folder: str = "") -> dict[str, bytes]:
    found = {}
    for name in store.list(folder):
        path = f"{folder}/{name}" if folder else name
        found |= contents(store, path.rstrip("/")) if name.endswith("/") else {path: store.get(path)}
    return found


# The commit


def test_the_first_commit_makes_the_environment(ledger: Ledger) -> None:
    assert ledger.names() == []
    draft = record(digests=with_blobs(ledger))
    written = ledger.commit(draft)
    assert written == replace(draft, digest=written.digest)
    assert len(written.digest) == 64
    assert ledger.get("churn", 1) == ledger.head("churn") == written
    assert ledger.names() == ["churn"]


def test_a_revision_exists_exactly_when_its_record_does(ledger: Ledger) -> None:
    first = commit(ledger)
    ledger.store.put(key(2, "yml"), b"name: churn")
    ledger.store.put(HINT, b"2")
    assert ledger.head("churn") == first
    ledger.store.create(key(2), wire.seal(record(previous=first))[1])
    assert ledger.head("churn").number == 2


def test_each_record_names_the_one_before(ledger: Ledger) -> None:
    records = history(ledger, 5)
    assert [entry.number for entry in records] == [1, 2, 3, 4, 5]
    assert [entry.parent for entry in records] == [None, 1, 2, 3, 4]
    assert [entry.previous for entry in records] == [None, *(entry.digest for entry in records[:-1])]
    assert list(ledger.newest_first("churn")) == records[::-1]
    assert list(ledger.newest_first("churn", before=3)) == records[1::-1]
    assert list(ledger.newest_first("churn", before=1)) == []


def test_a_commit_changes_nothing_that_was_there(ledger: Ledger) -> None:
    first, second = history(ledger, 2)
    before = contents(ledger.store)
    commit(ledger, second)
    after = contents(ledger.store)
    assert {path for path in before if after[path] != before[path]} == {HINT}
    assert ledger.get("churn", 1) == first


def test_a_number_that_is_taken_is_refused_and_nothing_changes(ledger: Ledger) -> None:
    first, second = history(ledger, 2)
    before = contents(ledger.store)
    for draft in (record(previous=first), record()):
        with pytest.raises(KeyExists):
            ledger.commit(draft)
    assert contents(ledger.store) == before
    assert ledger.head("churn") == second


def test_an_own_record_is_a_success(ledger: Ledger) -> None:
    """Written twice, as where the first answer got lost."""
    draft = record(digests=with_blobs(ledger))
    assert ledger.commit(draft) == ledger.commit(draft) == ledger.head("churn")


@pytest.mark.parametrize("error", [StoreError, KeyExists])
def test_a_commit_whose_answer_is_lost_is_a_success(store: Store, error: Callable[[str], StoreError]) -> None:
    plain = Ledger(store)
    first = commit(plain)
    draft = record(previous=first, digests=with_blobs(plain, {"number": 2}))
    written = Ledger(LosingAnswers(store, error)).commit(draft)
    assert written.id == draft.id
    assert plain.head("churn") == written
    assert store.get(HINT) == b"2"
    assert store.get(key(2, "yml")) == plain.get_blob(draft.digests.yaml)


def test_a_commit_that_fails_is_an_error_and_leaves_no_revision(store: Store) -> None:
    plain = Ledger(store)
    first = commit(plain)
    before = contents(store)
    with pytest.raises(StoreError, match="disk is full") as caught:
        Ledger(Refusing(store, "environments")).commit(record(previous=first))
    assert not isinstance(caught.value, KeyExists)
    assert contents(store) == before
    assert plain.head("churn") == first


def test_a_number_that_holds_a_damaged_record_is_taken(ledger: Ledger) -> None:
    first = commit(ledger)
    ledger.store.create(key(2), b"half a rec")
    with pytest.raises(KeyExists):
        ledger.commit(record(previous=first))
    assert ledger.store.get(key(2)) == b"half a rec"


def test_a_refusal_with_nothing_there_is_a_refusal(store: Store) -> None:
    """S3 may refuse a create because of another that then fails."""
    with pytest.raises(KeyExists):
        Ledger(Refusing(store, "environments", KeyExists)).commit(record())


def test_hints_and_copies_may_fail_without_failing_the_commit(store: Store) -> None:
    first = commit(Ledger(store))
    for folder in ("live", "environments/churn/00000002.yml"):
        inner = Ledger(Refusing(store, folder))
        head = inner.head("churn")
        written = inner.commit(record(previous=head, digests=with_blobs(inner)))
        assert Ledger(store).head("churn") == written
    assert first.number == 1


def test_a_commit_does_not_need_the_yaml(ledger: Ledger) -> None:
    """The copy for people cannot be written where the blob is missing; verify tells of that."""
    written = ledger.commit(record(digests=Digests(lock=sha("lost"), yaml=sha("lost"))))
    assert ledger.head("churn") == written


def test_environments_do_not_touch_each_other(ledger: Ledger) -> None:
    churn = history(ledger, 2)
    other = history(ledger, 3, environment="fraud")
    assert ledger.names() == ["churn", "fraud"]
    assert ledger.head("churn") == churn[-1]
    assert ledger.head("fraud") == other[-1]


# Formats


def newer(draft: Record, **other: Any) -> bytes:
    content = {**json.loads(wire.seal(draft)[1]), "format": FORMAT + 1, **other}
    del content["digest"]
    return wire.canonical({**content, "digest": wire.sha256(wire.canonical(content))}) + b"\n"


def test_on_top_of_a_newer_format_nothing_is_written(ledger: Ledger) -> None:
    """A draft has at least the format of the head that it is on."""
    first = commit(ledger)
    ledger.store.create(key(2), newer(record(previous=first), signature="x"))
    head = ledger.head("churn")
    assert (head.number, head.format) == (2, FORMAT + 1)
    before = contents(ledger.store)
    with pytest.raises(FormatTooNew, match="newer envpanel") as caught:
        ledger.commit(record(previous=head, format=head.format))
    assert "Upgrade envpanel" in (caught.value.hint or "")
    assert contents(ledger.store) == before
    assert ledger.get("churn", 1) == first


def test_a_head_of_a_newer_format_that_cannot_be_read_says_so(ledger: Ledger) -> None:
    first = commit(ledger)
    ledger.store.create(key(2), newer(record(previous=first), kind="shared"))
    with pytest.raises(FormatTooNew, match="Revision 2 of churn was written by a newer envpanel"):
        ledger.head("churn")
    assert ledger.get("churn", 1) == first


# The head


@pytest.mark.parametrize(
    "hint",
    [
        b"5",
        None,
        b"1",
        b"3",
        b"6",
        b"99",
        b"99999999",
        b"100000000",
        b"0",
        b"-1",
        b"",
        b"five",
        b"5\n",
        b"\xff\xfe",
        b"5.0",
        b"9" * 5000,
    ],
    ids=lambda hint: repr(hint[:12]) if hint is not None else "lost",
)
def test_the_head_is_found_whatever_the_hint_says(ledger: Ledger, hint: bytes | None) -> None:
    records = history(ledger, 5)
    if hint is None:
        ledger.store.delete(HINT)
    else:
        ledger.store.put(HINT, hint)
    assert ledger.head("churn") == records[-1]


def test_the_head_is_found_where_a_listing_is_late(store: Store) -> None:
    """Never conclude from a listing: it may lack what was just written."""

    class Late(Around):
        def list(self, folder: str) -> Sequence[str]:
            return [name for name in self.inner.list(folder) if name not in ("00000003.json", "00000002.json")]

    records = history(Ledger(store), 3)
    store.delete(HINT)
    assert Ledger(Late(store)).head("churn") == records[-1]


def test_what_is_not_a_record_is_not_one(ledger: Ledger) -> None:
    records = history(ledger, 2)
    for name in ("00000009.yml", "9.json", "000000009.json", "0000000x.json", "00000009.json.bak", "notes.txt"):
        ledger.store.put(f"environments/churn/{name}", b"{}")
    ledger.store.put("environments/readme.txt", b"hello")
    ledger.store.put("environments/Not a name/00000001.json", b"{}")
    ledger.store.delete(HINT)
    assert ledger.head("churn") == records[-1]
    assert ledger.names() == ["churn"]
    assert ledger.verify("churn") == (2, [])


@pytest.mark.parametrize(
    "name", ["absent", "../churn", "churn/", "", "Churn", ".", "churn/../churn", "a\0b", "x" * 300]
)
def test_what_does_not_exist_is_not_found(ledger: Ledger, name: str) -> None:
    commit(ledger)
    with pytest.raises(NotFound):
        ledger.head(name)
    with pytest.raises(NotFound):
        ledger.get(name, 1)


@pytest.mark.parametrize("number", [0, 2, -1, 99_999_999, 10**9])
def test_a_revision_that_does_not_exist_is_not_found(ledger: Ledger, number: int) -> None:
    commit(ledger)
    with pytest.raises(NotFound, match=f"churn has no revision {number}") as caught:
        ledger.get("churn", number)
    assert "envpanel history churn" in (caught.value.hint or "")


def test_the_newest_that_can_be_read_is_found_behind_damaged_ones(ledger: Ledger) -> None:
    records = history(ledger, 4)
    assert ledger.newest_readable("churn") == records[3]
    flip(ledger.store, key(4))
    ledger.store.put(key(3), b"")
    with pytest.raises(RecordDamaged, match="churn@4 is damaged"):
        ledger.head("churn")
    assert ledger.newest_readable("churn") == records[1]
    assert ledger.newest_readable("absent") is None


def test_a_record_of_elsewhere_is_damage(ledger: Ledger) -> None:
    """Right in itself, and not that of this name and number."""
    records = history(ledger, 2)
    history(ledger, 1, environment="fraud")
    ledger.store.put(key(2), ledger.store.get(key(1)))
    with pytest.raises(RecordDamaged, match="churn@2 is damaged: it is that of churn@1"):
        ledger.get("churn", 2)
    ledger.store.put(key(1), ledger.store.get("environments/fraud/00000001.json"))
    with pytest.raises(RecordDamaged, match="it is that of fraud@1"):
        ledger.get("churn", 1)
    assert len(records) == 2


# Blobs


def test_a_blob_is_found_by_its_digest(ledger: Ledger) -> None:
    digest = ledger.put_blob(b"some lock")
    assert digest == wire.sha256(b"some lock")
    assert ledger.get_blob(digest) == b"some lock"
    assert ledger.put_blob(b"some lock") == digest
    with pytest.raises(KeyMissing):
        ledger.get_blob(sha("absent"))


def test_a_blob_with_other_content_is_found_and_mended_by_the_next_who_keeps_it(ledger: Ledger) -> None:
    digest = ledger.put_blob(b"some lock")
    for damaged in (b"some lick", b"", b"some lock\n"):
        ledger.store.put(blob(digest), damaged)
        with pytest.raises(RecordDamaged, match=digest[:12]):
            ledger.get_blob(digest)
        assert ledger.put_blob(b"some lock") == digest
        assert ledger.get_blob(digest) == b"some lock"


def test_a_blob_that_is_whole_is_not_written_again(store: Store) -> None:
    digest = Ledger(store).put_blob(b"some lock")

    class ReadOnly(Refusing):
        def create(self, key: str, data: bytes) -> None:
            self.inner.create(key, data)

    assert Ledger(ReadOnly(store)).put_blob(b"some lock") == digest


def test_a_blob_is_kept_where_a_create_is_refused_and_nothing_is_there(store: Store) -> None:
    """S3 may refuse a create because of another that then fails."""

    class RefusingCreates(Around):
        def create(self, key: str, data: bytes) -> None:
            raise KeyExists("somebody was just creating it")

    digest = Ledger(RefusingCreates(store)).put_blob(b"some lock")
    assert Ledger(store).get_blob(digest) == b"some lock"


def test_the_yaml_beside_the_record_is_mended(ledger: Ledger) -> None:
    written = commit(ledger)
    text = ledger.get_blob(written.digests.yaml)
    assert ledger.store.get(key(1, "yml")) == text
    for damage in (lambda: ledger.store.delete(key(1, "yml")), lambda: ledger.store.put(key(1, "yml"), b"edited")):
        damage()
        ledger.mend_yaml(written)
        assert ledger.store.get(key(1, "yml")) == text


def test_a_yaml_that_is_right_is_not_written_again(store: Store) -> None:
    written = commit(Ledger(store))
    Ledger(Refusing(store)).mend_yaml(written)


# Verify


def flip(store: Store, path: str, position: int = 40) -> None:
    data = bytearray(store.get(path))
    data[position % len(data)] ^= 1
    store.put(path, bytes(data))


def found(ledger: Ledger, number: int | None = None) -> list[tuple[int | None, str]]:
    _, problems = ledger.verify("churn", number)
    assert all(problem.environment == "churn" and problem.message.endswith(".") for problem in problems)
    return [(problem.revision, problem.what) for problem in problems]


@pytest.fixture
def five(ledger: Ledger) -> list[Record]:
    return history(ledger, 5)


def test_a_whole_history_has_no_problem(ledger: Ledger, five: list[Record]) -> None:
    assert ledger.verify("churn") == (5, [])
    for number in range(1, 6):
        assert ledger.verify("churn", number) == (1, [])


def test_what_can_be_made_again_is_no_problem(ledger: Ledger, five: list[Record]) -> None:
    for number in (1, 3, 5):
        ledger.store.delete(key(number, "yml"))
    ledger.store.put(key(2, "yml"), b"edited")
    ledger.store.delete(HINT)
    ledger.store.put("blobs/sha256/unused", b"")
    assert found(ledger) == []


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_flipped_bit_in_a_record_is_found(ledger: Ledger, five: list[Record], number: int) -> None:
    flip(ledger.store, key(number), 300)
    assert found(ledger) == [(number, "record")]
    assert found(ledger, number) == [(number, "record")]
    assert found(ledger, 2) == []


@pytest.mark.parametrize("content", [b"", b"{}\n", b"half", b"\0" * 2000], ids=["empty", "other", "half", "zeros"])
def test_a_record_with_other_content_is_found(ledger: Ledger, five: list[Record], content: bytes) -> None:
    ledger.store.put(key(3), content)
    assert found(ledger) == [(3, "record")]


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_record_that_is_missing_in_the_middle_is_found(ledger: Ledger, five: list[Record], number: int) -> None:
    ledger.store.delete(key(number))
    assert found(ledger) == [(number, "number")]
    assert found(ledger, number) == [(number, "number")]
    assert ledger.verify("churn")[0] == 5


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_record_that_was_replaced_by_a_right_one_breaks_the_chain(
    ledger: Ledger, five: list[Record], number: int
) -> None:
    """Its digest is right, and that of another record than the next one names."""
    forged, data = wire.seal(replace(five[number - 1], message="forged", digest=""))
    ledger.store.put(key(number), data)
    assert ledger.get("churn", number) == forged
    assert found(ledger) == [(number + 1, "chain")]
    assert found(ledger, number + 1) == [(number + 1, "chain")]


def test_a_record_that_names_another_one_before_it_breaks_the_chain(ledger: Ledger, five: list[Record]) -> None:
    for number, other in ((5, {"previous": sha("x")}), (1, {"previous": sha("x")}), (3, {"parent": 1})):
        whole = ledger.store.get(key(number))
        ledger.store.put(key(number), wire.seal(replace(five[number - 1], digest="", **other))[1])
        assert (number, "chain") in found(ledger)
        assert (number, "chain") in found(ledger, number)
        ledger.store.put(key(number), whole)
    assert found(ledger) == []


def test_records_that_were_exchanged_are_found(ledger: Ledger, five: list[Record]) -> None:
    second, third = ledger.store.get(key(2)), ledger.store.get(key(3))
    ledger.store.put(key(2), third)
    ledger.store.put(key(3), second)
    assert found(ledger) == [(2, "record"), (3, "record")]


@pytest.mark.parametrize("role", ["lock", "yaml", "log"])
def test_a_blob_that_is_missing_or_damaged_is_found(ledger: Ledger, five: list[Record], role: str) -> None:
    path = blob(getattr(five[2].digests, role))
    whole = ledger.store.get(path)
    flip(ledger.store, path)
    assert found(ledger) == found(ledger, 3) == [(3, "blob")]
    ledger.store.delete(path)
    assert found(ledger) == found(ledger, 3) == [(3, "blob")]
    _, problems = ledger.verify("churn")
    assert problems[0].message == f"The {role} of churn@3 is missing."
    ledger.store.put(path, whole)
    assert found(ledger) == []


def test_all_problems_are_found_at_once(ledger: Ledger, five: list[Record]) -> None:
    flip(ledger.store, key(1))
    ledger.store.delete(key(3))
    ledger.store.delete(blob(five[4].digests.lock))
    assert found(ledger) == [(1, "record"), (3, "number"), (5, "blob")]


@pytest.mark.parametrize("number", [6, 100, 0, -1])
def test_what_does_not_exist_cannot_be_verified(ledger: Ledger, five: list[Record], number: int) -> None:
    with pytest.raises(NotFound):
        ledger.verify("churn", number)


def test_every_flipped_byte_of_every_record_is_found(ledger: Ledger) -> None:
    """As long as it is in a record or a blob, and however it was flipped."""
    records = history(ledger, 2)
    assert len(records) == 2
    for path in (key(1), key(2), *(blob(digest) for digest in wire.plain(records[1].digests).values() if digest)):
        whole = ledger.store.get(path)
        for position in range(0, len(whole), 97):
            flip(ledger.store, path, position)
            assert found(ledger) != [], (path, position)
            ledger.store.put(path, whole)
    assert found(ledger) == []


# No lost change

WRITERS = 8
CHANGES = 5


def installed_by_all(store: Store) -> tuple[set[str], Record]:
    """Eight at once, each on top of the head that it read; they all read before the first of them writes.

    The packages whose change was acknowledged, and the head in the end.
    """
    commit(Ledger(store), packages=())
    barrier = threading.Barrier(WRITERS)

    def writer(own: int) -> set[str]:
        ledger = Ledger(store)
        acknowledged = set()
        for change in range(CHANGES):
            wanted = package(f"package-{own}-{change}")
            head = ledger.head("churn")
            barrier.wait(60)
            while True:
                packages = tuple(sorted((*head.packages, wanted), key=lambda entry: entry.name))
                try:
                    ledger.commit(record(previous=head, packages=packages, digests=head.digests))
                except KeyExists:
                    head = ledger.head("churn")
                    continue
                acknowledged.add(wanted.name)
                break
        return acknowledged

    with ThreadPoolExecutor(WRITERS) as pool:
        acknowledged = set().union(*pool.map(writer, range(WRITERS)))
    assert len(acknowledged) == WRITERS * CHANGES
    return acknowledged, Ledger(store).head("churn")


def test_eight_that_commit_at_once_lose_nothing(store: Store) -> None:
    acknowledged, head = installed_by_all(store)
    assert {entry.name for entry in head.packages} == acknowledged
    assert head.number == 1 + WRITERS * CHANGES
    checked, problems = Ledger(store).verify("churn")
    assert (checked, problems) == (head.number, [])
    ids = [entry.id for entry in Ledger(store).newest_first("churn")]
    assert len(set(ids)) == head.number


def test_without_a_create_that_only_one_can_win_changes_are_lost(store: Store) -> None:
    """The control: the same loop, told eight times that all went well."""
    acknowledged, head = installed_by_all(Overwriting(store))
    assert {entry.name for entry in head.packages} < acknowledged
    assert head.number < 1 + WRITERS * CHANGES


def test_eight_whose_answers_are_lost_lose_nothing_and_write_nothing_twice(store: Store) -> None:
    class Flaky(Around):
        """Every second answer is lost."""

        def __init__(self, inner: Store) -> None:
            super().__init__(inner)
            self.calls: Iterator[int] = iter(range(10**9))

        def create(self, key: str, data: bytes) -> None:
            self.inner.create(key, data)
            if key.startswith("environments") and next(self.calls) % 2:
                raise StoreError("the answer was lost")

    acknowledged, head = installed_by_all(Flaky(store))
    assert {entry.name for entry in head.packages} == acknowledged
    assert head.number == 1 + WRITERS * CHANGES


def test_a_hole_in_the_middle_is_not_filled(ledger: Ledger, five: list[Record]) -> None:
    """A hint below it makes the record before it look like the head: what would follow must not hide the loss."""
    ledger.store.delete(key(4))
    ledger.store.put(HINT, b"3")
    third = ledger.head("churn")
    assert third.number == 3
    with pytest.raises(RecordDamaged, match="churn@4 is missing"):
        commit(ledger, third)
    assert [entry for entry in ledger.store.list("environments/churn") if entry.startswith("00000004.j")] == []
