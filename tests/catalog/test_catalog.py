"""What a search finds and a package page tells, whatever the indexes do; and what is kept of it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st
from odd_index import JSON, OddIndex, Reply
from packaging.version import Version
from uv import find_uv_bin
from wheelhouse import Distribution, HttpIndex, Wheelhouse, standard

from envpanel.catalog import name_list
from envpanel.catalog.catalog import Catalog, PackageInfo, Search
from envpanel.catalog.indexes import Indexes
from envpanel.catalog.name_list import NameList
from envpanel.errors import IndexUnreachable, InvalidInput, NotFound
from envpanel.settings import Settings

SECRET = "s3cret-canary"
PYTHON = "3.11"
USUAL = ["numpy", "numpydoc", "scikit-learn", "scikit-image", "pandas", "requests", "python-dateutil", "learn", "flask"]

_Answer = TypeVar("_Answer")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    return standard(tmp_path_factory.mktemp("index"))


@dataclass
class User:
    """A user with variables and a folder for the catalog; each question is asked by a program of its own."""

    folder: Path
    environ: Mapping[str, str]
    seconds: float = 2.0

    @property
    def catalog(self) -> Catalog:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "NETRC": os.devnull, **self.environ}
        indexes = Indexes(uv=find_uv_bin(), environ=environ, settings=Settings())
        return Catalog(indexes=indexes, folder=self.folder / "catalog", environ=environ, seconds=self.seconds)

    def search(self, query: str, *, wait: float = 20.0, known: Collection[str] = (), limit: int = 20) -> Search:
        return asyncio.run(self.catalog.search(query, wait=wait, known=known, limit=limit))

    def names(self, query: str, **more: Collection[str]) -> list[str]:
        return [match.name for match in self.search(query, **more).matches]  # type: ignore[arg-type]

    def package(self, name: str, python: str = PYTHON) -> PackageInfo:
        return asyncio.run(self.catalog.package(name, python=python))

    def kept(self) -> list[Path]:
        return sorted((self.folder / "catalog").iterdir())

    def age(self, seconds: float) -> None:
        """Let everything that is kept be so much older."""
        moment = time.time() - seconds
        for path in self.kept():
            os.utime(path, (moment, moment))


def listing(*names: str, etag: str | None = None) -> Reply:
    body = json.dumps({"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in names]}).encode()
    return Reply(body, etag=etag)


def files(*names: str, **more: object) -> Reply:
    entries = [{"filename": name, "url": f"../../files/{name}", **more} for name in names]
    return Reply(json.dumps({"meta": {"api-version": "1.1"}, "files": entries}).encode())


def usual(**pages: Reply) -> OddIndex:
    return OddIndex({"/simple/": listing(*USUAL), **{f"/simple/{name}/": reply for name, reply in pages.items()}})


def user(tmp_path: Path, *indexes: str, **environ: str) -> User:
    *others, default = indexes
    return User(tmp_path, {"UV_DEFAULT_INDEX": default, "UV_INDEX": " ".join(others), **environ})


# Names


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("numpy", "numpy"),
        ("NumPy", "numpy"),
        ("nmupy", "numpy"),
        ("nunpy", "numpy"),
        ("numpyy", "numpy"),
        ("umpy", "numpy"),
        ("reqeusts", "requests"),
        ("Scikit_Learn", "scikit-learn"),
        ("scikit learn", "scikit-learn"),
        ("scikit..learn ", "scikit-learn"),
        ("sckitlearn", "scikit-learn"),
        ("python-datuetil", "python-dateutil"),
        ("dateutil", "python-dateutil"),
        ("pand", "pandas"),
    ],
)
def test_names_are_found_whole_by_a_part_and_in_spite_of_typos(tmp_path: Path, query: str, first: str) -> None:
    with usual() as odd:
        assert user(tmp_path, odd.url).names(query)[0] == first


def test_a_search_tells_how_each_name_was_found(tmp_path: Path) -> None:
    with usual() as odd:
        ana = user(tmp_path, f"corp={odd.url}")
        found = ana.search("learn")
        assert [(match.name, match.how) for match in found.matches] == [("learn", "exact"), ("scikit-learn", "part")]
        assert {match.indexes for match in found.matches} == {("corp",)}
        assert [match.how for match in ana.search("scikit").matches] == ["prefix", "prefix"]
        assert [match.how for match in ana.search("nmupy").matches] == ["similar"]
        assert found.complete
        assert (found.query, found.loading, found.unreachable, found.notes) == ("learn", (), (), ())


def test_what_is_in_use_here_comes_first_and_a_typo_of_a_name_that_exists_does_not(tmp_path: Path) -> None:
    names = ["lib", *(f"lib-{number}" for number in range(50)), "my-lib", "lit"]
    with OddIndex({"/simple/": listing(*names)}) as odd:
        ana = user(tmp_path, odd.url)
        assert ana.names("lib")[:2] == ["lib", "lib-0"]
        assert ana.names("lib", known={"my-lib", "lib-49", "lit"})[:3] == ["lib", "lib-49", "my-lib"]
        assert ana.names("lbi", known={"lib"})[0] == "lib"
        assert len(ana.search("lib", limit=7).matches) == 7


def test_nothing_like_it_is_no_error(tmp_path: Path) -> None:
    with usual() as odd:
        found = user(tmp_path, odd.url).search("zzzzzz")
        assert (found.matches, found.complete) == ((), True)


@pytest.mark.parametrize(
    "query", ["", "  ", "-", "a/b", "numpy>=2", "../x", "https://u:p@h/x", "na\u00efve", "x" * 101, "a\0"]
)
def test_what_cannot_be_a_name_gets_a_sentence(tmp_path: Path, query: str) -> None:
    ana = user(tmp_path, "http://127.0.0.1:9/simple/")
    for ask in (ana.search, ana.package):
        with pytest.raises(InvalidInput) as caught:
            ask(query)
        assert "u:p" not in caught.value.message


def test_folders_links_json_html_and_private_indexes_are_searched_alike(house: Wheelhouse, tmp_path: Path) -> None:
    page = Reply((house.root / "simple" / "index.html").read_bytes(), content_type="text/html")
    with HttpIndex(house, username="ana", password=SECRET) as private, OddIndex({"/simple/": page}) as plain_html:
        sources = {
            "folder": {"UV_DEFAULT_INDEX": house.url},
            "links": {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(house.find_links)},
            "private": {"UV_DEFAULT_INDEX": private.url_with_credentials},
            "html": {"UV_DEFAULT_INDEX": plain_html.url},
        }
        for name, environ in sources.items():
            ana = User(tmp_path / name, environ)
            assert ana.names("chain-1") == ["chain-1", *(f"chain-1{digit}" for digit in range(10))], name
            assert ana.names("alhpa") == ["alpha"], name
            assert "dashed-name" in ana.names("name"), name


def test_a_new_package_of_a_folder_is_found_at_once(tmp_path: Path) -> None:
    house = standard(tmp_path / "index")
    ana = user(tmp_path, house.url)
    assert ana.names("delta") == []
    house.add(Distribution(name="delta", version="1.0")).write()
    assert ana.names("delta") == ["delta"]


def test_a_name_of_two_indexes_stands_once_with_both(house: Wheelhouse, tmp_path: Path) -> None:
    with OddIndex({"/simple/": listing("alpha", "alphabet")}) as odd:
        found = user(tmp_path, f"team={odd.url}", f"own={house.url}").search("alpha")
        assert [(match.name, match.indexes) for match in found.matches] == [
            ("alpha", ("team", "own")),
            ("alphabet", ("team",)),
        ]


# While the list is not there


def test_before_the_list_is_there_the_very_name_is_found_and_what_is_in_use(tmp_path: Path) -> None:
    pages = {"/simple/numpy/": files("numpy-2.0.tar.gz"), "/simple/": Reply(listing(*USUAL).body, slow=0.2)}
    with OddIndex(pages) as odd:
        ana = user(tmp_path, f"corp={odd.url}")
        found = ana.search("numpy", wait=0, known={"numpydoc", "pandas"})
        assert [(match.name, match.indexes) for match in found.matches] == [("numpy", ("corp",)), ("numpydoc", ())]
        assert (found.complete, found.loading, found.unreachable) == (False, ("corp",), ())
        assert "still on their way" in found.notes[0]
        typo = ana.search("nmupy", wait=0, known={"numpy"})
        assert [(match.name, match.how) for match in typo.matches] == [("numpy", "similar")]


def test_the_list_comes_in_the_background(tmp_path: Path) -> None:
    async def until_complete(catalog: Catalog) -> Search:
        while True:
            found = await catalog.search("nmupy")
            if found.complete:
                return found
            await asyncio.sleep(0.05)

    with usual() as odd:
        ana = user(tmp_path, odd.url)
        found = asyncio.run(asyncio.wait_for(until_complete(ana.catalog), 20))
        assert [match.name for match in found.matches] == ["numpy"]
        assert odd.paths().count("/simple/") == 1


def test_an_index_without_a_list_answers_for_whole_names(tmp_path: Path) -> None:
    for status in (404, 403, 500):
        with OddIndex({"/simple/six/": files("six-1.0.tar.gz"), "/simple/": Reply(status=status)}) as odd:
            ana = user(tmp_path / str(status), f"mirror={odd.url}")
            found = ana.search("six")
            assert [match.name for match in found.matches] == ["six"]
            assert (found.complete, found.loading, found.unreachable) == (True, (), ())
            assert "whole names alone" in found.notes[0]
            assert ana.search("si").matches == ()


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>Sign in <a href='/login'>here</a></html>", b'{"projects": []}'])
@pytest.mark.parametrize("kind", [JSON, "text/html", "image/png"])
def test_a_list_that_is_none_is_none(tmp_path: Path, body: bytes, kind: str) -> None:
    with OddIndex({"/simple/": Reply(body, content_type=kind)}) as odd:
        found = user(tmp_path, odd.url).search("here")
        assert found.matches == ()
        assert "no list" in found.notes[0]


def test_a_silent_index_does_not_keep_the_others_from_answering(house: Wheelhouse, tmp_path: Path) -> None:
    with HttpIndex(house) as silent, usual() as odd:
        silent.hang = True
        ana = user(tmp_path, f"silent={silent.url}", f"corp={odd.url}")
        ana.seconds = 0.5
        started = time.monotonic()
        found = ana.search("nump", wait=5)
        assert time.monotonic() - started < 4
        assert [match.name for match in found.matches] == ["numpy", "numpydoc"]
        assert (found.complete, found.loading, found.unreachable) == (False, (), ("silent",))
        assert found.notes == ("The package index silent did not answer in 0.5 seconds.",)


def test_a_silent_index_is_asked_once_while_somebody_types(house: Wheelhouse, tmp_path: Path) -> None:
    async def typed(catalog: Catalog) -> None:
        for text in ("n", "nu", "num", "nump"):
            await catalog.search(text)

    with HttpIndex(house) as silent, usual() as odd:
        silent.hang = True
        ana = user(tmp_path, f"silent={silent.url}", odd.url)
        ana.seconds = 0.3
        asyncio.run(typed(ana.catalog))
        assert len(silent.requests) == 2


def test_where_nobody_answers_and_nothing_is_known_there_is_a_sentence(tmp_path: Path) -> None:
    with OddIndex() as odd:
        gone = odd.url
    ana = user(tmp_path, f"corp={gone}", f"other={gone}x/")
    with pytest.raises(IndexUnreachable, match=r"corp could not be reached: .*\. And 1 more"):
        ana.search("numpy")
    with pytest.raises(IndexUnreachable, match="No index that answers has 'numpy'"):
        ana.package("numpy")


def test_where_there_is_no_index_at_all_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(IndexUnreachable, match="UV_NO_INDEX"):
        User(tmp_path, {"UV_NO_INDEX": "1"}).search("numpy")


# What is kept


def test_what_was_fetched_serves_the_next_program_without_a_question(tmp_path: Path) -> None:
    with usual(numpy=files("numpy-2.0.tar.gz")) as odd:
        ana = user(tmp_path, odd.url)
        ana.search("numpy")
        ana.package("numpy")
        odd.asked.clear()
        assert ana.names("nmupy") == ["numpy"]
        assert ana.package("numpy").newest == "2.0"
        assert odd.paths() == []


def test_old_lists_and_pages_are_compared_and_not_sent_again(tmp_path: Path) -> None:
    page = Reply(files("numpy-2.0.tar.gz").body, etag='"page"')
    with OddIndex({"/simple/": listing(*USUAL, etag='"list"'), "/simple/numpy/": page}) as odd:
        ana = user(tmp_path, odd.url)
        ana.search("numpy")
        ana.package("numpy")
        ana.age(2 * 24 * 3600)
        odd.asked.clear()
        before = ana.search("nmupy")
        assert ana.package("numpy").newest == "2.0"
        assert [headers.get("if-none-match") for _, headers in odd.asked] == ['"list"', '"page"']
        assert before.notes == ()
        odd.asked.clear()
        ana.search("nmupy")
        ana.package("numpy")
        assert odd.paths() == []


def test_an_old_list_that_has_changed_is_replaced(tmp_path: Path) -> None:
    with OddIndex({"/simple/": listing("one", etag='"1"')}) as odd:
        ana = user(tmp_path, odd.url)
        assert ana.names("one") == ["one"]
        odd.pages["/simple/"] = listing("one", "one-more", etag='"2"')
        assert ana.names("one") == ["one"]
        ana.age(2 * 24 * 3600)
        assert ana.names("one") == ["one", "one-more"]


@pytest.mark.parametrize("how", ["gone", "offline", "failing"])
def test_without_the_index_what_is_kept_answers_and_says_of_when_it_is(tmp_path: Path, how: str) -> None:
    with usual(numpy=files("numpy-2.0.tar.gz")) as odd:
        ana = user(tmp_path, f"corp={odd.url}")
        ana.search("numpy")
        ana.package("numpy")
        ana.age(3 * 24 * 3600)
        if how == "gone":
            odd.close()
        elif how == "offline":
            ana.environ = {**ana.environ, "UV_OFFLINE": "1"}
        else:
            odd.pages = {path: Reply(status=503) for path in [*odd.pages, "/simple/pandas/"]}
        found = ana.search("nmupy")
        assert [match.name for match in found.matches] == ["numpy"]
        assert found.complete
        assert found.unreachable == (() if how == "offline" else ("corp",))
        assert "The names of corp are as of" in found.notes[0]
        assert found.as_of is not None
        told = ana.package("numpy")
        assert told.newest == "2.0"
        assert "as of" in told.notes[0]
        with pytest.raises(IndexUnreachable):
            ana.package("pandas")


def test_offline_nothing_is_asked(tmp_path: Path) -> None:
    with usual() as odd:
        with pytest.raises(IndexUnreachable, match="UV_OFFLINE"):
            user(tmp_path, odd.url, UV_OFFLINE="1").search("numpy")
        assert odd.asked == []


def test_offline_folders_are_searched(house: Wheelhouse, tmp_path: Path) -> None:
    assert user(tmp_path, house.url, UV_OFFLINE="1").names("alhpa") == ["alpha"]


@pytest.mark.parametrize("damage", [b"", b"SQLite format 3\0" + b"x" * 5000, b"not a database"])
def test_a_damaged_list_is_fetched_anew(tmp_path: Path, damage: bytes) -> None:
    with usual() as odd:
        ana = user(tmp_path, odd.url)
        ana.search("numpy")
        (path,) = [path for path in ana.kept() if path.suffix == ".sqlite"]
        path.write_bytes(damage)
        ana.search("numpy")
        assert ana.names("nmupy") == ["numpy"]


def test_damaged_pages_are_fetched_anew(tmp_path: Path) -> None:
    for damage in (b"", b"\0\n", b"[]\n{}", b'{"state": 5}\n', b"x" * 3000):
        with usual(numpy=files("numpy-2.0.tar.gz")) as odd:
            ana = user(tmp_path, odd.url)
            ana.package("numpy")
            for path in ana.kept():
                path.write_bytes(damage)
            assert ana.package("numpy").newest == "2.0"


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "catalog").write_text("in the way")
    with usual(numpy=files("numpy-2.0.tar.gz")) as odd:
        ana = user(tmp_path, odd.url)
        assert ana.package("numpy").newest == "2.0"
        assert ana.names("numpy") == ["numpy"]


def test_what_is_kept_is_this_users_alone_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    with usual(numpy=files("numpy-2.0.tar.gz")) as odd:
        ana = user(tmp_path, odd.url)
        ana.search("numpy")
        ana.package("numpy")
    assert (tmp_path / "catalog").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in ana.kept() if path.name.endswith(".part")] == []


def test_no_secret_is_in_an_answer_an_error_or_the_cache(house: Wheelhouse, tmp_path: Path) -> None:
    texts: list[object] = []
    with HttpIndex(house, username="ana", password=SECRET) as private:
        private_url = private.url_with_credentials
        ana = user(tmp_path, private_url)
        texts += [ana.search("alpha"), ana.package("alpha"), ana.kept()]
        private.password = "another"
        with pytest.raises(IndexUnreachable) as refused:
            User(tmp_path / "new", ana.environ).search("alpha")
        texts += [refused.value.message, refused.value.hint]
    with pytest.raises(IndexUnreachable) as gone:
        User(tmp_path / "new", ana.environ).search("alpha")
    texts += [gone.value.message, gone.value.hint]
    texts += [path.read_bytes() for path in ana.kept()]
    assert SECRET not in repr(texts)


# Versions


def test_versions_stand_newest_first_with_all_that_the_index_tells(house: Wheelhouse, tmp_path: Path) -> None:
    with HttpIndex(house) as http:
        told = user(tmp_path, f"corp={http.url}").package("Alpha")
        assert (told.name, told.summary, told.newest, told.python) == ("alpha", "The alpha of the tests", "2.0", PYTHON)
        assert [release.version for release in told.releases] == ["2.1b1", "2.0", "1.10", "1.9", "1.1", "1.0"]
        first = told.releases[0]
        assert (first.prerelease, first.uploaded, first.fits, first.index) == (
            True,
            "2024-06-01T00:00:00Z",
            "wheel",
            "corp",
        )
        beta = user(tmp_path, http.url).package("beta")
        assert (beta.releases[0].version, beta.releases[0].yanked, beta.releases[0].yanked_reason) == (
            "3.0",
            True,
            "broken",
        )
        assert beta.newest == "2.0"
        assert user(tmp_path, http.url).package("onlypre").newest == "1.0a1"


@pytest.mark.parametrize(
    ("name", "fits", "newest"), [("fromsource", "source", "1.0"), ("wintag", "no", None), ("newpy", "no", None)]
)
def test_what_does_not_fit_here_is_told_apart(
    house: Wheelhouse, tmp_path: Path, name: str, fits: str, newest: str | None
) -> None:
    told = user(tmp_path, house.url).package(name)
    assert ([release.fits for release in told.releases], told.newest) == ([fits], newest)


def test_each_python_has_its_own_answer(tmp_path: Path) -> None:
    page = files("six-1.0-py312-none-any.whl", "six-0.9-py3-none-any.whl", **{"requires-python": ">=3.11"})
    with OddIndex({"/simple/six/": page}) as odd:
        ana = user(tmp_path, odd.url)
        assert ana.package("six", "3.12").newest == "1.0"
        assert ana.package("six", "3.11").newest == "0.9"
        assert ana.package("six", "3.11").releases[0].requires_python == ">=3.11"


def test_a_wheel_of_an_older_version_goes_before_a_build_of_a_newer_one(tmp_path: Path) -> None:
    with OddIndex({"/simple/six/": files("six-2.0.tar.gz", "six-1.0-py3-none-any.whl", "six-0.1.tar.gz")}) as odd:
        told = user(tmp_path, odd.url).package("six")
        assert [(release.version, release.fits) for release in told.releases] == [
            ("2.0", "source"),
            ("1.0", "wheel"),
            ("0.1", "source"),
        ]
        assert told.newest == "1.0"


def test_of_two_indexes_the_first_one_that_has_it_counts_as_for_uv(house: Wheelhouse, tmp_path: Path) -> None:
    with OddIndex({"/simple/alpha/": files("alpha-99.0-py3-none-any.whl")}) as odd:
        urls = f"team={odd.url}", house.url
        assert [release.version for release in user(tmp_path, *urls).package("alpha").releases] == ["99.0"]
        both = user(tmp_path, *urls, UV_INDEX_STRATEGY="unsafe-best-match").package("alpha")
        assert [release.index for release in both.releases][:2] == ["team", str(house.root / "simple")]
        assert user(tmp_path, *urls).package("beta").newest == "2.0"


def test_links_are_taken_besides_an_index(house: Wheelhouse, tmp_path: Path) -> None:
    with OddIndex({"/simple/alpha/": files("alpha-99.0-py3-none-any.whl")}) as odd:
        told = user(tmp_path, odd.url, UV_FIND_LINKS=str(house.find_links)).package("alpha")
        assert [release.version for release in told.releases][:3] == ["99.0", "2.1b1", "2.0"]


def test_a_page_of_links_on_the_web_is_one(house: Wheelhouse, tmp_path: Path) -> None:
    page = Reply(b'<a href="six-1.0-py3-none-any.whl">x</a><a href="other-2.0.tar.gz">y</a>', content_type="text/html")
    with OddIndex({"/links.html": page}) as odd:
        ana = User(tmp_path, {"UV_NO_INDEX": "1", "UV_FIND_LINKS": f"http://{odd.host}/links.html"})
        assert ana.package("six").newest == "1.0"
        assert ana.names("othr") == ["other"]
        assert odd.paths() == ["/links.html"]


def test_a_package_that_nobody_has_is_not_found_and_a_close_name_is_told(tmp_path: Path) -> None:
    with usual() as odd:
        ana = user(tmp_path, odd.url)
        ana.search("x")
        with pytest.raises(NotFound) as caught:
            ana.package("nmupy")
        assert caught.value.hint == "Did you mean 'numpy'?"


def test_a_package_is_told_though_an_index_before_is_silent(house: Wheelhouse, tmp_path: Path) -> None:
    with HttpIndex(house) as silent:
        silent.hang = True
        ana = user(tmp_path, f"silent={silent.url}", house.url)
        ana.seconds = 0.3
        told = ana.package("beta")
        assert (told.newest, told.unreachable) == ("2.0", ("silent",))
        assert "silent did not answer" in told.notes[0]


@pytest.mark.parametrize(
    ("metadata", "summary"),
    [
        (b"Name: six\nSummary: Two and three\n", "Two and three"),
        (b"Name: six\n", None),
        (b"", None),
        (b"Summary: \x1b]0;evil\x07\x1b[31mred\n", "red"),
    ],
)
def test_the_summary_comes_from_the_metadata_beside_the_wheel(
    tmp_path: Path, metadata: bytes, summary: str | None
) -> None:
    name = "six-1.0-py3-none-any.whl"
    with OddIndex({"/simple/six/": files(name, **{"core-metadata": True})}) as odd:
        odd.pages[f"/files/{name}.metadata"] = Reply(metadata, content_type="text/plain")
        ana = user(tmp_path, odd.url)
        assert ana.package("six").summary == summary
        assert ana.package("six").summary == summary
        assert odd.paths() == ["/simple/six/", f"/files/{name}.metadata"]


def test_metadata_that_is_not_what_the_index_promised_is_no_summary(tmp_path: Path) -> None:
    name = "six-1.0-py3-none-any.whl"
    with OddIndex({"/simple/six/": files(name, **{"core-metadata": {"sha256": "0" * 64}})}) as odd:
        odd.pages[f"/files/{name}.metadata"] = Reply(b"Summary: other\n")
        assert user(tmp_path, odd.url).package("six").summary is None


def test_a_whole_wheel_is_never_fetched(tmp_path: Path) -> None:
    with OddIndex({"/simple/six/": files("six-1.0-py3-none-any.whl")}) as odd:
        told = user(tmp_path, odd.url).package("six")
        assert (told.newest, told.summary, odd.paths()) == ("1.0", None, ["/simple/six/"])


def test_the_summary_of_a_folder_comes_from_the_wheel_itself(house: Wheelhouse, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    name = "alpha-2.0-py3-none-any.whl"
    (links / name).write_bytes((house.find_links / name).read_bytes())
    (links / "beta-1.0-py3-none-any.whl").write_bytes(b"PK no zip")
    ana = User(tmp_path, {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(links)})
    assert ana.package("alpha").summary == "The alpha of the tests"
    assert (ana.package("beta").newest, ana.package("beta").summary) == ("1.0", None)


def test_files_of_others_and_odd_files_are_no_versions(tmp_path: Path) -> None:
    odd_ones = ["six-1.0.exe", "other-2.0.tar.gz", "six-x.tar.gz", "six.whl", f"six-{'9' * 5000}.tar.gz", "six-1-2.egg"]
    with OddIndex({"/simple/six/": files(*odd_ones, "six-1.0.zip", "SIX-1.1-py2.py3-none-any.whl")}) as odd:
        told = user(tmp_path, odd.url).package("six")
        assert [release.version for release in told.releases] == ["1.1", "1.0"]


def test_a_version_that_is_withdrawn_in_part_stands(tmp_path: Path) -> None:
    entries = [
        {"filename": "six-1.0-py3-none-any.whl", "url": "a", "yanked": "bad build"},
        {"filename": "six-1.0.tar.gz", "url": "b"},
    ]
    with OddIndex({"/simple/six/": Reply(json.dumps({"files": entries}).encode())}) as odd:
        (release,) = user(tmp_path, odd.url).package("six").releases
        assert (release.yanked, release.fits) == (False, "source")


# Many names


def _many(count: int) -> list[str]:
    parts = ["py", "data", "flask", "learn", "torch", "auto", "web", "api", "client", "tools", "utils", "x", "geo"]
    return [f"{parts[i % 13]}-{parts[i // 13 % 13]}{'-' if i % 2 else ''}{i:x}" for i in range(count)] + USUAL


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> NameList:
    path = tmp_path_factory.mktemp("names") / "names.sqlite"
    assert name_list.build(path, _many(200_000)) == 200_000 + len(USUAL)
    return NameList(path)


def test_among_200_000_names_a_question_takes_a_moment(many: NameList) -> None:
    started = time.monotonic()
    assert many.starting("scikit", 20) == ["scikit-image", "scikit-learn"]
    assert "scikit-learn" in many.containing("t-learn", 20)
    assert [hit.name for hit in many.similar("nmupy", 20)] == ["numpy"]
    assert many.among({"numpy", "pandas", "nmupy"}) == {"numpy", "pandas"}
    assert time.monotonic() - started < 10


@configured(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet="abcxyz-0189", min_size=1, max_size=12).map(lambda text: text.strip("-") or "a"))
def test_a_list_has_what_a_plain_search_would_find(tmp_path: Path, text: str) -> None:
    names = ["a", "ab", "abc", "a-b", "xabcx", "x-ab", "zz", "abd", "a0", "az", "a-0"]
    path = tmp_path / "few.sqlite"
    if not path.exists():
        name_list.build(path, [*names, *names])
    few = NameList(path)
    assert sorted(few.starting(text, 99)) == sorted(name for name in names if name.startswith(text) and name != text)
    assert sorted(few.containing(text, 99)) == sorted(name for name in names if text in name[1:] and text != name[:1])
    assert few.among({text}) == {text} & {*names}


def test_a_list_of_another_format_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "names.sqlite"
    name_list.build(path, ["six"])
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(sqlite3.DatabaseError):
        NameList(path).among({"six"})


def test_while_100_000_names_come_the_event_loop_goes_on(tmp_path: Path) -> None:
    async def lags_while(work: Callable[[], Awaitable[_Answer]]) -> tuple[float, _Answer]:
        longest = 0.0

        async def beat() -> None:
            nonlocal longest
            while True:
                started = time.perf_counter()
                await asyncio.sleep(0.002)
                longest = max(longest, time.perf_counter() - started - 0.002)

        task = asyncio.create_task(beat())
        answer = await work()
        task.cancel()
        return longest, answer

    async def searched(catalog: Catalog) -> Search:
        while True:
            found = await catalog.search("nmupy")
            if found.complete:
                return found
            await asyncio.sleep(0.01)

    async def idle() -> None:
        await asyncio.sleep(2)

    with OddIndex({"/simple/": listing(*_many(100_000))}) as odd:
        assert len(odd.pages["/simple/"].body) > 2 << 20
        ana = user(tmp_path, odd.url)
        # What a machine that is busy with other things does to a loop with nothing to do is not ours.
        noise, _ = asyncio.run(lags_while(idle))
        lag, found = asyncio.run(lags_while(lambda: searched(ana.catalog)))
    assert [match.name for match in found.matches] == ["numpy"]
    assert lag < 0.05 + 4 * noise


def test_releases_are_sorted_as_versions_are(house: Wheelhouse, tmp_path: Path) -> None:
    told = user(tmp_path, house.url).package("alpha")
    versions = [Version(release.version) for release in told.releases]
    assert versions == sorted(versions, reverse=True)
