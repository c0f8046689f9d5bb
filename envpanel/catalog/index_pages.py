"""What package indexes answer, read: their lists of names, the files of a package, the metadata of a file.

Sources of the formats: PEP 503 (pages in HTML), 592 (yanked), 629 (version of the interface), 658 and 714 (metadata
beside a file), 691 (pages in JSON), 700 (times). Nothing that an index says is trusted: what does not fit is left out,
and texts are one line without control characters.
"""

from __future__ import annotations

import contextlib
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from envpanel import process

JSON = "application/vnd.pypi.simple.v1+json"
"""The type of a page in JSON (PEP 691)."""

_CHUNK = 1 << 16
_LONGEST_TAG = 1 << 20
"""HTML that has no end of a tag in so many characters is no page of an index."""

_NAME = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]{0,198}[A-Z0-9])?", re.IGNORECASE | re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an index said: a page (`body`, or in the file that was named), nothing of that name, or "as before".

    `url` is where the page came from in the end, `etag` and `modified` are what to ask with the next time.
    """

    state: Literal["found", "absent", "unchanged"]
    url: str = ""
    content_type: str = ""
    etag: str = ""
    modified: str = ""
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file that an index lists. `yanked` is the reason (an empty one is still yanked), None where it is not.

    `requires_python` is None where it is not said, or is no specifier. `has_metadata`: its METADATA is to be had alone.
    """

    name: str
    url: str
    requires_python: str | None = None
    yanked: str | None = None
    uploaded: datetime | None = None
    has_metadata: bool = False
    metadata_sha256: str | None = None


def files_of(answer: Answer) -> list[File]:
    """The files that a page lists; what is no page of an index lists none."""
    try:
        found = _files_of_json(answer) if "json" in answer.content_type else _files_of_html(answer)
        return [file for file in found if _is_fetched_alike(answer.url, file.url)]
    except (ValueError, RecursionError):
        return []


def names_of(path: Path, content_type: str) -> Iterator[str]:
    """The names in the list of an index, PEP 503, as they come: doubles are possible, what is no name is left out.

    Reads the whole file and does not let go of the interpreter for long: for lists beyond a MiB, use another process.

    Raises:
        ValueError: it is no such list.
    """
    if "json" in content_type:
        yield from map(_canonical, filter(_NAME.fullmatch, _names_of_json(path.read_bytes())))
        return
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for _, attributes, text in _anchors(iter(lambda: file.read(_CHUNK), "")):
            # Other pages have links too: here each leads to the folder of the name that it shows.
            folder = urllib.parse.unquote((attributes.get("href") or "").partition("#")[0].partition("?")[0])
            if _NAME.fullmatch(text) and _canonical(folder.rstrip("/").rpartition("/")[2]) == _canonical(text):
                yield _canonical(text)


def summary_of(metadata: bytes) -> str | None:
    """The summary that a METADATA file states, as one line of plain text."""
    # Takes a moment to import, and most answers need none of it.
    from packaging.metadata import parse_email

    # What stands behind the headers is the description, as long as it likes.
    headers = re.split(rb"\r?\n\r?\n", metadata[: 1 << 20], maxsplit=1)[0]
    try:
        raw, _ = parse_email(headers.decode(errors="replace"))
    except (ValueError, LookupError):
        return None
    summary = plain(raw.get("summary") or "", 500)
    # What old tools wrote where there was none.
    return summary if summary not in ("", "UNKNOWN") else None


