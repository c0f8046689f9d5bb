"""The catalog: which packages the indexes have, by name and by version.

While the list of an index's names is not there yet, and where it has none, whole names alone are found there, by asking
for them. Where an index does not answer, what is kept of it is taken, and the answer says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from envpanel.catalog import name_list
from envpanel.catalog.index_pages import plain
from envpanel.catalog.indexes import Indexes, PackageIndex
from envpanel.catalog.name_list import NameList
from envpanel.catalog.names import Names
from envpanel.catalog.package_pages import PackagePages, Page
from envpanel.catalog.releases import Release, newest, releases, wheels
from envpanel.catalog.shelf import Shelf
from envpanel.errors import IndexUnreachable, InvalidInput, NotFound
from envpanel.model.target import Target

SECONDS = 5.0
"""An index that has not answered by then is left out of the answer."""

How = Literal["exact", "prefix", "part", "similar"]


@dataclass(frozen=True, kw_only=True)
class Match:
    """A name that was found: the very one, or one that begins with the query, has it in it, or is a typo away.

    `indexes` are those known to have it; none while the lists that would tell are not there yet.
    """

    name: str
    how: How
    indexes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What was found, best first.

    `complete`: the names of every index were looked through, save for indexes that have no list of them. If not, ask
    again in a moment where some are `loading`; others are `unreachable`. `as_of` is when the oldest list was last
    compared with its index. `notes` say in sentences what a person should know of it.
    """

    query: str
    matches: tuple[Match, ...]
    complete: bool
    loading: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    as_of: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PackageInfo:
    """A package and its versions, newest first.

    `newest` is the version that would be taken today, other requirements aside: None where none fits. `summary` is
    None where it cannot be had without fetching a whole package.
    """

    name: str
    summary: str | None
    python: str
    newest: str | None
    releases: tuple[Release, ...]
    unreachable: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Catalog:
    """The catalog of one user in one project, kept in `folder`, which is nobody else's to read.

    `environ` is the user's environment; `seconds` is how long an index may take.
    """

    def __init__(self, *, indexes: Indexes, folder: Path, environ: Mapping[str, str], seconds: float = SECONDS) -> None:
        shelf = Shelf(folder)
        self._indexes = indexes
        self._seconds = seconds
        self._names = Names(shelf=shelf, environ=environ)
        self._pages = PackagePages(shelf=shelf, environ=environ, offline=indexes.offline)

    async def search(self, query: str, *, limit: int = 20, wait: float = 0.0, known: Collection[str] = ()) -> Search:
        """The names that the query may mean. Waits up to `wait` seconds for lists that are missing or old.

        `known` are names that are in use here: of what fits, they come first, for an index has no word of what is
        widely used and what is a trap with a name much like it.

        Raises:
            InvalidInput: no name can be meant.
            IndexUnreachable: no index answered, and nothing is known of any from before.
        """
        text = _as_name(query)
        indexes = await self._all()
        loading = [index for index in indexes if self._is_to_be_loaded(index)]
        for index in loading:
            self._names.load(index)
        for index in await self._names.wait(loading, wait, patience=self._seconds):
            silent = f"The package index {index.name} did not answer in {self._seconds:g} seconds."
            self._pages.leave_alone(index, IndexUnreachable(silent))
        asked = await asyncio.gather(*(self._asked(index, text) for index in indexes))
        views = [self._view(index, *answer, text) for index, answer in zip(indexes, asked, strict=True)]
        errors = [view.error for view in views if view.error is not None and view.names is None]
        if len(errors) == len(views):
            raise _none_answered(errors)
        complete = not any(view.is_missing for view in views)
        found = await asyncio.to_thread(_matches, views, text, limit, frozenset(known), complete)
        compared = [view.checked for view in views if view.names is not None and not view.index.is_local]
        notes = (view.note(offline=self._indexes.offline) for view in views)
        return Search(
            query=text,
            matches=tuple(found),
            complete=complete,
            loading=tuple(view.index.name for view in views if view.is_missing and view.error is None),
            unreachable=tuple(view.index.name for view in views if view.error is not None),
            as_of=f"{datetime.fromtimestamp(min(compared), UTC):%Y-%m-%dT%H:%M:%SZ}" if compared else None,
            notes=tuple(note for note in notes if note is not None),
        )

    async def package(self, name: str, *, python: str) -> PackageInfo:
        """The versions of a package, for this platform and this minor version of Python, as uv would find them.

        Raises:
            InvalidInput: it is no name.
            NotFound: no index has it; with a name that is much like it, where there is one.
            IndexUnreachable: nobody who answered has it, and somebody did not answer.
        """
        text = _as_name(name)
        indexes = {index.name: index for index in await self._all()}
        # A page is a larger answer than a word: who has begun it gets more time.
        asked = await asyncio.gather(*(self._page(index, text, 3 * self._seconds) for index in indexes.values()))
        pages = {index: page for index, (page, _) in zip(indexes, asked, strict=True) if page is not None}
        errors = {index: error for index, (_, error) in zip(indexes, asked, strict=True) if error is not None}
        target = Target(python=python)
        having = {index: page for index, page in pages.items() if text in page.names}
        if self._indexes.first_only:
            # As uv does: another index's package of the same name may be another package.
            first = next((index for index in having if indexes[index].kind == "index"), None)
            having = {k: page for k, page in having.items() if k == first or indexes[k].kind == "links"}
        if not having:
            if errors:
                raise _none_answered([*errors.values()], text)
            raise NotFound(f"No package index has a package {text!r}.", hint=await self._meant(text))
        listings = [(index, page.files) for index, page in having.items()]
        found = await asyncio.to_thread(releases, listings, text, target)
        version = newest(found)
        told = version or next((item.version for item in found if not item.yanked), "")
        summary = None
        for index_name, wheel in (await asyncio.to_thread(wheels, listings, text, told, target))[:2]:
            summary = summary or await self._pages.summary(indexes[index_name], wheel, seconds=self._seconds)
        stale = [
            f"What {index} has is as of {_shown(page.checked)}: it could not be asked again."
            for index, page in having.items()
            if page.is_stale
        ]
        return PackageInfo(
            name=text,
            summary=summary,
            python=python,
            newest=version,
            releases=tuple(found),
            unreachable=tuple(errors),
            notes=(*stale, *(error.message for error in errors.values())),
        )

    def close(self) -> None:
        """Have what is still being fetched ended."""
        self._names.close()

    async def _all(self) -> tuple[PackageIndex, ...]:
        indexes = await self._indexes.all()
        if not indexes:
            raise IndexUnreachable(
                "There is no package index to ask: UV_NO_INDEX is set.", hint="UV_FIND_LINKS can name a folder."
            )
        return indexes

    def _is_to_be_loaded(self, index: PackageIndex) -> bool:
        if index.kind == "links" or (self._indexes.offline and not index.is_local):
            return False
        return index.is_local or self._names.known(index).is_old

    async def _asked(self, index: PackageIndex, text: str) -> tuple[Page | None, IndexUnreachable | None]:
        """The page of this very name, where there is no list that would tell; of links, their only page."""
        if index.kind == "links":
            return await self._page(index, None, self._seconds)
        if self._names.known(index).names is not None:
            return None, None
        return await self._page(index, text, self._seconds)

    def _view(self, index: PackageIndex, page: Page | None, error: IndexUnreachable | None, text: str) -> _View:
        """What is known of an index by now: a small list came while others were asked."""
        if index.kind == "links":
            names = page.names if page is not None else None
            return _View(index=index, names=names, checked=page.checked if page is not None else 0.0, error=error)
        known = self._names.known(index)
        return _View(
            index=index,
            names=known.names,
            # Some refuse to list their names, and answer for each of them.
            is_unlisted=known.is_unlisted or (page is not None and known.error is not None),
            checked=known.checked,
            is_old=known.is_old,
            error=known.error if known.names is not None else error,
            has_text=page is not None and text in page.names,
        )

    async def _page(
        self, index: PackageIndex, name: str | None, seconds: float
    ) -> tuple[Page | None, IndexUnreachable | None]:
        try:
            return await self._pages.get(index, name, seconds=seconds, silence=self._seconds), None
        except IndexUnreachable as error:
            return None, error

    async def _meant(self, name: str) -> str | None:
        """Which names are much like it, of those that are known here already."""
        close: set[str] = set()
        for index in await self._indexes.all():
            names = self._names.known(index).names
            if names is not None:
                with contextlib.suppress(sqlite3.Error):
                    close |= {hit.name for hit in await asyncio.to_thread(names.similar, name, 3)}
        return f"Did you mean {' or '.join(map(repr, sorted(close)[:3]))}?" if close else None


