"""The one door to package indexes: asks one for a page, over the web or in a folder.

Sources: PEP 503 and 691 (where the pages are, and in which form they come); for folders, what pip and uv take as a
`file://` index and as `--find-links`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import netrc
import os
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, BinaryIO

from packaging.utils import canonicalize_name

from envpanel.catalog.index_pages import JSON, Answer, plain
from envpanel.catalog.indexes import PackageIndex
from envpanel.errors import IndexUnreachable

_ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_CHUNK = 1 << 16


def project_url(index: PackageIndex, name: str) -> str:
    """Where the index has the page of a package."""
    return urllib.parse.urljoin(root_url(index), f"{canonicalize_name(name)}/")


def root_url(index: PackageIndex) -> str:
    """Where the index has the list of its names; the folder or page itself where it is one of links."""
    parts = urllib.parse.urlsplit(index.url)
    if index.kind == "links" or parts.path.endswith("/"):
        return index.url
    return parts._replace(path=f"{parts.path}/").geturl()


async def ask(
    index: PackageIndex,
    url: str,
    *,
    environ: Mapping[str, str],
    seconds: float,
    most: int,
    silence: float | None = None,
    etag: str = "",
    modified: str = "",
    into: Path | None = None,
    on_answer: Callable[[], None] | None = None,
) -> Answer:
    """Ask an index for the page at `url`, in so many seconds and of at most so many bytes, written to `into` if given.

    `silence`: the seconds without a byte after which it is given up before that. `on_answer` is called in the event
    loop when the index has begun to answer.

    Raises:
        IndexUnreachable: it did not answer, or refused; the sentence names the index, and no address.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()
    transfer = _Transfer(until=time.monotonic() + seconds, silence=silence or seconds, most=most, into=into)

    def settle(answer: Answer | None, error: Exception | None) -> None:
        if future.done():
            return
        if answer is not None:
            future.set_result(answer)
        else:
            future.set_exception(error or RuntimeError("no answer and no error"))

    def tell(call: Callable[..., None], *arguments: object) -> None:
        # The loop may be closed by then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(call, *arguments)

    def work() -> None:
        try:
            begun = (lambda: tell(on_answer)) if on_answer is not None else (lambda: None)
            if urllib.parse.urlsplit(url).scheme == "file":
                answer = _from_folder(index, url, etag, transfer)
            else:
                answer = _from_web(index, url, etag, modified, environ, transfer, begun)
            tell(settle, answer, None)
        except (OSError, ValueError, zlib.error, HTTPException) as error:
            tell(settle, None, _unreachable(index, error))
        except BaseException as error:
            tell(settle, None, RuntimeError(f"asking {index.name} failed: {type(error).__name__}"))
            raise
        finally:
            transfer.close()

    # A thread that nobody waits for: a silent index cannot be interrupted, only left alone.
    threading.Thread(target=work, daemon=True, name="envpanel-index").start()
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError as error:
        raise IndexUnreachable(f"The package index {index.name} did not answer in {seconds:g} seconds.") from error
    finally:
        transfer.is_wanted = False


class _Transfer:
    """One request: until when, how many bytes at most, where to, and whether anybody still waits for it."""

    def __init__(self, *, until: float, silence: float, most: int, into: Path | None) -> None:
        self.until = until
        self.silence = silence
        self.most = most
        self.is_wanted = True
        # Opened here, for the folder may be gone before the thread gets that far.
        self._file: IO[bytes] = into.open("wb") if into is not None else io.BytesIO()

    def take(self, source: BinaryIO | HTTPResponse, *, zipped: bool = False) -> bytes:
        """Copy all that comes; the bytes where they are not in a file."""
        unzip = zlib.decompressobj(wbits=31) if zipped else None
        size = 0
        while chunk := source.read(_CHUNK):
            if not self.is_wanted or time.monotonic() > self.until:
                raise TimeoutError("it took too long")
            while chunk:
                data = unzip.decompress(chunk, _CHUNK * 16) if unzip else chunk
                size += len(data)
                if size > self.most:
                    raise ValueError(f"its answer is longer than {self.most >> 20} MiB")
                self._file.write(data)
                chunk = unzip.unconsumed_tail if unzip else b""
        if unzip is not None and not unzip.eof:
            raise ValueError("its answer was cut off")
        self._file.flush()
        return self._file.getvalue() if isinstance(self._file, io.BytesIO) else b""

    def close(self) -> None:
        """Close the file that it was written to."""
        self._file.close()


