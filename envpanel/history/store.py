"""Where the home keeps its bytes: five verbs, on a folder or in a bucket, of which `create` is the commit.

A key is a relative POSIX path such as `environments/churn/00000003.json`; a key is never a folder of other
keys as well. The verbs block, so callers that must not wait use threads; any number of threads and processes
may share a home.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from envpanel.errors import InvalidInput, KeyExists, KeyMissing, StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Bucket

T = TypeVar("T")

_TEMPORARY = ".tmp-"
# `.nfs...` is what an NFS client calls a file that was deleted while somebody had it open.
_RESERVED = (_TEMPORARY, ".nfs")
_SWEPT_AFTER_SECONDS = 3600.0
# Each repetition needs another process that replaced a folder within the same microseconds.
_ATTEMPTS = 50

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a named pipe would wait for ever.
_OLD_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

_ABSENT = frozenset([errno.ENOENT, errno.ENOTDIR])
_FULL = frozenset([errno.ENOSPC, errno.EDQUOT])
_DENIED = frozenset([errno.EACCES, errno.EPERM, errno.EROFS])
_UNSUPPORTED = frozenset([errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_BUCKET_SCHEMES = frozenset(["s3", "gs", "az"])
_USERINFO = re.compile(r"://[^/\s?#]*@")
_QUERY = re.compile(r"[?#]\S*")
_GENERIC = re.compile(r"^Generic \w+ error: ")

# Folders in which this process has written before: the once-per-process work is done there.
_settled: set[Path] = set()


class Store(Protocol):
    """Bytes under keys.

    Every verb raises `ValueError` for what cannot be a key, and `StoreError` with a sentence when it fails.
    `description` says in messages which store it is, without credentials.
    """

    description: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.description!r})"

    @abstractmethod
    def create(self, key: str, data: bytes) -> None:
        """Store it, all or nothing, if nothing is there; it is durable when this returns.

        After a `StoreError` other than `KeyExists` the key may be there all the same: perhaps only the answer
        was lost. So after any error, read the key, and see whose it is.

        Raises:
            KeyExists: something is there, or somebody is just creating it.
        """

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Store or replace it: a reader sees the old or the new, and it is durable when this returns."""

    @abstractmethod
    def get(self, key: str) -> bytes:
        """What is stored under the key.

        Raises:
            KeyMissing: nothing is; a folder is nothing.
        """

    @abstractmethod
    def list(self, folder: str) -> Sequence[str]:
        """The sorted names of what is directly in the folder ('' = top); those of folders end with '/'.

        Only names that can be part of a key. An absent folder has nothing in it.
        """

    @abstractmethod
    def versions(self, folder: str) -> Mapping[str, str]:
        """What is directly in the folder and no folder itself: for each name a text that is another one after a write.

        By one listing, however many there are; what is stored is not read.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Nothing is under the key afterwards, as perhaps before."""


class Link(Protocol):
    """`os.link`, as far as it is used."""

    def __call__(self, src: str, dst: str, /, *, src_dir_fd: int, dst_dir_fd: int) -> None: ...