@dataclass(frozen=True, kw_only=True)
class _View:
    """An index as a search finds it."""

    index: PackageIndex
    names: NameList | frozenset[str] | None
    is_unlisted: bool = False
    checked: float = 0.0
    is_old: bool = False
    error: IndexUnreachable | None = None
    has_text: bool = False

    @property
    def is_missing(self) -> bool:
        """Whether there may be a list, and it is not here."""
        return self.names is None and not self.is_unlisted

    def note(self, *, offline: bool) -> str | None:
        """What a person should know of it, if anything."""
        name = self.index.name
        if self.names is not None and self.is_old and (offline or self.error is not None):
            why = self.error.message if self.error is not None else "UV_OFFLINE is set."
            return f"The names of {name} are as of {_shown(self.checked)}. {why}"
        if self.error is not None:
            return self.error.message
        if self.is_unlisted:
            return f"{name} has no list of its packages: there, whole names alone are found."
        if self.names is None:
            return f"The names of {name} are still on their way: so far, whole names alone are found there."
        return None


def _matches(views: Sequence[_View], text: str, limit: int, known: frozenset[str], complete: bool) -> list[Match]:
    """The best of what all indexes have."""
    distances = {hit.name: hit.distance for hit in name_list.similar_among(text, known, limit)}
    meant = {name for name in known if text in name} | distances.keys()
    having: dict[str, list[str]] = {}
    for view in views:
        found = {text} if view.has_text else set()
        try:
            if isinstance(view.names, NameList):
                found |= view.names.among({text, *meant})
                found |= {*view.names.starting(text, limit), *view.names.containing(text, limit)}
                hits = view.names.similar(text, limit) if text not in found else []
            elif view.names is not None:
                found |= (view.names & {text, *meant}) | {name for name in view.names if text in name}
                hits = name_list.similar_among(text, view.names, limit) if text not in found else []
            else:
                hits = []
        except sqlite3.Error:
            # Damaged: without its file it is fetched anew by the next search.
            if isinstance(view.names, NameList):
                view.names.discard()
            continue
        distances |= {hit.name: hit.distance for hit in hits}
        for name in found | {hit.name for hit in hits}:
            having.setdefault(name, []).append(view.index.name)
    if not complete:
        for name in meant:
            having.setdefault(name, [])

    def rank(name: str) -> tuple[int, int, int, bool, int, str]:
        how = _how(text, name)
        # What is in use here comes before the rest; what is only like the query does not, where the query is a name.
        first = name in known and (how != "similar" or text not in having)
        group = 0 if how == "exact" else 1 if first else 2
        tier = ("exact", "prefix", "part", "similar").index(how)
        distance = distances[name] if how == "similar" else 0
        return group, tier, distance, f"-{text}" not in name, len(name), name

    best = sorted(having, key=rank)[:limit]
    return [Match(name=name, how=_how(text, name), indexes=tuple(having[name])) for name in best]


def _how(text: str, name: str) -> How:
    if name == text:
        return "exact"
    if name.startswith(text):
        return "prefix"
    return "part" if text in name else "similar"


def _as_name(query: str) -> str:
    """The query as names are written (PEP 503); words may stand apart.

    Raises:
        InvalidInput: no name can be meant.
    """
    text = re.sub(r"[-_.\s]+", "-", query.strip()).strip("-").lower()
    if not re.fullmatch(r"[a-z0-9-]{1,100}", text):
        raise InvalidInput(
            f"{plain(query.split('://')[0], 60)!r} cannot be the name of a package.",
            hint="Names have letters, digits, '-', '_' and '.': search by a name or a part of one.",
        )
    return text


def _none_answered(errors: Sequence[IndexUnreachable], name: str | None = None) -> IndexUnreachable:
    first = errors[0]
    others = f" And {len(errors) - 1} more did not answer." if len(errors) > 1 else ""
    what = f"No index that answers has {name!r}. " if name is not None else ""
    return IndexUnreachable(f"{what}{first.message}{others}", hint=first.hint)


def _shown(seconds: float) -> str:
    """A moment, in the time zone of whoever looks."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"
