"""The verbs: no change is lost whoever else is working, and a change is whole or not there."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import obstore.store
import pytest
from fake_engine import FakeEngine, locked
from writers import Work, all_at_once, environments, signature

from envpanel.bases.bundle import Bundle
from envpanel.errors import (
    BaseImmutable,
    EngineFailed,
    FormatTooNew,
    HeadMoved,
    NameTaken,
    NotFound,
    OtherPlatform,
    StoreError,
)
from envpanel.history.store import FolderStore, ObjectStore, Store
from envpanel.model import wire
from envpanel.model.change import Archive, Describe, Install, Uninstall, Upgrade
from envpanel.model.nouns import Group, Kind, Progress, Record
from envpanel.service import Environments

CATALOGUE = {
    "alpha": {"1.0": [], "1.1": [], "2.0": ["beta>=2"]},
    "beta": {"1.0": [], "2.0": []},
    "gamma": {"1.0": ["beta<2"]},
    "delta": {"1.0": []},
    "ipykernel": {"7.0": []},
    "ipywidgets": {"8.0": []},
}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(CATALOGUE)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """One base, of alpha 1.0 and beta 1.0."""
    folder = tmp_path / "bases"
    folder.mkdir()
    text = (
        "title: Tables\ndescription: For tables.\ngroup: feature-engineering\nuses: [notebook]\nrequirements: [alpha]\n"
    )
    (folder / "tables.yaml").write_text(text)
    packages = [
        {"name": item.name, "version": item.version, "files": [[item.file, item.sha256]]}
        for item in (locked("alpha", "1.0"), locked("beta", "1.0"))
    ]
    pins = {"bundle": "2026-01-01", "python": ["3.11", "3.12", "3.13"], "packages": packages}
    (folder / "tables.pins.json").write_text(json.dumps(pins))
    return Bundle(folder)


@pytest.fixture(params=["folder", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return FolderStore(tmp_path / "home") if request.param == "folder" else ObjectStore(obstore.store.MemoryStore())


@pytest.fixture
def service(store: Store, tmp_path: Path, engine: FakeEngine, bundle: Bundle) -> Environments:
    return environments(store, tmp_path / "cache", engine, bundle)


async def _made(service: Environments, name: str = "churn", *specs: str) -> Record:
    change = service.creating(specs or ("alpha<2",), group=Group.FEATURE_ENGINEERING, kernel=False)
    return (await service.change(name, change, by=signature())).record


def _versions(record: Record) -> dict[str, str]:
    return {package.name: package.version for package in record.packages}


# Bases


async def _clone_of_base(service: Environments, name: str = "mine") -> Record:
    return (await service.change(name, service.cloning("tables"), by=signature())).record


def test_a_base_is_listed_before_anybody_used_it_and_written_at_its_first_use(service: Environments) -> None:
    async def story() -> None:
        (listed,) = await service.overview()
        assert (listed.name, listed.head, listed.kind, listed.state) == ("tables", 1, Kind.BASE, "not-built")
        assert service.ledger.names() == []
        shown = service.show("tables")
        await _clone_of_base(service)
        written = service.ledger.get("tables", 1)
        assert written.author.username == "envpanel"
        assert (written.operation, written.arguments) == ("bundle", {"bundle": "2026-01-01"})
        same = ("packages", "content_id", "digests", "diff", "python", "platform", "requirements")
        assert [getattr(shown, key) for key in same] == [getattr(written, key) for key in same]
        assert service.lock(written) == service.lock(shown)
        assert (await service.verify()).problems == ()

    asyncio.run(story())


def test_a_clone_of_a_base_names_it_and_its_revision(service: Environments) -> None:
    record = asyncio.run(_clone_of_base(service))
    assert str(record.base) == str(record.cloned_from) == "tables@1"
    assert record.kind is Kind.CUSTOM
    assert record.content_id == service.show("tables").content_id


def test_a_base_is_built_when_first_used_and_not_before(service: Environments, engine: FakeEngine) -> None:
    async def story() -> None:
        await _clone_of_base(service)
        assert [call.verb for call in engine.calls] == []
        await service.build("mine")
        assert [call.verb for call in engine.calls] == ["build"]
        states = {item.name: item.state for item in await service.overview()}
        assert states == {"tables": "ready", "mine": "ready"}

    asyncio.run(story())


def test_no_change_to_a_base_is_taken(service: Environments) -> None:
    for change in (Install.of("delta"), Uninstall.of("alpha"), Upgrade.of(), Describe(description="x"), Archive()):
        with pytest.raises(BaseImmutable, match="clone it first"):
            asyncio.run(service.change("tables", change, by=signature()))
    assert service.ledger.names() == []


def test_two_who_use_a_base_first_write_it_once(tmp_path: Path, bundle: Bundle) -> None:
    async def story() -> None:
        both = [
            environments(FolderStore(tmp_path / "home"), tmp_path / "c", FakeEngine(CATALOGUE), bundle) for _ in "ab"
        ]
        await asyncio.gather(*(_clone_of_base(service, f"mine-{n}") for n, service in enumerate(both)))
        assert both[0].ledger.head("tables").number == 1

    asyncio.run(story())


def test_a_base_whose_first_write_was_killed_is_still_there(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "home" / "environments" / "tables").mkdir(parents=True)
    service = environments(FolderStore(tmp_path / "home"), tmp_path / "cache", FakeEngine(CATALOGUE), bundle)
    assert service.show("tables").number == 1
    assert str(asyncio.run(_clone_of_base(service)).base) == "tables@1"
    assert asyncio.run(service.verify()).checked == 2


# Colleagues


def test_an_install_that_waited_is_applied_to_what_came_before_it(service: Environments, engine: FakeEngine) -> None:
    async def story() -> None:
        await _made(service)
        engine.delay = 0.1
        changes = [Install.of("delta"), Install.of("beta"), Describe(description="both")]
        await asyncio.gather(*(service.change("churn", change, by=signature()) for change in changes))
        head = service.show("churn")
        assert head.number == 4
        assert {"delta", "beta"} <= _versions(head).keys()
        assert head.description == "both"
        assert [record.parent for record in service.ledger.newest_first("churn")] == [3, 2, 1, None]

    asyncio.run(story())


def test_who_waits_is_told_for_whom(service: Environments, engine: FakeEngine) -> None:
    async def story() -> None:
        await _made(service)
        engine.delay = 0.2
        seen: list[Progress] = []
        first = asyncio.create_task(service.change("churn", Install.of("delta"), by=signature("ana")))
        await asyncio.sleep(0.1)
        await service.change("churn", Install.of("beta"), by=signature("ben"), report=seen.append)
        await first
        assert [str(item) for item in seen if item.phase == "waiting"] == ["waiting: for Ana: install in churn"]

    asyncio.run(story())


@pytest.mark.parametrize("late", ["restore", "upgrade"])
def test_what_would_undo_a_colleagues_change_ends_with_the_diff(
    service: Environments, engine: FakeEngine, late: str
) -> None:
    async def story() -> None:
        await _made(service)
        await service.change("churn", Install.of("beta==1.0"), by=signature())
        engine.delay = 0.2
        first = asyncio.create_task(service.change("churn", Install.of("delta"), by=signature("ana")))
        await asyncio.sleep(0.1)
        change = service.restoring("churn", 1) if late == "restore" else Upgrade.of()
        with pytest.raises(HeadMoved, match=r"Ana changed churn in the meantime \(r2 → r3") as caught:
            await service.change("churn", change, by=signature("ben"))
        await first
        diff = caught.value.details["diff"]
        assert isinstance(diff, dict)
        assert [entry["name"] for entry in diff["installed"]] == ["delta"]
        assert service.show("churn").number == 3

    asyncio.run(story())


def test_two_who_want_one_name_get_it_once(tmp_path: Path, bundle: Bundle) -> None:
    async def story() -> None:
        # Caches of their own: no lock is common, as on two machines.
        both = [
            environments(
                FolderStore(tmp_path / "home"), tmp_path / f"cache-{n}", FakeEngine(CATALOGUE, delay=0.1), bundle
            )
            for n in range(2)
        ]
        outcomes = await asyncio.gather(*map(_made, both), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NameTaken", "Record"]
        assert both[0].show("churn").number == 1
        with pytest.raises(NameTaken, match="already"):
            await _made(both[0])

    asyncio.run(story())


@pytest.mark.parametrize("shared_cache", [True, False], ids=["with the lock", "with the create-only put alone"])
def test_eight_members_at_once_lose_nothing(tmp_path: Path, bundle: Bundle, shared_cache: bool) -> None:
    service, builds = _eight_members(tmp_path, shared_cache=shared_cache, overwriting=False)
    head = service.show("shared")
    assert head.number == 1 + 16
    assert {f"lib-{number}" for number in range(16)} <= _versions(head).keys()
    assert asyncio.run(service.verify()).problems == ()
    if shared_cache:
        assert builds <= 1.2 * 16


def test_without_the_create_only_put_eight_members_lose_changes(tmp_path: Path) -> None:
    """The control: were nothing lost here either, the test above would prove nothing."""
    service, _ = _eight_members(tmp_path, shared_cache=False, overwriting=True)
    head = service.show("shared")
    installed = {f"lib-{number}" for number in range(16)} & _versions(head).keys()
    assert head.number < 1 + 16 or len(installed) < 16


def _eight_members(tmp_path: Path, *, shared_cache: bool, overwriting: bool) -> tuple[Environments, int]:
    home = tmp_path / "home"
    service = environments(FolderStore(home), tmp_path / "cache", FakeEngine(CATALOGUE), Bundle(tmp_path / "no-bases"))
    asyncio.run(_made(service, "shared", "alpha<2"))
    works = [
        Work(
            member=member,
            home=home,
            packages=(f"lib-{2 * member}", f"lib-{2 * member + 1}"),
            shared_cache=shared_cache,
            overwriting=overwriting,
        )
        for member in range(8)
    ]
    return service, all_at_once(works)


# All or nothing


def test_a_build_that_fails_leaves_no_record_no_directory_and_a_log(
    service: Environments, engine: FakeEngine, tmp_path: Path
) -> None:
    async def story() -> None:
        before = await _made(service)
        built = sorted((tmp_path / "cache" / "prefixes").glob("*/*"))
        engine.fail_build = "The lift is out of order."
        with pytest.raises(EngineFailed, match="out of order") as caught:
            await service.change("churn", Install.of("delta"), by=signature())
        assert service.show("churn") == before
        assert sorted((tmp_path / "cache" / "prefixes").glob("*/*")) == built
        assert caught.value.log is not None
        assert "out of order" in Path(caught.value.log).read_text()

    asyncio.run(story())


def test_a_cancelled_change_leaves_nothing(service: Environments, engine: FakeEngine, tmp_path: Path) -> None:
    async def story() -> None:
        before = await _made(service)
        built = sorted((tmp_path / "cache" / "prefixes").glob("*/*"))
        engine.delay = 0.2
        task = asyncio.create_task(service.change("churn", Install.of("delta"), by=signature()))
        await asyncio.sleep(0.3)  # past the resolution, in the build
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert service.show("churn") == before
        assert sorted((tmp_path / "cache" / "prefixes").glob("*/*")) == built
        engine.delay = 0
        assert (await service.change("churn", Install.of("delta"), by=signature())).record.number == 2

    asyncio.run(story())


class _SlowCommit(FolderStore):
    """A store that takes its time to create a record."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def create(self, key: str, data: bytes) -> None:
        if key.endswith("00000002.json"):
            self.begun.set()
            assert self.go_on.wait(10)
        super().create(key, data)


