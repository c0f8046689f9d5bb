"""The rules of a store, which a folder and a bucket both keep; and what only a folder has to withstand."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore, S3Store

import envpanel
from envpanel.errors import InvalidInput, KeyExists, KeyMissing, StoreError
from envpanel.history.store import FolderStore, ObjectStore, Store, open_store

KEY = "environments/churn/00000001.json"
HOUR = 3600

# The contract


@contextlib.contextmanager
def folder_store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        yield FolderStore(Path(folder) / "home")


@contextlib.contextmanager
def bucket_store() -> Iterator[Store]:
    yield ObjectStore(MemoryStore())


KINDS = [pytest.param(folder_store, id="folder"), pytest.param(bucket_store, id="bucket")]
each_kind = pytest.mark.parametrize("kind", KINDS)
Kind = Callable[[], contextlib.AbstractContextManager[Store]]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with request.param() as made:
        yield made


def test_what_was_created_is_read(store: Store) -> None:
    store.create(KEY, b"one")
    assert store.get(KEY) == b"one"


def test_a_second_create_is_refused_and_changes_nothing(store: Store) -> None:
    store.create(KEY, b"one")
    with pytest.raises(KeyExists, match=KEY):
        store.create(KEY, b"two")
    assert store.get(KEY) == b"one"
    assert store.list("environments/churn") == ["00000001.json"]


def test_create_is_refused_where_something_was_put(store: Store) -> None:
    store.put(KEY, b"one")
    with pytest.raises(KeyExists):
        store.create(KEY, b"two")


def test_put_makes_and_replaces(store: Store) -> None:
    store.put("settings.yaml", b"a long first version")
    store.put("settings.yaml", b"short")
    assert store.get("settings.yaml") == b"short"


def test_nothing_is_read_where_nothing_is(store: Store) -> None:
    with pytest.raises(KeyMissing, match=KEY):
        store.get(KEY)
    store.create(KEY, b"one")
    with pytest.raises(KeyMissing):
        store.get("environments/churn/00000002.json")


def test_a_folder_is_not_a_key(store: Store) -> None:
    store.create(KEY, b"one")
    with pytest.raises(KeyMissing):
        store.get("environments/churn")
    store.delete("environments/churn")
    assert store.get(KEY) == b"one"


def test_nothing_is_below_a_key(store: Store) -> None:
    store.create(KEY, b"one")
    with pytest.raises(KeyMissing):
        store.get(f"{KEY}/below")
    assert store.list(KEY) == []
    store.delete(f"{KEY}/below")
    assert store.get(KEY) == b"one"


def test_versions_tell_by_one_listing_what_was_written_again(store: Store) -> None:
    assert dict(store.versions("live/heads")) == {}
    for name in ("a", "b"):
        store.put(f"live/heads/{name}", b"1")
    store.put("live/heads/inner/c", b"1")
    before = store.versions("live/heads")
    assert sorted(before) == ["a", "b"]
    assert store.versions("live/heads") == before
    # The same size, and perhaps within the resolution of a clock.
    store.put("live/heads/b", b"2")
    after = store.versions("live/heads")
    assert [name for name in after if after[name] != before[name]] == ["b"]


def test_list_gives_sorted_direct_children_and_marks_folders(store: Store) -> None:
    for key in ("b", "a/2", "a/10", "a/b/c/d", "a.txt", "ab/x"):
        store.create(key, b"")
    assert store.list("") == ["a.txt", "a/", "ab/", "b"]
    assert store.list("a") == store.list("a/") == ["10", "2", "b/"]
    assert store.list("a/b/c") == ["d"]


def test_an_absent_folder_has_nothing_in_it(store: Store) -> None:
    assert store.list("") == []
    assert store.list("environments/churn") == []


def test_delete_can_be_repeated(store: Store) -> None:
    store.delete(KEY)
    store.create(KEY, b"one")
    store.delete(KEY)
    store.delete(KEY)
    with pytest.raises(KeyMissing):
        store.get(KEY)
    store.create(KEY, b"again")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "a/../b",
        "a/..",
        ".",
        "a/./b",
        "a//b",
        "a/",
        "a\\b",
        "a\0b",
        "a\nb",
        "\ud800",
        ".tmp-1-2",
        "a/.tmp-1/b",
        ".nfs0000a1",
    ],
)
def test_what_cannot_be_a_key_is_refused_by_every_verb(store: Store, key: str) -> None:
    verbs: list[Callable[[str], object]] = [store.get, store.delete]
    verbs += [lambda key: store.create(key, b""), lambda key: store.put(key, b"")]
    for verb in verbs:
        with pytest.raises(ValueError, match="key"):
            verb(key)
    if key not in ("", "a/"):
        with pytest.raises(ValueError, match="key"):
            store.list(key)
    assert store.list("") == []


def test_of_many_threads_that_create_one_key_exactly_one_wins(store: Store) -> None:
    barrier = threading.Barrier(16)

    def attempt(number: int) -> int | None:
        barrier.wait()
        try:
            store.create(KEY, b"%d" % number)
        except KeyExists:
            return None
        return number

    with ThreadPoolExecutor(16) as pool:
        winners = [number for number in pool.map(attempt, range(16)) if number is not None]
    assert store.get(KEY) == b"%d" % winners[0]
    assert len(winners) == 1
    assert store.list("environments/churn") == ["00000001.json"]


def test_a_reader_sees_the_old_or_the_new_of_a_put(store: Store) -> None:
    versions = [bytes([number]) * 300_000 for number in range(20)]
    store.put(KEY, versions[0])
    done = threading.Event()

    def read() -> set[bytes]:
        seen = set()
        while not done.is_set():
            seen.add(store.get(KEY))
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for version in versions:
            store.put(KEY, version)
        done.set()
        for reader in readers:
            assert reader.result() <= set(versions)


NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_ .%+=,@#?~-]{0,30}", fullmatch=True)
KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@each_kind
@settings(max_examples=60, deadline=None)
@given(key=KEYS, data=st.binary(max_size=5000))
def test_any_bytes_come_back_from_any_key(kind: Kind, key: str, data: bytes) -> None:
    folder, _, name = key.rpartition("/")
    with kind() as store:
        store.create(key, data)
        assert store.get(key) == data
        assert store.list(folder) == [name]
        store.put(key, data[::-1])
        assert store.get(key) == data[::-1]


# Files and folders have other names, because a key is never a folder as well.
FEW_KEYS = st.tuples(st.lists(st.sampled_from(["a", "b"]), max_size=2), st.sampled_from(["x.json", "y"])).map(
    lambda found: "/".join([*found[0], found[1]])
)
STEPS = st.lists(st.tuples(st.sampled_from(["create", "put", "delete"]), FEW_KEYS, st.binary(max_size=8)), max_size=12)


@each_kind
@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_a_store_is_a_dictionary_that_creates_only_once(kind: Kind, steps: list[tuple[str, str, bytes]]) -> None:
    model: dict[str, bytes] = {}
    with kind() as store:
        for verb, key, data in steps:
            if verb == "delete":
                store.delete(key)
                model.pop(key, None)
            elif verb == "create" and key in model:
                with pytest.raises(KeyExists):
                    store.create(key, data)
            else:
                (store.put if verb == "put" else store.create)(key, data)
                model[key] = data
        for folder in ("", "a", "b", "a/a", "a/b", "b/a", "b/b"):
            start = f"{folder}/" if folder else ""
            names = [name for name in store.list(folder) if not name.endswith("/")]
            assert names == sorted(
                key.removeprefix(start) for key in model if key.startswith(start) and "/" not in key.removeprefix(start)
            )
        assert {key: store.get(key) for key in model} == model


# A folder


def script(code: str, *arguments: object) -> list[str]:
    """The command that runs this code in a process of its own; `store` is on the first argument."""
    start = f"""