class FolderStore(Store):
    """A store in a folder, shared by processes, users and, over NFS, machines.

    - `create` links a complete temporary file to its name, which the file system lets only one do. Where it
      has no links, the name is opened for one only and written; only there a crash can leave half a file.
    - What is new gets the permissions of the root, whatever the umask, so that colleagues can read it.
    - Nothing is read or written through a symbolic link below the root.
    - The root is created by the first write, never by reading.
    """

    def __init__(self, root: Path, *, link: Link = os.link) -> None:
        self.root = Path(root).absolute()
        self.description = str(self.root)
        self._link = link

    def create(self, key: str, data: bytes) -> None:
        folder, name = _split(key)
        path = self.root / key
        with _sentences("write", path), self._staged(folder, data) as (directory, temporary):
            try:
                self._link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError as error:
                # The answer of an NFS server can be lost, and asking again then fails, even with EEXIST.
                # Nobody else knows the temporary file: a second link to it can only be this one.
                if _links(directory, temporary) == 2:
                    return
                if error.errno == errno.EEXIST:
                    raise _exists(path) from error
                if error.errno not in _UNSUPPORTED:
                    raise
                self._create_in_place(directory, path, data)

    def put(self, key: str, data: bytes) -> None:
        folder, name = _split(key)
        path = self.root / key
        with _sentences("write", path), self._staged(folder, data) as (directory, temporary):
            if _is_symlink(directory, name):
                raise _symlink(path)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)

    def get(self, key: str) -> bytes:
        folder, name = _split(key)
        path = self.root / key
        with _sentences("read", path):
            try:
                return _again(lambda: self._read(folder, name), errno.ESTALE)
            except OSError as error:
                if error.errno in _ABSENT:
                    raise _missing(path) from error
                raise

    def list(self, folder: str) -> Sequence[str]:
        parts = _folder_parts(folder)
        with _sentences("list", self.root.joinpath(*parts)):
            try:
                return _again(lambda: self._names(parts), errno.ESTALE)
            except OSError as error:
                if error.errno in _ABSENT:
                    return []
                raise

    def versions(self, folder: str) -> Mapping[str, str]:
        parts = _folder_parts(folder)
        with _sentences("list", self.root.joinpath(*parts)):
            try:
                return _again(lambda: self._versions(parts), errno.ESTALE)
            except OSError as error:
                if error.errno in _ABSENT:
                    return {}
                raise

    def delete(self, key: str) -> None:
        folder, name = _split(key)
        with _sentences("delete", self.root / key):
            try:
                with self._opened(folder) as directory:
                    os.unlink(name, dir_fd=directory)
            except OSError as error:
                if error.errno not in _ABSENT and error.errno != errno.EISDIR:
                    raise

    # Reading

    def _read(self, folder: tuple[str, ...], name: str) -> bytes:
        path = self.root.joinpath(*folder, name)
        with self._opened(folder) as directory:
            try:
                file = os.open(name, _OLD_FILE, dir_fd=directory)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise _symlink(path) from error
                raise
        with _closing(file):
            mode = os.fstat(file).st_mode
            if stat.S_ISDIR(mode):
                raise _missing(path)
            if not stat.S_ISREG(mode):
                raise StoreError(f"Cannot read {path}: it is not a file.")
            with open(file, "rb", buffering=0, closefd=False) as stream:
                return stream.readall()

    def _names(self, folder: tuple[str, ...]) -> Sequence[str]:
        with self._opened(folder) as directory, os.scandir(directory) as entries:
            return sorted(
                f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
                for entry in entries
                if _is_part(entry.name)
            )

    def _versions(self, folder: tuple[str, ...]) -> Mapping[str, str]:
        found = {}
        with self._opened(folder) as directory, os.scandir(directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode) and _is_part(entry.name):
                        # A write makes a new file and gives it the name.
                        found[entry.name] = f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"
        return found

    # Folders

    @contextlib.contextmanager
    def _opened(self, folder: tuple[str, ...]) -> Iterator[int]:
        with _closing(self._open(folder)) as directory:
            yield directory

    def _open(self, folder: tuple[str, ...], *, make: bool = False) -> int:
        """Walks down one folder at a time: a link that is put in the way meanwhile is not followed either."""
        directory = self._open_root(make=make)
        path = self.root
        for part in folder:
            path /= part
            with _closing(directory):
                directory = self._open_below(directory, path, make=make)
        return directory

    def _open_root(self, *, make: bool) -> int:
        # The root itself may be a link: whoever configured it chose where the home is.
        flags = _FOLDER & ~os.O_NOFOLLOW
        try:
            return os.open(self.root, flags)
        except FileNotFoundError:
            if not make:
                raise
        absent = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in absent:
            # One can be allowed to make a folder in a folder that one cannot open.
            with contextlib.suppress(PermissionError), _closing(os.open(folder.parent, flags)) as parent:
                _sync_folder(parent)
        return os.open(self.root, flags)

    def _open_below(self, parent: int, path: Path, *, make: bool) -> int:
        try:
            return os.open(path.name, _FOLDER, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP) and _is_symlink(parent, path.name):
                raise _symlink(path) from error
            if error.errno != errno.ENOENT or not make:
                raise
        self._make_folder(parent, path.name)
        return os.open(path.name, _FOLDER, dir_fd=parent)

    def _make_folder(self, parent: int, name: str) -> None:
        """Makes it under another name first: killed before a chmod, it would lock the colleagues out."""
        temporary = _temporary_name()
        mode = self._root_mode()
        os.mkdir(temporary, mode & 0o777, dir_fd=parent)
        try:
            made = os.stat(temporary, dir_fd=parent, follow_symlinks=False)
            # A chmod that is not needed can take the setgid bit away from those who are not in the group.
            if stat.S_IMODE(made.st_mode) != mode:
                # By name: under some umasks not even its owner may open it yet.
                _unless_unsupported(lambda: os.chmod(temporary, mode, dir_fd=parent))
            # This can replace an empty folder that another process just made: its write then starts again.
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError:
            with contextlib.suppress(OSError):
                os.rmdir(temporary, dir_fd=parent)
            if not _is_there(parent, name):
                raise
        _sync_folder(parent)

    def _root_mode(self) -> int:
        return stat.S_IMODE(self.root.stat().st_mode)

    # Writing

    @contextlib.contextmanager
    def _staged(self, folder: tuple[str, ...], data: bytes) -> Iterator[tuple[int, str]]:
        """The open folder, and the name in it of a temporary file with the data, which goes at the end."""
        directory, temporary, file = _again(lambda: self._begin(folder), errno.ENOENT, errno.ESTALE)
        with _closing(directory):
            try:
                with _closing(file, strictly=True):
                    self._settle(folder, os.fstat(file).st_mtime)
                    self._fill(file, data)
                yield directory, temporary
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=directory)
            _sync_folder(directory)

    def _begin(self, folder: tuple[str, ...]) -> tuple[int, str, int]:
        directory = self._open(folder, make=True)
        temporary = _temporary_name()
        try:
            return directory, temporary, os.open(temporary, _NEW_FILE, 0o600, dir_fd=directory)
        except BaseException:
            _close(directory)
            raise

    def _create_in_place(self, directory: int, path: Path, data: bytes) -> None:
        try:
            file = os.open(path.name, _NEW_FILE, 0o600, dir_fd=directory)
        except FileExistsError as error:
            raise _exists(path) from error
        try:
            with _closing(file, strictly=True):
                self._fill(file, data)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path.name, dir_fd=directory)
            raise

    def _fill(self, file: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        mode = self._root_mode() & 0o666
        _unless_unsupported(lambda: os.fchmod(file, mode))
        os.fsync(file)

    def _settle(self, folder: tuple[str, ...], now: float) -> None:
        """What a process does once per folder: sweep it and those above, and make sure that they are durable.

        Another process may have made them and not have come to its fsync. `now` is by the clock of the file
        server: that of this machine may be wrong.
        """
        path = self.root.joinpath(*folder)
        if path in _settled:
            return
        for depth in range(len(folder) + 1):
            with self._opened(folder[:depth]) as directory:
                _sweep(directory, min(now, time.time()) - _SWEPT_AFTER_SECONDS)
                _sync_folder(directory)
        _settled.add(path)


class ObjectStore(Store):
    """A store in a bucket, or in whatever else obstore has a store for.

    Messages and tracebacks hold nothing of the errors of obstore but a redacted first line: those errors show
    addresses and the answers of servers in full.

    S3 may refuse a `create` because of another that then fails: `KeyExists`, and nothing is there.
    """

    def __init__(self, store: Bucket, description: str | None = None) -> None:
        # Not its repr, which ends in a panic for a store of Azure that was configured by variables.
        self.description = type(store).__name__ if description is None else description
        self._store = store

    @classmethod
    def from_url(cls, url: str) -> ObjectStore:
        """The store at `s3://bucket/prefix`, `gs://...` or `az://...`; credentials come from variables.

        Raises:
            StoreError: obstore cannot use the address, or lacks a variable that goes with it.
        """
        # Costs some 20 ms, and most homes are folders.
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        description = _redacted(url).rstrip("/")
        try:
            return cls(from_url(url), description)
        except (BaseError, OSError, ValueError) as error:
            raise StoreError(f"Cannot open {description}: {_redacted(str(error))}.") from None

    def create(self, key: str, data: bytes) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        _split(key)
        with self._sentences("write", key):
            try:
                obstore.put(self._store, key, data, mode="create")
            except (AlreadyExistsError, PreconditionError):
                raise _exists(self._where(key)) from None

    def put(self, key: str, data: bytes) -> None:
        import obstore

        _split(key)
        with self._sentences("write", key):
            obstore.put(self._store, key, data)

    def get(self, key: str) -> bytes:
        import obstore

        _split(key)
        with self._sentences("read", key):
            try:
                return obstore.get(self._store, key).bytes().to_bytes()
            except FileNotFoundError:
                raise _missing(self._where(key)) from None

    def list(self, folder: str) -> Sequence[str]:
        import obstore

        prefix = "/".join(_folder_parts(folder))
        with self._sentences("list", prefix):
            found = obstore.list_with_delimiter(self._store, prefix or None)
        paths = [f"{path}/" for path in found["common_prefixes"]]
        paths += [entry["path"] for entry in found["objects"]]
        # Consoles mark an empty folder by an object that has the name of the folder itself.
        start = f"{prefix}/" if prefix else ""
        names = (path.removeprefix(start) for path in paths if path.startswith(start))
        return sorted(name for name in names if _is_part(name.removesuffix("/")))

    def versions(self, folder: str) -> Mapping[str, str]:
        import obstore

        prefix = "/".join(_folder_parts(folder))
        with self._sentences("list", prefix):
            found = obstore.list_with_delimiter(self._store, prefix or None)
        names = {entry["path"].removeprefix(f"{prefix}/" if prefix else ""): entry for entry in found["objects"]}
        return {
            name: f"{entry['e_tag']}-{entry['last_modified'].isoformat()}-{entry['size']}"
            for name, entry in names.items()
            if _is_part(name)
        }

    def delete(self, key: str) -> None:
        import obstore

        _split(key)
        with self._sentences("delete", key), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def _where(self, key: str) -> str:
        return f"{self.description}/{key}" if key else self.description

    @contextlib.contextmanager
    def _sentences(self, verb: str, key: str) -> Iterator[None]:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError):
            raise StoreError(f"Cannot {verb} {self._where(key)}: not allowed to {verb}.") from None
        except (BaseError, OSError, ValueError) as error:
            raise StoreError(f"Cannot {verb} {self._where(key)}: {_redacted(str(error))}.") from None


