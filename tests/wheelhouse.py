"""Tiny real wheels, source distributions and package indexes, so that the tests resolve and install offline.

Nothing here imitates uv: it writes the files an index would hold, and the real uv reads them::

    house = standard(tmp_path)                  # the usual packages, behind a file:// index
    house.add(Distribution(name="delta", version="1.0", requires=("alpha<2",))).write()
    ... "--default-index", house.url ...

    with HttpIndex(house, password="s3cret") as index:      # the same files over HTTP, which can misbehave
        ... "--default-index", index.url ...
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import hmac
import html
import io
import json
import re
import socket
import socketserver
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

_JSON = "application/vnd.pypi.simple.v1+json"

# The zip format counts from here; one date in every archive makes equal contents equal bytes.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_TAR_DATE = 315532800

_PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""

# It hands out a wheel that lies in the archive: a build that needs no network, no compiler and no time, and
# gives the very bytes of `make_wheel`. It says nothing of the metadata, so resolving has to build as well.
_BACKEND = '''\
"""Gives the wheel that lies in built/, after running build_script.py."""

import runpy
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    runpy.run_path(str(HERE / "build_script.py"))
    (wheel,) = (HERE / "built").iterdir()
    shutil.copy(wheel, wheel_directory)
    return wheel.name
'''

_SLOW_BUILD = """\
import os, subprocess, sys, time

child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep({seconds!r})"])
started = {started!r}
if started:
    with open(started + ".part", "w") as file:
        file.write(f"{{os.getpid()}} {{child.pid}}")
    os.replace(started + ".part", started)
time.sleep({seconds!r})
child.wait()
"""

_COUNTING_BUILD = """\
import os, pathlib, zipfile
with open({file!r}, "a") as log:
    log.write("built\\n")
for wheel in pathlib.Path(__file__).with_name("built").iterdir():
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.comment = os.urandom(8).hex().encode()
"""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """One release of a package as one file: a wheel, or a source distribution when `sdist_only`.

    For a release with several files, add one Distribution for each.
    """

    name: str
    version: str
    requires: tuple[str, ...] = ()
    requires_python: str | None = None
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    """Path in the wheel -> source; when empty, one package of the same name with a `__version__`."""
    scripts: Mapping[str, str] = field(default_factory=dict)
    """Console entry points: command -> `module:function`."""
    data_scripts: Mapping[str, str] = field(default_factory=dict)
    """Files of `.data/scripts`, taken as they are: also `../escape`, as a hostile wheel would have it."""
    tag: str = "py3-none-any"
    summary: str = ""
    yanked: str | None = None
    """The reason; an empty one is still yanked."""
    uploaded: str | None = None
    """When, as ISO time in UTC (`2024-01-01T00:00:00Z`); only `HttpIndex` tells it."""
    sdist_only: bool = False
    build_script: str = ""
    """Python source run at the start of a build, see `failing_build` and `slow_build`."""

    @property
    def canonical_name(self) -> str:
        """The name as indexes compare it."""
        return canonical(self.name)

    @property
    def stem(self) -> str:
        """`name-version` as file names have it; the case of the name stays, as in many published files."""
        return f"{re.sub(r'[-_.]+', '_', self.name)}-{self.version}"

    @property
    def filename(self) -> str:
        """The name of the file an index lists."""
        return f"{self.stem}.tar.gz" if self.sdist_only else self.wheel_name

    @property
    def wheel_name(self) -> str:
        """The name of the wheel, be it listed or built from the source distribution."""
        return f"{self.stem}-{self.tag}.whl"

    @property
    def metadata(self) -> str:
        """The text of METADATA and PKG-INFO."""
        lines = ["Metadata-Version: 2.1", f"Name: {self.name}", f"Version: {self.version}"]
        if self.summary:
            lines.append(f"Summary: {self.summary}")
        if self.requires_python is not None:
            lines.append(f"Requires-Python: {self.requires_python}")
        lines += [f"Requires-Dist: {requirement}" for requirement in self.requires]
        for extra, requirements in self.extras.items():
            lines.append(f"Provides-Extra: {extra}")
            for requirement in requirements:
                wanted, _, marker = requirement.partition(";")
                condition = f'({marker.strip()}) and extra == "{extra}"' if marker else f'extra == "{extra}"'
                lines.append(f"Requires-Dist: {wanted.strip()} ; {condition}")
        return "\n".join(lines) + "\n"


def canonical(name: str) -> str:
    """The name of a package as indexes compare it: `Dashed_Name` and `dashed.name` are `dashed-name`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def failing_build(message: str) -> str:
    """A `build_script` that ends the build with this message on stderr."""
    return f"raise SystemExit({message!r})\n"