import os, sys
sys.path.insert(0, {str(Path(envpanel.__file__).parents[1])!r})
from pathlib import Path
from envpanel.errors import *
from envpanel.history.store import FolderStore
store = FolderStore(Path(sys.argv[1]))
"""
    return [sys.executable, "-c", start + code, *map(str, arguments)]


def run(code: str, *arguments: object) -> str:
    done = subprocess.run(script(code, *arguments), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def record(name: str, size: int) -> bytes:
    body = name.encode() * (size // len(name))
    return hashlib.sha256(body).hexdigest().encode() + body


def complete(data: bytes) -> bool:
    return hashlib.sha256(data[64:]).hexdigest().encode() == data[:64]


def test_eight_processes_that_count_up_lose_nothing(tmp_path: Path) -> None:
    """Each number has one winner, who was told so, and all was there to be seen by the others."""
    code = """
own, won, number = sys.argv[2], [], 1
while len(won) < 15:
    try:
        store.create(f"environments/churn/{number:08}.json", f"{own} {number}".encode())
        won.append(number)
    except KeyExists:
        store.get(f"environments/churn/{number:08}.json")
    number += 1
print(*won)
"""
    writers = [
        subprocess.Popen(script(code, tmp_path / "home", own), stdout=subprocess.PIPE, text=True) for own in range(8)
    ]
    told = {
        own: [int(number) for number in writer.communicate(timeout=60)[0].split()] for own, writer in enumerate(writers)
    }
    assert all(writer.returncode == 0 for writer in writers)
    assert Counter(number for numbers in told.values() for number in numbers) == Counter(range(1, 121))
    store = FolderStore(tmp_path / "home")
    for own, numbers in told.items():
        for number in numbers:
            assert store.get(f"environments/churn/{number:08}.json") == f"{own} {number}".encode()
    assert len(everything(tmp_path / "home")) == 2 + 120


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o000, 0o777], ids=oct)
@pytest.mark.parametrize(("root", "file"), [(0o2770, 0o660), (0o2775, 0o664), (0o700, 0o600), (0o3777, 0o666)], ids=oct)
def test_what_is_new_has_the_permissions_of_the_root(tmp_path: Path, umask: int, root: int, file: int) -> None:
    tmp_path.chmod(root)
    previous = os.umask(umask)
    try:
        store = FolderStore(tmp_path)
        store.create(KEY, b"one")
        store.put("live/heads/churn", b"1")
        FolderStore(tmp_path, link=no_links).create("blobs/in-place", b"")
    finally:
        os.umask(previous)
    assert mode(tmp_path) == root
    for folder in ("environments", "environments/churn", "live", "live/heads", "blobs"):
        assert mode(tmp_path / folder) == root
    for name in (KEY, "live/heads/churn", "blobs/in-place"):
        assert mode(tmp_path / name) == file


def test_folders_that_were_there_keep_their_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments").chmod(0o750)
    FolderStore(tmp_path).create(KEY, b"one")
    assert mode(tmp_path / "environments") == 0o750


def test_the_root_is_made_by_the_first_write_only(tmp_path: Path) -> None:
    root = tmp_path / "shared" / "home"
    store = FolderStore(root)
    assert store.list("") == []
    store.delete(KEY)
    with pytest.raises(KeyMissing):
        store.get(KEY)
    assert everything(tmp_path) == set()
    store.create(KEY, b"one")
    assert root.is_dir()


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    """Root may write anywhere, so a root that runs the tests becomes somebody else."""
    code = """
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for verb in (store.create, store.put):
    try:
        verb("environments/churn/00000002.json", b"")
    except StoreError as error:
        print(error, type(error.__cause__).__name__)