def open_store(home: str | Path) -> Store:
    """The store of a home: a folder, or the URL of a bucket.

    Raises:
        InvalidInput: a URL of another kind.
        StoreError: the URL cannot be used as things stand.
    """
    scheme = _SCHEME.match(home) if isinstance(home, str) else None
    if isinstance(home, Path) or scheme is None:
        return FolderStore(Path(home))
    if scheme[1].lower() not in _BUCKET_SCHEMES:
        raise InvalidInput(f"{_redacted(home)} cannot be a home: give a folder, or s3://, gs:// or az://.")
    return ObjectStore.from_url(home)


# Keys


def _is_part(name: str) -> bool:
    # What is not printable is refused by obstore, or cannot be encoded.
    return (
        name not in ("", ".", "..")
        and "/" not in name
        and "\\" not in name
        and name.isprintable()
        and not name.startswith(_RESERVED)
    )


def _parts(key: str) -> tuple[str, ...]:
    parts = tuple(key.split("/"))
    if not all(_is_part(part) for part in parts):
        raise ValueError(f"{key!r} cannot be a key of a store")
    return parts


def _split(key: str) -> tuple[tuple[str, ...], str]:
    *folder, name = _parts(key)
    return tuple(folder), name


def _folder_parts(folder: str) -> tuple[str, ...]:
    # With the slash too: so `list` gives the names of folders.
    return _parts(folder.removesuffix("/")) if folder else ()