def test_a_cancellation_that_comes_during_the_commit_comes_too_late(
    tmp_path: Path, engine: FakeEngine, bundle: Bundle
) -> None:
    async def story() -> None:
        store = _SlowCommit(tmp_path / "home")
        service = environments(store, tmp_path / "cache", engine, bundle)
        await _made(service)
        task = asyncio.create_task(service.change("churn", Describe(description="x"), by=signature()))
        await asyncio.to_thread(store.begun.wait, 10)
        task.cancel()
        await asyncio.sleep(0.05)
        store.go_on.set()
        assert (await task).record.number == 2
        assert service.show("churn").number == 2

    asyncio.run(story())


class _FullDisk(FolderStore):
    """A folder on a disk that is full: nothing can be written whose key begins so."""

    full: str | None = None

    def create(self, key: str, data: bytes) -> None:
        if self.full is not None and key.startswith(self.full):
            raise StoreError("The disk is full.")
        super().create(key, data)


@pytest.mark.parametrize("full", ["blobs/", "environments/"])
def test_a_full_disk_changes_nothing(tmp_path: Path, engine: FakeEngine, bundle: Bundle, full: str) -> None:
    async def story() -> None:
        store = _FullDisk(tmp_path / "home")
        service = environments(store, tmp_path / "cache", engine, bundle)
        before = await _made(service)
        store.full = full
        with pytest.raises(StoreError, match="full"):
            await service.change("churn", Install.of("delta"), by=signature())
        assert service.show("churn") == before
        store.full = None
        assert (await service.change("churn", Install.of("delta"), by=signature())).record.number == 2

    asyncio.run(story())