print(store.get("environments/churn/00000001.json"), store.list("environments/churn"))
"""
    # Not below tmp_path, which others may not enter.
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        FolderStore(root).create(KEY, b"one")
        for path in (root / "environments" / "churn", root / "environments", root):
            path.chmod(0o555)
        (root / KEY).chmod(0o444)
        path = root / "environments" / "churn" / "00000002.json"
        lines = run(code, root).splitlines()
        for made in (root, root / "environments", root / "environments" / "churn"):
            made.chmod(0o755)
    assert lines == [f"Cannot write {path}: not allowed to write. PermissionError"] * 2 + ["b'one' ['00000001.json']"]


def test_a_root_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FolderStore(tmp_path / "file" / "home")
    for verb in (store.create, store.put):
        with pytest.raises(StoreError, match=f"Cannot write {tmp_path}/file/home/{KEY}: Not a directory"):
            verb(KEY, b"one")
    assert store.list("") == []
    with pytest.raises(KeyMissing):
        store.get(KEY)


def test_a_key_below_a_file_is_refused(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.create("environments", b"a file")
    for verb in (store.create, store.put):
        with pytest.raises(StoreError, match="Not a directory"):
            verb(KEY, b"one")
    assert everything(tmp_path) == {"environments"}


def test_a_put_does_not_replace_a_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.create(KEY, b"one")
    with pytest.raises(StoreError):
        store.put("environments/churn", b"")
    with pytest.raises(KeyExists):
        store.create("environments/churn", b"")
    assert everything(tmp_path) == {"environments", "environments/churn", KEY}


@pytest.mark.parametrize("verb", ["create", "put", "create in place"])
def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path, verb: str) -> None:
    """A limit on the size of files stops the write where a full disk would."""
    code = """