# Sentences


def _exists(path: Path | str) -> KeyExists:
    return KeyExists(f"There is something at {path} already.")


def _missing(path: Path | str) -> KeyMissing:
    return KeyMissing(f"There is nothing at {path}.")


def _symlink(path: Path) -> StoreError:
    return StoreError(f"Cannot use {path}: it is a symbolic link, and none is followed inside the home.")


@contextlib.contextmanager
def _sentences(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            reason = "the disk is full"
        elif error.errno in _DENIED:
            reason = f"not allowed to {verb}"
        else:
            reason = error.strerror or type(error).__name__
        raise StoreError(f"Cannot {verb} {path}: {reason}.") from error


def _redacted(text: str) -> str:
    # The first line is for people; what follows a "<" is the answer of a server, which can repeat secrets.
    line = text.partition("\n")[0].partition("<")[0]
    line = _QUERY.sub("", _USERINFO.sub("://", line))
    return _GENERIC.sub("", line).rstrip(" :.")


# Files


def _again(once: Callable[[], T], *numbers: int) -> T:
    """Its answer; called again after one of these errors, as when a folder is replaced under its feet."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return once()
        except OSError as error:
            if error.errno not in numbers:
                raise
    return once()


@contextlib.contextmanager
def _closing(file: int, *, strictly: bool = False) -> Iterator[int]:
    """Closes it at the end. `strictly`: that close fails (a disk quota on NFS) counts as a failed write."""
    try:
        yield file
    except BaseException:
        _close(file)
        raise
    if strictly:
        os.close(file)
    else:
        _close(file)


def _close(file: int) -> None:
    with contextlib.suppress(OSError):
        os.close(file)


def _temporary_name() -> str:
    return f"{_TEMPORARY}{os.getpid()}-{os.urandom(8).hex()}"


def _unless_unsupported(change_mode: Callable[[], None]) -> None:
    try:
        change_mode()
    except OSError as error:
        # A file system without permissions: there the mount says who may read.
        if error.errno not in _UNSUPPORTED:
            raise


def _sync_folder(directory: int) -> None:
    try:
        os.fsync(directory)
    except OSError as error:
        # Some network file systems have no fsync of folders, and need none.
        if error.errno != errno.EINVAL and error.errno not in _UNSUPPORTED:
            raise


def _sweep(directory: int, before: float) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            if name.startswith(_TEMPORARY):
                with contextlib.suppress(OSError):
                    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    if found.st_mtime < before:
                        remove = os.rmdir if stat.S_ISDIR(found.st_mode) else os.unlink
                        remove(name, dir_fd=directory)


def _links(directory: int, name: str) -> int:
    try:
        # To open it makes an NFS client ask the server again, where stat may answer from a cache.
        with _closing(os.open(name, _OLD_FILE, dir_fd=directory)) as file:
            return os.fstat(file).st_nlink
    except OSError:
        return 0


def _is_there(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True


def _is_symlink(directory: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        return False