def counting_build(file: Path) -> str:
    """A `build_script` that adds a line to the file, and makes another wheel each time it runs."""
    return _COUNTING_BUILD.format(file=str(file))


def slow_build(seconds: float, started: Path | None = None) -> str:
    """A `build_script` that sleeps beside a sleeping child; `started` then holds `pid child_pid`.

    The file appears complete, so a test may wait for it, cancel, and look whether both processes are gone.
    """
    return _SLOW_BUILD.format(seconds=seconds, started=str(started) if started else "")


def make_wheel(dist: Distribution, folder: Path) -> Path:
    """Write the wheel into the folder; the same distribution always gives the same bytes."""
    return _write(folder / dist.wheel_name, _wheel(dist))


def make_sdist(dist: Distribution, folder: Path) -> Path:
    """Write the source distribution into the folder; it builds offline, to the bytes of `make_wheel`."""
    return _write(folder / f"{dist.stem}.tar.gz", _sdist(dist))


class Wheelhouse:
    """A folder with the files of a package index: nothing appears in it before `write`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[str, Distribution] = {}
        self._lost: set[str] = set()

    @property
    def url(self) -> str:
        """The `file://` address of the index."""
        return self._pages.resolve().as_uri() + "/"

    @property
    def find_links(self) -> Path:
        """The folder with all the files, for `--find-links`."""
        return self.root / "files"

    @property
    def _pages(self) -> Path:
        return self.root / "simple"

    def add(self, *dists: Distribution) -> Self:
        """Take in distributions; one with the file name of an earlier one replaces it."""
        for dist in dists:
            self._listed[dist.filename] = dist
            self._lost.discard(dist.filename)
        return self

    def write(self) -> Self:
        """Bring the folder up to date; what did not change is not touched."""
        projects: dict[str, list[_File]] = {}
        for filename, dist in self._listed.items():
            content = _sdist(dist) if dist.sdist_only else _wheel(dist)
            # An index has metadata files for wheels only: what a build will say is not known to it.
            metadata = None if dist.sdist_only else dist.metadata.encode()
            if filename not in self._lost:
                _write(self.find_links / filename, content)
                if metadata is not None:
                    _write(self.find_links / f"{filename}.metadata", metadata)
            projects.setdefault(dist.canonical_name, []).append(_File.of(dist, content, metadata))
        for name, files in projects.items():
            _write(self._pages / name / "index.html", _html_page(name, files))
            _write(self._pages / name / "index.json", _json_page(name, files))
        _write(self._pages / "index.html", _html_root(projects))
        _write(self._pages / "index.json", _json_root(projects))
        return self

    def remove(self, name: str, version: str, *, listed: bool = True) -> None:
        """Lose the files of a release while the index still lists it with its metadata.

        With `listed=False` the index forgets it too, as when a release was deleted by its owner.
        """
        gone = [
            dist for dist in self._listed.values() if (dist.canonical_name, dist.version) == (canonical(name), version)
        ]
        if not gone:
            raise KeyError(f"{name} {version} is not in this wheelhouse")
        for dist in gone:
            (self.find_links / dist.filename).unlink(missing_ok=True)
            if listed:
                self._lost.add(dist.filename)
                continue
            (self.find_links / f"{dist.filename}.metadata").unlink(missing_ok=True)
            del self._listed[dist.filename]
            if all(other.canonical_name != dist.canonical_name for other in self._listed.values()):
                for page in ("index.html", "index.json"):
                    (self._pages / dist.canonical_name / page).unlink(missing_ok=True)
        self.write()


def standard(root: Path) -> Wheelhouse:
    """The packages most tests need, written; add to the list what several tests could use."""
    return Wheelhouse(root).add(*_standard()).write()


def _standard() -> Iterable[Distribution]:
    def release(name: str, version: str, *requires: str, **more: Any) -> Distribution:
        more.setdefault("uploaded", "2024-01-01T00:00:00Z")
        more.setdefault("summary", f"The {name} of the tests")
        return Distribution(name=name, version=version, requires=requires, **more)

    # Versions to choose from: 1.9 < 1.10, pre-releases, and a yanked one that would be the newest.
    yield release("alpha", "1.0")
    yield release("alpha", "1.1", uploaded="2024-02-01T00:00:00Z")
    yield release("alpha", "1.9", uploaded="2024-03-01T00:00:00Z")
    yield release("alpha", "1.10", uploaded="2024-04-01T00:00:00Z")
    yield release("alpha", "2.0", "beta>=2", uploaded="2024-05-01T00:00:00Z")
    yield release("alpha", "2.1b1", uploaded="2024-06-01T00:00:00Z")
    yield release("beta", "1.0")
    yield release("beta", "2.0", uploaded="2024-02-01T00:00:00Z")
    yield release("beta", "3.0", uploaded="2024-03-01T00:00:00Z", yanked="broken")
    yield release("onlypre", "1.0a1")

    # A conflict: gamma and alpha 2.0 cannot be had together.
    yield release("gamma", "1.0", "beta<2", "alpha")

    # Not for this interpreter, not for this platform, and requirements that depend on them.
    yield release("newpy", "1.0", requires_python=">=3.99")
    yield release("wintag", "1.0", tag="py3-none-win_amd64")
    yield release("marked", "1.0", "alpha; python_version>='3.8'", "beta; sys_platform=='win32'")
    yield release("extra", "1.0", extras={"fast": ("gamma",)})

    # Names: one that nobody spells the canonical way.
    yield release("Dashed_Name", "1.0")

    # Contents: a command, and many files.
    yield release(
        "tool",
        "1.0",
        modules={"tool.py": '__version__ = "1.0"\n\n\ndef main():\n    print("hello from tool")\n'},
        scripts={"tool-hello": "tool:main"},
    )
    for version in ("1.0", "2.0"):
        parts = {f"big/part_{number:02}.py": f'PART = {number}, "{version}"\n' for number in range(60)}
        yield release("big", version, modules={"big/__init__.py": f'__version__ = "{version}"\n', **parts})

    # Source only: one builds, one does not.
    yield release("fromsource", "1.0", sdist_only=True)
    yield release("badsource", "1.0", sdist_only=True, build_script=failing_build("no compiler here"))

    # Stand-ins for what a kernel needs.
    yield release("comm", "0.2")
    yield release("ipykernel", "7.0", "comm>=0.1.1")
    yield release("ipywidgets", "8.0", "comm>=0.1.3")

    # Packages with nothing to do with each other, and a long chain of requirements.
    for letter in "abcdef":
        yield release(f"lib-{letter}", "1.0")
        yield release(f"lib-{letter}", "2.0", uploaded="2024-02-01T00:00:00Z")
    for number in range(20):
        yield release(f"chain-{number}", "1.0", f"chain-{number + 1}")
    yield release("chain-20", "1.0")


class HttpIndex:
    """A wheelhouse over HTTP on a free port of this machine; it serves from now until `close`.

    The options may be set at any time and hold from the next request on.
    """

    def __init__(self, house: Wheelhouse, *, username: str | None = None, password: str | None = None) -> None:
        self.root = house.root
        self.username = username
        self.password = password
        """With either of the two set, a request without them is answered with 401."""
        self.delay = 0.0
        """Seconds before each answer."""
        self.hang = False
        """Accept requests and never answer them; they end with `close`."""
        self.fail_status: int | None = None
        """Answer everything with this status."""
        self.corrupt: set[str] = set()
        """Names of files to serve with some bytes flipped."""
        self.requests: list[str] = []
        """The paths asked for, in order, whatever the answer was."""
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address of the index, without user name and password."""
        return f"http://{self._netloc}/simple/"

    @property
    def url_with_credentials(self) -> str:
        """The address with the user name and password in it."""
        user, password = quote(self.username or "", safe=""), quote(self.password or "", safe="")
        return f"http://{user}:{password}@{self._netloc}/simple/"

    @property
    def _netloc(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving; connections still open are cut, also those that hang."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._server.shutdown()
        self._server.cut_connections()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    # uv opens dozens of connections at once; those beyond the queue would wait a second for the next try.
    request_queue_size = 128

    def __init__(self, index: HttpIndex) -> None:
        self.index = index
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        """Wake the threads that wait for the next request on a connection kept open."""
        with self._lock:
            for request in self._open:
                with suppress(OSError):  # the other side was faster
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that was killed is what cancellation tests are about, and no news.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Headers and body in one packet: apart, each answer waits 40 ms for an acknowledgement.
    wbufsize = 65536

    def do_GET(self) -> None:
        index = self.server.index
        closing = index._closing
        index.requests.append(self.path)
        if index.hang:
            closing.wait()
        elif index.delay:
            closing.wait(index.delay)
        if closing.is_set():
            self.close_connection = True
        elif index.fail_status is not None:
            self._answer(index.fail_status)
        elif not self._is_allowed():
            self._answer(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": 'Basic realm="wheelhouse"'})
        else:
            self._serve()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `HttpIndex.requests` is the log."""

    def _is_allowed(self) -> bool:
        index = self.server.index
        if index.username is None and index.password is None:
            return True
        pair = f"{index.username or ''}:{index.password or ''}".encode()
        expected = b"Basic " + base64.b64encode(pair)
        return hmac.compare_digest(self.headers.get("Authorization", "").encode(), expected)

    def _serve(self) -> None:
        index = self.server.index
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/")[1:]]
        if any(part == ".." or "/" in part for part in parts):
            return self._answer(HTTPStatus.NOT_FOUND)
        # A page has the address of its folder; links in it start from there.
        if is_page := parts[0] == "simple" and parts[-1] == "":
            as_json = _JSON in self.headers.get("Accept", "")
            parts[-1] = "index.json" if as_json else "index.html"
            kind = _JSON if as_json else "text/html"
        elif parts[0] == "files":
            kind = "application/octet-stream"
        else:
            return self._answer(HTTPStatus.NOT_FOUND)
        try:
            content = index.root.joinpath(*parts).read_bytes()
        except OSError:
            return self._answer(HTTPStatus.NOT_FOUND)
        if not is_page and parts[-1] in index.corrupt:
            content = _flipped(parts[-1], content)
        return self._answer(HTTPStatus.OK, content, {"Content-Type": kind})

    def _answer(self, status: int, content: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@dataclass(frozen=True)
class _File:
    """What the pages of an index tell about one file."""

    dist: Distribution
    sha256: str
    size: int
    metadata_sha256: str | None

    @classmethod
    def of(cls, dist: Distribution, content: bytes, metadata: bytes | None) -> _File:
        metadata_sha256 = None if metadata is None else hashlib.sha256(metadata).hexdigest()
        return cls(dist, hashlib.sha256(content).hexdigest(), len(content), metadata_sha256)

    @property
    def href(self) -> str:
        """The address of the file from the page of its project."""
        return f"../../files/{quote(self.dist.filename)}"

    def as_html(self) -> str:
        attributes = {"href": f"{self.href}#sha256={self.sha256}"}
        if self.dist.requires_python is not None:
            attributes["data-requires-python"] = self.dist.requires_python
        if self.dist.yanked is not None:
            attributes["data-yanked"] = self.dist.yanked
        if self.metadata_sha256 is not None:
            attributes["data-core-metadata"] = f"sha256={self.metadata_sha256}"
        return _link(self.dist.filename, attributes)

    def as_json(self) -> dict[str, object]:
        dist = self.dist
        entry: dict[str, object] = {
            "filename": dist.filename,
            "url": self.href,
            "hashes": {"sha256": self.sha256},
            "size": self.size,
            # Without a reason the format wants a plain true.
            "yanked": False if dist.yanked is None else dist.yanked or True,
        }
        if dist.requires_python is not None:
            entry["requires-python"] = dist.requires_python
        if dist.uploaded is not None:
            entry["upload-time"] = dist.uploaded
        if self.metadata_sha256 is not None:
            entry["core-metadata"] = {"sha256": self.metadata_sha256}
        return entry


def _link(text: str, attributes: Mapping[str, str]) -> str:
    inner = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items())
    return f"<a {inner}>{html.escape(text)}</a><br>"


def _html(title: str, links: Iterable[str]) -> bytes:
    head = f'<meta name="pypi:repository-version" content="1.1"><title>{html.escape(title)}</title>'
    body = "\n".join(links)
    return f"<!DOCTYPE html>\n<html><head>{head}</head><body>\n{body}\n</body></html>\n".encode()


def _json(content: Mapping[str, object]) -> bytes:
    return json.dumps({"meta": {"api-version": "1.1"}, **content}, indent=1).encode()


def _html_page(name: str, files: list[_File]) -> bytes:
    return _html(name, (file.as_html() for file in files))


def _json_page(name: str, files: list[_File]) -> bytes:
    versions = list(dict.fromkeys(file.dist.version for file in files))
    return _json({"name": name, "versions": versions, "files": [file.as_json() for file in files]})


def _html_root(names: Iterable[str]) -> bytes:
    return _html("Index", (_link(name, {"href": f"{name}/"}) for name in sorted(names)))


def _json_root(names: Iterable[str]) -> bytes:
    return _json({"projects": [{"name": name} for name in sorted(names)]})


def _wheel(dist: Distribution) -> bytes:
    package = dist.canonical_name.replace("-", "_")
    modules = dist.modules or {f"{package}/__init__.py": f'__version__ = "{dist.version}"\n'}
    info = f"{dist.stem}.dist-info"
    files = dict(modules)
    files |= {f"{dist.stem}.data/scripts/{name}": text for name, text in dist.data_scripts.items()}
    files[f"{info}/METADATA"] = dist.metadata
    files[f"{info}/WHEEL"] = _wheel_file(dist.tag)
    if dist.scripts:
        entries = "".join(f"{command} = {target}\n" for command, target in dist.scripts.items())
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{entries}"
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path, _ZIP_DATE)
            entry.create_system = 3  # Unix everywhere, so that the modes below are read and the bytes agree
            entry.external_attr = (0o100755 if ".data/scripts/" in path else 0o100644) << 16
            archive.writestr(entry, text)
    return buffer.getvalue()


def _wheel_file(tag: str) -> str:
    lines = ["Wheel-Version: 1.0", "Generator: wheelhouse", "Root-Is-Purelib: true"]
    # A tag such as py2.py3-none-any is short for several.
    lines += ["Tag: " + "-".join(parts) for parts in product(*(part.split(".") for part in tag.split("-")))]
    return "\n".join(lines) + "\n"


def _record(files: Mapping[str, str], record: str) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    for path, text in files.items():
        content = text.encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow((path, f"sha256={digest}", len(content)))
    rows.writerow((record, "", ""))
    return out.getvalue()


def _sdist(dist: Distribution) -> bytes:
    files = {
        "PKG-INFO": dist.metadata.encode(),
        "pyproject.toml": _PYPROJECT.encode(),
        "backend.py": _BACKEND.encode(),
        "build_script.py": dist.build_script.encode(),
        f"built/{dist.wheel_name}": _wheel(dist),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"{dist.stem}/{path}")
            entry.size = len(content)
            entry.mtime = _TAR_DATE
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _flipped(filename: str, content: bytes) -> bytes:
    # The bytes that hold a date: the archive opens as before, so that nothing but the hash can tell.
    offset = {".whl": 10, ".gz": 4}.get(Path(filename).suffix, 0)
    changed = bytes(byte ^ 0x01 for byte in content[offset : offset + 2])
    return content[:offset] + changed + content[offset + 2 :]


def _write(path: Path, content: bytes) -> Path:
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path
