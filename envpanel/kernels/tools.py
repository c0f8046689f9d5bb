"""What programs in an environment find beside it: the stand-ins for pip and its like, and the notebook side.

Neither is in the prefix, so no list of packages has it. Both are copied from this envpanel into the cache, into folders
named by their content and never changed: a kernel keeps what it was started with when envpanel is upgraded.

    <cache>/shims/<digest>/            pip, pip3, uv, conda, mamba, and a file by which a stand-in knows the others
    <cache>/notebook/<digest>/envpanel/  __init__.py and notebook/, as they are here
"""

from __future__ import annotations

import contextlib
import functools
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from envpanel.errors import StoreError
from envpanel.model import wire
from envpanel.prefixes.prefix import remove_tree

SHIMS = ("pip", "pip3", "uv", "conda", "mamba")
MARK = ".envpanel-shims"

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Tools:
    """`shims` is a folder for PATH, `notebook` one for the end of `sys.path`."""

    shims: Path
    notebook: Path


def install(*caches: Path) -> Tools:
    """The folders, in the first of these caches that has them or where they can be written.

    Raises:
        StoreError: in none.
    """
    return Tools(shims=_kept("shims", _shims(), caches), notebook=_kept("notebook", _notebook(), caches))


@dataclass(frozen=True)
class _Content:
    """Files by their path, and a digest of them."""

    files: Mapping[str, bytes]
    digest: str


@functools.cache
def _shims() -> _Content:
    script = Path(__file__).with_name("shim.sh").read_bytes()
    return _content({MARK: b"", **dict.fromkeys(SHIMS, script)})


@functools.cache
def _notebook() -> _Content:
    inner = (path for path in sorted((_PACKAGE / "notebook").rglob("*")) if path.is_file())
    paths = [_PACKAGE / "__init__.py", *(path for path in inner if path.suffix != ".pyc")]
    return _content({path.relative_to(_PACKAGE.parent).as_posix(): path.read_bytes() for path in paths})


def _content(files: Mapping[str, bytes]) -> _Content:
    digests = {path: wire.sha256(data) for path, data in files.items()}
    return _Content(files, wire.sha256(wire.canonical(digests))[:16])


def _kept(kind: str, content: _Content, caches: tuple[Path, ...]) -> Path:
    folders = [cache / kind / content.digest for cache in caches]
    for folder in folders:
        if folder.is_dir():
            return folder
    failure: OSError | None = None
    for folder in folders:
        try:
            _write(folder, content.files)
        except OSError as error:
            failure = failure or error
        else:
            return folder
    reason = failure.strerror if failure is not None else "there is no cache"
    raise StoreError(f"{folders[0].parent if folders else kind} could not be written: {reason}.") from failure


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """All or nothing; where two are at it, the first one's is as good."""
    make_folder(folder.parent)
    mode = stat.S_IMODE(folder.parent.stat().st_mode)
    readers = 0o500 | (0o050 if mode & 0o040 else 0) | (0o005 if mode & 0o004 else 0)
    temp = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        for name, data in files.items():
            path = temp / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(readers if data.startswith(b"#!") else readers & 0o444)
        for inner in [*(path for path in temp.rglob("*") if path.is_dir()), temp]:
            inner.chmod(readers)
        try:
            temp.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        with contextlib.suppress(OSError):
            remove_tree(temp)


def make_folder(path: Path) -> None:
    """Make it, and what is missing above it, for whoever may see the folder above, whatever the umask is."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(stat.S_IMODE(path.parent.stat().st_mode) | 0o700)