# Restore


def test_restore_of_another_platforms_revision_is_a_sentence(
    tmp_path: Path, engine: FakeEngine, bundle: Bundle
) -> None:
    async def story() -> None:
        service = environments(FolderStore(tmp_path / "home"), tmp_path / "cache", engine, bundle)
        record = await _made(service)
        text = service.file(record, "lock").replace(record.platform, "plan9-mips")
        digest = service.ledger.put_blob(text.encode())
        foreign = {**wire.plain(record), "platform": "plan9-mips", "environment": "far", "id": "0" * 32}
        foreign["digests"]["lock"] = digest
        service.ledger.commit(wire.read(foreign, Record))
        with pytest.raises(OtherPlatform, match="plan9-mips"):
            service.restoring("far", 1)
        with pytest.raises(OtherPlatform, match="plan9-mips"):
            await service.build("far")
        assert {item.name: item.state for item in await service.overview()}["far"] == "not-built"

    asyncio.run(story())


def test_restore_is_built_before_it_is_committed(service: Environments, engine: FakeEngine, tmp_path: Path) -> None:
    from envpanel.prefixes.prefix import remove_tree

    async def story() -> None:
        await _made(service)
        await service.change("churn", Install.of("delta"), by=signature())
        remove_tree(tmp_path / "cache" / "prefixes")
        engine.fail_build = "no network"
        with pytest.raises(EngineFailed):
            await service.change("churn", service.restoring("churn", 1), by=signature())
        assert service.show("churn").number == 2
        engine.fail_build = None
        outcome = await service.change("churn", service.restoring("churn", 1), by=signature())
        assert outcome.record.content_id == service.show("churn", 1).content_id

    asyncio.run(story())