import errno, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def limit(*names, **folders):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    raise OSError(errno.EPERM, "no links")
if sys.argv[2] == "create in place":
    # By then the temporary file is complete.
    store = FolderStore(Path(sys.argv[1]), link=limit)
else:
    try:
        limit()
    except OSError:
        pass
try:
    (store.put if sys.argv[2] == "put" else store.create)("environments/big", bytes(200_000))
except StoreError as error:
    print(error, error.__cause__.errno == errno.EFBIG)
"""
    FolderStore(tmp_path).create("environments/before", b"before")
    said = run(code, tmp_path, verb)
    assert said == f"Cannot write {tmp_path}/environments/big: File too large. True\n"
    assert everything(tmp_path) == {"environments", "environments/before"}


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "not allowed to write"),
        (errno.EROFS, "not allowed to write"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_an_error_of_the_commit_is_a_sentence_and_leaves_nothing(tmp_path: Path, number: int, said: str) -> None:
    def link(src: str, dst: str, /, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(StoreError) as caught:
        FolderStore(tmp_path, link=link).create(KEY, b"one")
    assert caught.value.message == f"Cannot write {tmp_path / KEY}: {said}."
    assert isinstance(caught.value.__cause__, OSError)
    assert everything(tmp_path) == {"environments", "environments/churn"}
    FolderStore(tmp_path).create(KEY, b"one")


def no_links(src: str, dst: str, /, *, src_dir_fd: int, dst_dir_fd: int) -> None:
    raise OSError(errno.EPERM, "this file system has no links")


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
def test_create_works_without_links(tmp_path: Path, number: int) -> None:
    def link(src: str, dst: str, /, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    store = FolderStore(tmp_path, link=link)
    store.create(KEY, b"one")
    with pytest.raises(KeyExists):
        store.create(KEY, b"two")
    assert store.get(KEY) == b"one"
    assert everything(tmp_path) == {"environments", "environments/churn", KEY}


def test_without_links_exactly_one_of_many_threads_wins(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, link=no_links)

    def attempt(number: int) -> bool:
        try:
            store.create(KEY, b"%d" % number)
        except KeyExists:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(attempt, range(16))) == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.EEXIST, errno.ESTALE, errno.EPERM])
def test_a_commit_whose_answer_was_lost_is_a_commit(tmp_path: Path, number: int) -> None:
    """An NFS client that asks again is told that the name exists: it is the one it made itself."""

    def link(src: str, dst: str, /, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        os.link(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        raise OSError(number, os.strerror(number))

    store = FolderStore(tmp_path, link=link)
    store.create(KEY, b"one")
    assert store.get(KEY) == b"one"
    assert everything(tmp_path) == {"environments", "environments/churn", KEY}
    with pytest.raises(StoreError):
        store.create(KEY, b"two")
    assert store.get(KEY) == b"one"


@pytest.mark.parametrize("to", ["outside", "inside", "dangling"])
def test_no_symbolic_link_is_followed_below_the_root(tmp_path: Path, to: str) -> None:
    root = tmp_path / "home"
    targets = {"outside": tmp_path / "elsewhere", "inside": root / "target", "dangling": tmp_path / "gone"}
    store = FolderStore(root)
    store.create("environments/here", b"")
    for target in (targets["outside"], targets["inside"]):
        target.mkdir()
        (target / "secret").write_bytes(b"secret")
    before = everything(tmp_path)
    (root / "environments" / "folder").symlink_to(targets[to])
    (root / "environments" / "file").symlink_to(targets[to] / "secret")
    for key in ("environments/folder/secret", "environments/folder/new/new", "environments/file"):
        with pytest.raises(StoreError, match="symbolic link"):
            store.get(key)
        with pytest.raises(StoreError, match="symbolic link"):
            store.put(key, b"mine")
        # Something is at environments/file: that is a refusal too.
        with pytest.raises(StoreError, match=r"symbolic link|already"):
            store.create(key, b"mine")
    for key in ("environments/folder/secret", "environments/folder/new/new"):
        with pytest.raises(StoreError, match="symbolic link"):
            store.delete(key)
    with pytest.raises(StoreError, match="symbolic link"):
        store.list("environments/folder")
    assert everything(tmp_path) == before | {"home/environments/folder", "home/environments/file"}
    assert (targets["outside"] / "secret").read_bytes() == b"secret"


def test_the_root_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    FolderStore(tmp_path / "home").create(KEY, b"one")
    assert (tmp_path / "disk" / KEY).read_bytes() == b"one"


def test_a_named_pipe_is_no_file_and_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="not a file"):
        FolderStore(tmp_path).get("pipe")


def leftover(path: Path, age: float) -> None:
    path.write_bytes(b"half a rec")
    then = time.time() - age
    os.utime(path, (then, then))


def test_old_temporary_files_are_swept_and_young_ones_kept(tmp_path: Path) -> None:
    """Also in the folders above, and also folders that were being made; nothing but them."""
    churn = tmp_path / "environments" / "churn"
    churn.mkdir(parents=True)
    (churn / ".tmp-9-folder").mkdir()
    os.utime(churn / ".tmp-9-folder", (0, 0))
    leftover(churn / ".tmp-1-old", 2 * HOUR)
    leftover(tmp_path / "environments" / ".tmp-2-old", 2 * HOUR)
    leftover(churn / ".tmp-3-young", HOUR - 60)
    leftover(churn / ".tmp-4-of-the-future", -48 * HOUR)
    leftover(churn / "old-record", 2 * HOUR)
    (churn / ".tmp-5-full").mkdir()
    leftover(churn / ".tmp-5-full" / "file", 2 * HOUR)
    os.utime(churn / ".tmp-5-full", (0, 0))
    store = FolderStore(tmp_path)
    assert store.list("environments/churn") == ["old-record"]
    assert store.list("environments") == ["churn/"]
    store.create(KEY, b"one")
    kept = {
        ".tmp-3-young",
        ".tmp-4-of-the-future",
        "old-record",
        ".tmp-5-full",
        ".tmp-5-full/file",
        "00000001.json",
    }
    assert everything(churn) == kept
    assert {path.name for path in (tmp_path / "environments").iterdir()} == {"churn"}
    leftover(churn / ".tmp-6-old", 2 * HOUR)
    store.create("environments/churn/00000002.json", b"two")
    assert (churn / ".tmp-6-old").exists(), "swept once per folder and process"


def test_reading_sweeps_nothing(tmp_path: Path) -> None:
    leftover(tmp_path / ".tmp-1-old", 2 * HOUR)
    store = FolderStore(tmp_path)
    store.list("")
    store.delete("something")
    with pytest.raises(KeyMissing):
        store.get("something")
    assert everything(tmp_path) == {".tmp-1-old"}


def test_a_killed_writer_leaves_only_whole_records_and_all_that_were_acknowledged(tmp_path: Path) -> None:
    code = """