def plain(text: str, longest: int) -> str:
    """A text of somebody's as one line: no control characters, no credentials, not too long."""
    line = process.cleaned(" ".join(text[: 8 * longest].split()).encode(errors="replace"))
    line = " ".join("".join(char for char in line if char.isprintable()).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


class _Projects(msgspec.Struct):
    projects: list[msgspec.Raw]


class _Project(msgspec.Struct):
    name: str


class _Page(msgspec.Struct):
    files: list[msgspec.Raw]
    meta: dict[str, object] = {}


class _Entry(msgspec.Struct, rename="kebab"):
    filename: str
    url: str
    requires_python: object = None
    yanked: object = False
    upload_time: object = None
    core_metadata: object = None
    dist_info_metadata: object = None


def _names_of_json(body: bytes) -> Iterator[str]:
    decode = msgspec.json.Decoder(_Project).decode
    for raw in msgspec.json.decode(body, type=_Projects).projects:
        with contextlib.suppress(msgspec.ValidationError):
            yield decode(raw).name


def _files_of_json(answer: Answer) -> Iterator[File]:
    page = msgspec.json.decode(answer.body, type=_Page)
    if str(page.meta.get("api-version", "1")).partition(".")[0] != "1":
        raise ValueError("of another version of the interface")
    decode = msgspec.json.Decoder(_Entry).decode
    # One by one: an entry that is wrong is left out, and other threads have their turn in between.
    for raw in page.files:
        with contextlib.suppress(ValueError):
            entry = decode(raw)
            said = entry.core_metadata if entry.core_metadata is not None else entry.dist_info_metadata
            digest = said.get("sha256") if isinstance(said, dict) else None
            yield _file(
                entry.filename,
                urllib.parse.urljoin(answer.url, entry.url),
                requires_python=entry.requires_python,
                yanked=entry.yanked,
                uploaded=entry.upload_time,
                has_metadata=bool(said),
                metadata_sha256=digest,
            )


def _files_of_html(answer: Answer) -> Iterator[File]:
    text = answer.body.decode(errors="replace")
    chunks = (text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK))
    for base, attributes, _ in _anchors(chunks):
        with contextlib.suppress(ValueError):
            url = urllib.parse.urljoin(urllib.parse.urljoin(answer.url, base), attributes.get("href") or "")
            said = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata", "false")) or "true"
            algorithm, _, digest = said.partition("=")
            yanked = attributes.get("data-yanked", False)
            yield _file(
                urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2]),
                url,
                requires_python=attributes.get("data-requires-python"),
                # An attribute without a value is an empty reason.
                yanked="" if yanked is None else yanked,
                has_metadata=said != "false",
                metadata_sha256=digest if algorithm == "sha256" else None,
            )


def _file(
    name: str,
    url: str,
    *,
    requires_python: object,
    yanked: object,
    uploaded: object = None,
    has_metadata: bool,
    metadata_sha256: object,
) -> File:
    moment = None
    if isinstance(uploaded, str):
        with contextlib.suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(uploaded)
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    reason = None if yanked is False or yanked is None else plain(yanked if isinstance(yanked, str) else "", 300)
    digest = metadata_sha256 if isinstance(metadata_sha256, str) and _SHA256.fullmatch(metadata_sha256) else None
    return File(
        name=name,
        url=urllib.parse.urldefrag(url).url,
        requires_python=_specifiers(requires_python) if isinstance(requires_python, str) else None,
        yanked=reason,
        uploaded=moment,
        has_metadata=has_metadata,
        metadata_sha256=digest,
    )


@lru_cache(maxsize=4096)
def _specifiers(text: str) -> str | None:
    """Python versions in the one way in which they are written; None for none, and for what is no specifier."""
    try:
        return str(SpecifierSet(text)) or None if len(text) <= 200 else None
    except InvalidSpecifier:
        return None


def _is_fetched_alike(page: str, url: str) -> bool:
    """A page of the web must not name files of this machine."""
    scheme = urllib.parse.urlsplit(url).scheme
    return scheme in ("http", "https") or (scheme == "file" == urllib.parse.urlsplit(page).scheme)


def _anchors(chunks: Iterator[str]) -> Iterator[tuple[str, dict[str, str | None], str]]:
    """For each `<a>`: the base of addresses, its attributes, its text.

    Raises:
        ValueError: it is of a version of the interface that we do not know, or no page at all.
    """
    parser = _Parser()
    for chunk in chunks:
        parser.feed(chunk)
        # The parser would begin anew at the same place with each further chunk.
        if len(parser.rawdata) > _LONGEST_TAG:
            raise ValueError("not HTML")
        yield from parser.found
        parser.found.clear()
    # Not `close`: it takes the square of the length for what was left open.


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self._base = ""
        self._open: dict[str, str | None] | None = None
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._open, self._text = dict(attrs), []
            return
        attributes = dict(attrs)
        if tag == "base" and not self._base:
            self._base = attributes.get("href") or ""
        if tag == "meta" and attributes.get("name") == "pypi:repository-version":
            version = (attributes.get("content") or "1").strip()
            if version.partition(".")[0] != "1":
                raise ValueError("of another version of the interface")

    def handle_data(self, data: str) -> None:
        if self._open is not None and len(self._text) < 100:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._open is not None:
            self.found.append((self._base, self._open, "".join(self._text).strip()))
            self._open = None


def _canonical(name: str) -> str:
    return canonicalize_name(name)