def test_a_restore_keeps_the_description_and_blames_the_restore_for_what_it_brought(service: Environments) -> None:
    async def story() -> None:
        await _made(service)
        await service.change("churn", Install.of("alpha>=2", "delta"), by=signature())
        await service.change("churn", Describe(description="ours"), by=signature())
        record = (await service.change("churn", service.restoring("churn", 1), by=signature())).record
        assert record.description == "ours"
        assert {package.name: package.since for package in record.packages} == {"alpha": 4}
        again = (await service.change("churn", Install.of("delta"), by=signature())).record
        assert {package.name: package.since for package in again.packages} == {"alpha": 4, "delta": 5}

    asyncio.run(story())


# Damage and the future


def test_one_damaged_environment_does_not_hide_the_others(tmp_path: Path, engine: FakeEngine, bundle: Bundle) -> None:
    async def story() -> None:
        service = environments(FolderStore(tmp_path / "home"), tmp_path / "cache", engine, bundle)
        await _made(service)
        await service.change("churn", Describe(description="x"), by=signature())
        await _made(service, "fine")
        record = tmp_path / "home" / "environments" / "churn" / "00000002.json"
        record.write_bytes(record.read_bytes()[:-20])
        listed = {item.name: (item.head, item.state) for item in await service.overview()}
        assert listed == {"tables": (1, "not-built"), "churn": (1, "damaged"), "fine": (1, "ready")}
        assert [problem.what for problem in (await service.verify()).problems] == ["record"]

    asyncio.run(story())


def test_a_newer_format_is_read_and_not_written(tmp_path: Path, engine: FakeEngine, bundle: Bundle) -> None:
    async def story() -> None:
        service = environments(FolderStore(tmp_path / "home"), tmp_path / "cache", engine, bundle)
        record = await _made(service)
        _, data = wire.seal(wire.read({**wire.plain(record), "number": 2, "parent": 1, "format": 99}, Record))
        content = json.loads(data)
        del content["digest"]
        content["holograms"] = True
        content["previous"] = record.digest
        content["digest"] = wire.sha256(wire.canonical(content))
        path = tmp_path / "home" / "environments" / "churn" / "00000002.json"
        path.write_bytes(wire.canonical(content) + b"\n")
        assert service.show("churn").number == 2
        with pytest.raises(FormatTooNew, match="newer envpanel"):
            await service.change("churn", Describe(description="x"), by=signature())
        assert not path.with_name("00000003.json").exists()

    asyncio.run(story())