import hashlib
for number in range(int(sys.argv[2]), 10**6):
    body = str(number).encode() * 40_000
    data = hashlib.sha256(body).hexdigest().encode() + body
    store.create(f"folder-{number // 5}/{number:08}", data)
    store.put("live/head", data)
    os.write(1, b"%d\\n" % number)
"""
    chance = random.Random(20261120)
    store = FolderStore(tmp_path)
    acknowledged: list[int] = []
    for round_number in range(8):
        start = 10_000 * round_number
        writer = subprocess.Popen(script(code, tmp_path, start), stdout=subprocess.PIPE)
        assert writer.stdout is not None
        acknowledged.append(int(writer.stdout.readline()))
        time.sleep(chance.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        acknowledged += map(int, writer.communicate()[0].split())
        assert writer.returncode == -signal.SIGKILL
    found = [f"{folder}{name}" for folder in store.list("") if folder != "live/" for name in store.list(folder)]
    assert all(complete(store.get(key)) for key in [*found, "live/head"])
    assert {f"folder-{number // 5}/{number:08}" for number in acknowledged} <= set(found)
    assert len(found) <= len(acknowledged) + 8


def test_many_processes_may_make_the_same_folders(tmp_path: Path) -> None:
    """All begin at once, under a umask that would hide from others what they make."""
    code = """