def _from_web(
    index: PackageIndex,
    url: str,
    etag: str,
    modified: str,
    environ: Mapping[str, str],
    transfer: _Transfer,
    begun: Callable[[], None],
) -> Answer:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("its address is none of the web")
    headers = {"User-Agent": "envpanel", "Accept": _ACCEPT, "Accept-Encoding": "gzip"}
    headers |= {"If-None-Match": etag} if etag else {}
    headers |= {"If-Modified-Since": modified} if modified and not etag else {}
    request = urllib.request.Request(url, headers=headers)
    login = _login(index, parts, environ)
    if login is not None:
        # Not passed on where the index redirects to another host.
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with _opener(parts, environ).open(request, timeout=transfer.silence) as answer:
            begun()
            encoding = answer.headers.get("Content-Encoding", "").lower()
            body = transfer.take(answer, zipped=encoding in ("gzip", "x-gzip"))
            return Answer(
                state="found",
                url=answer.geturl(),
                content_type=answer.headers.get("Content-Type", "text/html").lower(),
                etag=_header(answer, "ETag"),
                modified=_header(answer, "Last-Modified"),
                body=body,
            )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 304:
            return Answer(state="unchanged")
        if error.code in (404, 410):
            return Answer(state="absent")
        raise


def _header(answer: HTTPResponse, name: str) -> str:
    """A header to send back the next time; one that could not be sent is none."""
    value = str(answer.headers.get(name, ""))
    return value if value.isascii() and value.isprintable() and len(value) <= 500 else ""


def _opener(parts: urllib.parse.SplitResult, environ: Mapping[str, str]) -> urllib.request.OpenerDirector:
    """Speaks HTTP and nothing else: an index could redirect to `file:` or `ftp:`."""
    insecure = environ.get("UV_INSECURE_HOST", "").split()
    host = parts.netloc.rpartition("@")[2]
    context = _context(bool({host, parts.hostname} & {*insecure}), environ.get("SSL_CLIENT_CERT"))
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


@lru_cache(maxsize=8)
def _context(insecure: bool, client_certificate: str | None) -> ssl.SSLContext:
    """The system's certificates, as for downloads."""
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_certificate:
        context.load_cert_chain(client_certificate)
    return context


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Keeps the login where an index redirects within itself, to the name as it writes it, say."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        login = req.unredirected_hdrs.get("Authorization")
        if following is not None and login is not None and _service(newurl) == _service(req.full_url):
            following.add_unredirected_header("Authorization", login)
        return following


def _login(index: PackageIndex, wanted: urllib.parse.SplitResult, environ: Mapping[str, str]) -> str | None:
    if index.login is not None and _service(index.url) == _service(wanted.geturl()):
        return index.login
    with contextlib.suppress(OSError, ValueError, netrc.NetrcParseError):
        entry = netrc.netrc(environ.get("NETRC")).authenticators(wanted.hostname or "")
        if entry:
            return f"{entry[0]}:{entry[2]}"
    return None


def _service(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def _unreachable(index: PackageIndex, error: Exception) -> IndexUnreachable:
    """Why, in a sentence with nothing in it that the index has written."""
    what = f"The package index {index.name}"
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (401, 403):
            return IndexUnreachable(
                f"{what} wants another login than it was given ({error.code}).",
                hint="Give the index a name, and set UV_INDEX_<NAME>_USERNAME and _PASSWORD, or use a .netrc file.",
            )
        return IndexUnreachable(f"{what} answers {error.code}.")
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return IndexUnreachable(f"{what} did not answer in time.")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return IndexUnreachable(f"{what} has a certificate that is not trusted here: {reason.verify_message}.")
    if isinstance(reason, OSError) and reason.strerror:
        return IndexUnreachable(f"{what} could not be reached: {plain(reason.strerror, 200)}.")
    if type(reason) is ValueError:
        return IndexUnreachable(f"{what} could not be read: {plain(str(reason), 200)}.")
    return IndexUnreachable(f"{what} does not answer as a package index does ({type(reason).__name__}).")


def _from_folder(index: PackageIndex, url: str, etag: str, transfer: _Transfer) -> Answer:
    path = Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
    page = path / "index.html" if path.is_dir() else path
    if not page.is_file():
        if not path.is_dir():
            if url == root_url(index):
                raise OSError(0, "there is no such folder")
            return Answer(state="absent")
        if url != root_url(index):
            return Answer(state="absent")
        listing = _listing(path, index.kind)
        return Answer(state="found", url=url, content_type=JSON, body=transfer.take(io.BytesIO(listing)))
    status = page.stat()
    found = f"{status.st_mtime_ns}-{status.st_size}"
    if etag and found == etag:
        return Answer(state="unchanged")
    with page.open("rb") as file:
        body = transfer.take(file)
    return Answer(state="found", url=page.as_uri(), content_type="text/html", etag=found, body=body)


def _listing(folder: Path, kind: str) -> bytes:
    """A folder without a page, as the page that it could have."""
    with os.scandir(folder) as entries:
        if kind == "links":
            files = sorted(entry.name for entry in entries if entry.is_file())
            here = folder.as_uri()
            return json.dumps({"files": [{"filename": n, "url": f"{here}/{_quoted(n)}"} for n in files]}).encode()
        return json.dumps({"projects": [{"name": entry.name} for entry in entries if entry.is_dir()]}).encode()


def _quoted(name: str) -> str:
    return urllib.parse.quote(os.fsencode(name))