def test_what_is_not_there_is_said(service: Environments) -> None:
    calls: Iterator[Callable[[], object]] = iter(
        (
            lambda: service.show("nobody"),
            lambda: service.history("nobody"),
            lambda: asyncio.run(service.verify("nobody")),
            lambda: service.restoring("nobody", 1),
            lambda: asyncio.run(service.build("nobody")),
            lambda: service.cloning("nobody"),
            lambda: asyncio.run(service.change("nobody", Install.of("alpha"), by=signature())),
        )
    )
    for call in calls:
        with pytest.raises(NotFound, match="nobody"):
            call()


# A newer bundle


def _bundle_of(folder: Path, date: str, version: str, requirement: str = "alpha") -> Bundle:
    folder.mkdir()
    text = "title: Tables\ndescription: For tables.\ngroup: feature-engineering\nuses: [notebook]\n"
    (folder / "tables.yaml").write_text(f"{text}requirements: [{requirement}]\n")
    package = locked("alpha", version)
    packages = [{"name": "alpha", "version": version, "files": [[package.file, package.sha256]]}]
    pins = {"bundle": date, "python": ["3.11", "3.12", "3.13"], "packages": packages}
    (folder / "tables.pins.json").write_text(json.dumps(pins))
    return Bundle(folder)


def test_a_newer_bundle_appends_to_the_bases_at_its_first_write_and_an_older_one_never(
    store: Store, tmp_path: Path
) -> None:
    async def story() -> None:
        bundles = [_bundle_of(tmp_path / "old", "2026-01-01", "1.0"), _bundle_of(tmp_path / "new", "2026-06-01", "1.1")]
        old, new = (environments(store, tmp_path / "cache", FakeEngine(CATALOGUE), bundle) for bundle in bundles)
        mine = await _clone_of_base(old)
        # Reading brings nothing up.
        await new.overview()
        assert new.show("tables").number == 1
        await new.change("mine", Describe(description="any write at all"), by=signature())
        second = new.show("tables")
        assert (second.number, second.arguments, second.author.username) == (2, {"bundle": "2026-06-01"}, "envpanel")
        assert [(entry.old, entry.new) for entry in second.diff.upgraded] == [("1.0", "1.1")]
        assert new.show("mine").content_id == mine.content_id
        # The other way round: the older one reads the newer revision, clones it, and leaves it alone.
        another = environments(store, tmp_path / "cache", FakeEngine(CATALOGUE), bundles[0])
        assert str((await _clone_of_base(another, "late")).base) == "tables@2"
        assert another.show("tables").number == 2
        again = environments(store, tmp_path / "cache", FakeEngine(CATALOGUE), bundles[1])
        await again.change("mine", Describe(description="once more"), by=signature())
        assert again.show("tables").number == 2
        assert (await again.verify()).problems == ()

    asyncio.run(story())


def test_two_newer_envpanels_at_once_append_one_revision(tmp_path: Path) -> None:
    async def story() -> None:
        store = FolderStore(tmp_path / "home")
        old = _bundle_of(tmp_path / "old", "2026-01-01", "1.0")
        await _clone_of_base(environments(store, tmp_path / "cache", FakeEngine(CATALOGUE), old))
        new = _bundle_of(tmp_path / "new", "2026-06-01", "1.1")
        both = [environments(store, tmp_path / f"cache-{n}", FakeEngine(CATALOGUE), new) for n in range(2)]
        await asyncio.gather(*(_clone_of_base(service, f"new-{n}") for n, service in enumerate(both)))
        assert both[0].show("tables").number == 2

    asyncio.run(story())


def test_a_base_of_a_newer_bundle_keeps_its_python(tmp_path: Path) -> None:
    async def story() -> None:
        store = FolderStore(tmp_path / "home")
        old = _bundle_of(tmp_path / "old", "2026-01-01", "1.0")
        first = environments(store, tmp_path / "cache", FakeEngine(CATALOGUE), old)
        await _clone_of_base(first)
        record = first.show("tables")
        other = {**wire.plain(record), "python": "3.12" if record.python != "3.12" else "3.11", "environment": "kept"}
        # As if another Python had made the first revision.
        (tmp_path / "new").mkdir()
        for path in (tmp_path / "old").iterdir():
            text = path.read_text().replace("2026-01-01", "2026-06-01")
            (tmp_path / "new" / path.name.replace("tables", "kept")).write_text(text)
        first.ledger.commit(wire.read(other, Record))
        second = environments(store, tmp_path / "cache", FakeEngine(CATALOGUE), Bundle(tmp_path / "new"))
        await second.change("mine", Describe(description="x"), by=signature())
        assert (second.show("kept").number, second.show("kept").python) == (2, other["python"])

    asyncio.run(story())