os.umask(0o077)
print(flush=True)
sys.stdin.read()
for number in range(20):
    store.create(f"a{number}/b/c/{sys.argv[2]}", b"")
"""
    root = tmp_path / "home"
    root.mkdir()
    root.chmod(0o2770)
    writers = [
        subprocess.Popen(script(code, root, own), stdin=subprocess.PIPE, stdout=subprocess.PIPE) for own in range(8)
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0] * 8
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.close()
    folders = {f"a{number}{rest}" for number in range(20) for rest in ("", "/b", "/b/c")}
    assert everything(root) == folders | {f"a{number}/b/c/{own}" for number in range(20) for own in range(8)}
    assert {mode(root / folder) for folder in folders} == {0o2770}


def test_no_file_stays_open(tmp_path: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    store = FolderStore(tmp_path)
    (tmp_path / "link").symlink_to("elsewhere")
    before = open_files()
    for number in range(5):
        store.create(f"a/b/{number}", b"")
        store.put("a/b/put", b"")
        store.get("a/b/put")
        store.list("a/b")
        store.delete("a/b/put")
        for bad in ("link/a", "a/b/0/c", "link"):
            for verb in (store.get, lambda key: store.put(key, b""), lambda key: store.create(key, b"")):
                with pytest.raises(StoreError):
                    verb(bad)
    assert open_files() == before


# A bucket, and which store a home has


def test_an_error_of_a_bucket_is_a_sentence_without_secrets() -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        bucket = S3Store(
            "bucket",
            prefix="prefix",
            endpoint=f"http://canary-user:canary-pw@127.0.0.1:{nobody_listens.getsockname()[1]}",
            access_key_id="canary-key",
            secret_access_key="canary-secret",
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=1)},
        )
        store = ObjectStore(bucket, "s3://bucket/prefix")
        verbs: list[tuple[str, Callable[[], object]]] = [
            (f"read s3://bucket/prefix/{KEY}", lambda: store.get(KEY)),
            (f"write s3://bucket/prefix/{KEY}", lambda: store.create(KEY, b"")),
            (f"write s3://bucket/prefix/{KEY}", lambda: store.put(KEY, b"")),
            (f"delete s3://bucket/prefix/{KEY}", lambda: store.delete(KEY)),
            ("list s3://bucket/prefix:", lambda: store.list("")),
        ]
        for said, verb in verbs:
            with pytest.raises(StoreError) as caught:
                verb()
            message = caught.value.message
            assert message.startswith(f"Cannot {said}"), message
            assert "error sending request" in message
            assert "\n" not in message
            assert "canary" not in message
            assert "?" not in message
            # Nor in a traceback.
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__


def test_a_home_at_a_url_is_a_bucket_and_is_named_without_credentials() -> None:
    store = open_store("s3://user:pw@bucket/some/prefix?token=canary")
    assert isinstance(store, ObjectStore)
    assert store.description == "s3://bucket/some/prefix"
    assert repr(store) == "ObjectStore('s3://bucket/some/prefix')"
    assert isinstance(open_store("gs://bucket"), ObjectStore)


def test_a_url_that_lacks_something_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    with pytest.raises(StoreError) as caught:
        open_store("az://container/prefix")
    assert caught.value.message == "Cannot open az://container/prefix: Account must be specified."


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"ftp://host/home cannot be a home"):
        open_store("ftp://user:pw@host/home")


def test_any_other_home_is_a_folder(tmp_path: Path) -> None:
    for home in (tmp_path, str(tmp_path)):
        store = open_store(home)
        assert isinstance(store, FolderStore)
        assert store.root == tmp_path
        assert store.description == str(tmp_path)
        assert repr(store) == f"FolderStore({str(tmp_path)!r})"


def test_a_folder_does_not_pay_for_buckets(tmp_path: Path) -> None:
    code = """
store.create("a", b"")
print([name for name in ("obstore", "asyncio", "yaml") if name in sys.modules])
"""
    assert run(code, tmp_path) == "[]\n"
