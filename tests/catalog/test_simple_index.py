"""Which indexes there are, what they are asked, and what is made of their answers, however odd."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st
from odd_index import JSON, OddIndex, Reply
from uv import find_uv_bin
from wheelhouse import HttpIndex, Wheelhouse, standard

from envpanel.catalog import simple_index
from envpanel.catalog.index_pages import Answer, File, files_of, names_of, plain, summary_of
from envpanel.catalog.indexes import Indexes, PackageIndex
from envpanel.errors import EnvPanelError, IndexUnreachable, InvalidSettings
from envpanel.settings import Index, Settings

SECRET = "s3cret-canary"
MIB = 1 << 20


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    return standard(tmp_path_factory.mktemp("index"))


def configuration(environ: Mapping[str, str], *indexes: Index) -> Indexes:
    kept = {"PATH": os.environ["PATH"], **environ}
    return Indexes(uv=find_uv_bin(), environ=kept, settings=Settings(indexes=indexes))


def all_of(environ: Mapping[str, str], *indexes: Index) -> list[PackageIndex]:
    return list(asyncio.run(configuration(environ, *indexes).all()))


def ask(index: PackageIndex, url: str | None = None, **more: Any) -> Answer:
    more = {"environ": {"NETRC": os.devnull}, "seconds": 5.0, "most": MIB, **more}
    return asyncio.run(simple_index.ask(index, url or simple_index.root_url(index), **more))


def files(index: PackageIndex, name: str, **more: Any) -> dict[str, File]:
    answer = ask(index, simple_index.project_url(index, name), **more)
    return {file.name: file for file in files_of(answer)}


def page(content: object, url: str = "http://index.test/simple/six/") -> list[File]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return files_of(Answer(state="found", url=url, content_type=JSON, body=body))


def html(text: str, url: str = "http://index.test/simple/six/") -> list[File]:
    return files_of(Answer(state="found", url=url, content_type="text/html", body=text.encode()))


# Which indexes there are


def test_the_indexes_are_those_of_uv_in_its_order(tmp_path: Path) -> None:
    environ = {
        "UV_INDEX": f"corp=https://ana:{SECRET}@corp.test/simple https://other.test/x",
        "UV_EXTRA_INDEX_URL": "https://extra.test/simple",
        "UV_DEFAULT_INDEX": "https://default.test/simple",
        "UV_INDEX_URL": "https://not-this-one.test/simple",
        "UV_FIND_LINKS": f"{tmp_path},https://links.test/page.html",
    }
    (tmp_path / "nothing.in").touch()
    argv = [find_uv_bin(), "pip", "compile", "nothing.in", "--no-header", "--offline", "--no-config", "--quiet"]
    argv += ["--emit-index-url", "--emit-find-links", "--python", sys.executable]
    said = subprocess.run(argv, cwd=tmp_path, env={**environ, "PATH": os.environ["PATH"]}, capture_output=True)
    lines = [line.split(" ", 1) for line in said.stdout.decode().splitlines() if line.startswith("--")]
    # uv names the default one first, and asks it last.
    extra = [re.sub(r"//.*@", "//", url) for option, url in lines if option == "--extra-index-url"]
    default = [url for option, url in lines if option == "--index-url"]
    links = [url for option, url in lines if option == "--find-links"]
    found = all_of(environ)
    assert [index.url for index in found if index.kind == "index"] == [*extra, *default]
    assert [index.url for index in found if index.kind == "links"] == [tmp_path.as_uri(), links[1]]
    assert [index.name for index in found][:4] == ["corp", "other.test", "extra.test", "default.test"]


def test_settings_come_behind_what_the_variables_say() -> None:
    settings = (
        Index(name="team", url="https://team.test/s"),
        Index(name="own", url="https://own.test/s", default=True),
    )
    found = all_of({"UV_INDEX": "https://mine.test/s"}, *settings)
    assert [index.name for index in found] == ["mine.test", "team", "own"]
    found = all_of({"UV_INDEX_URL": "https://mine.test/s"}, *settings)
    assert [index.name for index in found] == ["team", "mine.test"]


def test_where_nobody_names_an_index_it_is_the_one_that_uv_takes() -> None:
    (index,) = all_of({})
    said = subprocess.run([find_uv_bin(), "pip", "compile", "--help"], capture_output=True, text=True).stdout
    assert f"<{index.url.rstrip('/')}>" in re.sub(r"\s+", " ", said)
    assert index.name == urlsplit(index.url).hostname


def test_without_indexes_there_are_the_links_alone(tmp_path: Path) -> None:
    found = all_of({"UV_NO_INDEX": "1", "UV_INDEX": "https://a.test/s", "UV_FIND_LINKS": str(tmp_path)})
    assert [(index.kind, index.name) for index in found] == [("links", str(tmp_path))]
    assert all_of({"UV_NO_INDEX": "true"}) == []


@pytest.mark.parametrize(
    ("value", "is_meant"), [("1", True), ("true", True), ("YES", True), ("0", False), ("false", False), ("", False)]
)
def test_offline_is_said_as_uv_reads_it(value: str, is_meant: bool) -> None:
    assert configuration({"UV_OFFLINE": value}).offline is is_meant


def test_two_of_one_name_are_told_apart_and_one_address_is_asked_once() -> None:
    found = all_of(
        {"UV_INDEX": "https://a.test/one https://a.test/two https://a.test/one", "UV_INDEX_URL": "http://d.t"}
    )
    assert [index.name for index in found] == ["a.test", "a.test (2)", "d.t"]


@pytest.mark.parametrize(
    ("environ", "login"),
    [
        ({"UV_INDEX": f"https://ana:{SECRET}%40x@a.test/s"}, f"ana:{SECRET}@x"),
        ({"UV_INDEX": f"https://{SECRET}@a.test/s"}, f"{SECRET}:"),
        (
            {
                "UV_INDEX": "my-corp=https://a.test/s",
                "UV_INDEX_MY_CORP_USERNAME": "ana",
                "UV_INDEX_MY_CORP_PASSWORD": "p",
            },
            "ana:p",
        ),
        ({"UV_INDEX": "corp=https://u:p@a.test/s", "UV_INDEX_CORP_PASSWORD": SECRET}, f":{SECRET}"),
        ({"UV_INDEX": "https://a.test/s", "UV_INDEX__PASSWORD": SECRET}, None),
    ],
)
def test_a_login_is_in_the_variables_or_in_the_address_and_is_never_shown(
    environ: dict[str, str], login: str | None
) -> None:
    index = all_of({**environ, "UV_DEFAULT_INDEX": "https://d.test"})[0]
    assert index.login == login
    assert SECRET not in f"{index!r} {index.name} {index.url} {index.key}"


@pytest.mark.parametrize(
    "address", ["https://[::1/s", "https://a.test:port/s", "ftp://a.test/s", "wheels", "https:///s"]
)
def test_an_address_that_cannot_be_meant_is_not_repeated(address: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        all_of({"UV_INDEX": f"{address}/{SECRET}", "UV_DEFAULT_INDEX": "https://d.test"})
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"
    assert "UV_INDEX" in caught.value.message


def test_of_an_address_without_a_name_the_host_alone_is_shown() -> None:
    index = all_of({"UV_INDEX": f"https://a.test:8443/{SECRET}/simple?token={SECRET}", "UV_INDEX_URL": "http://d.t"})[0]
    assert index.name == "a.test:8443"


# What they are asked


def test_json_html_and_folder_list_the_same_files(house: Wheelhouse) -> None:
    with HttpIndex(house) as http, OddIndex() as plain_html:
        for name in ("alpha", "beta", "fromsource"):
            body = (house.root / "simple" / name / "index.html").read_bytes()
            plain_html.pages[f"/simple/{name}/"] = Reply(body, content_type="text/html; charset=UTF-8")
        of_json = PackageIndex(name="json", url=http.url)
        of_html = PackageIndex(name="html", url=plain_html.url.rstrip("/"))
        of_folder = PackageIndex(name="folder", url=house.url.rstrip("/"))
        of_links = PackageIndex(name="links", url=house.find_links.as_uri(), kind="links")
        for name in ("alpha", "beta", "fromsource"):
            listed = [files(index, name) for index in (of_json, of_html, of_folder)]
            assert listed[0].keys() == listed[1].keys() == listed[2].keys()
            for key in listed[0]:
                described = {(each[key].yanked, each[key].has_metadata, each[key].metadata_sha256) for each in listed}
                assert len(described) == 1
            everything = {file.name for file in files_of(ask(of_links))}
            assert listed[0].keys() <= everything
        beta = files(of_json, "beta")
        assert beta["beta-3.0-py3-none-any.whl"].yanked == "broken"
        assert f"{beta['beta-2.0-py3-none-any.whl'].uploaded}" == "2024-02-01 00:00:00+00:00"
        assert (
            beta["beta-2.0-py3-none-any.whl"].url
            == f"http://{urlsplit(http.url).netloc}/files/beta-2.0-py3-none-any.whl"
        )
    assert files(of_folder, "beta")["beta-2.0-py3-none-any.whl"].url.startswith(house.find_links.as_uri())


def test_names_come_as_the_index_is_asked_for_them(house: Wheelhouse) -> None:
    with HttpIndex(house) as http:
        files(PackageIndex(name="json", url=http.url), "Dashed_Name")
        assert http.requests == ["/simple/dashed-name/"]


def test_what_is_not_there_is_absent(house: Wheelhouse, tmp_path: Path) -> None:
    with HttpIndex(house) as http:
        for index in (PackageIndex(name="a", url=http.url), PackageIndex(name="b", url=house.url)):
            assert ask(index, simple_index.project_url(index, "no-such")).state == "absent"


def test_a_folder_without_a_page_has_the_names_of_its_folders(tmp_path: Path) -> None:
    (tmp_path / "six").mkdir()
    (tmp_path / "Rapid_Fuzz").mkdir()
    answer = ask(PackageIndex(name="folder", url=tmp_path.as_uri()), into=tmp_path / "list")
    assert sorted(names_of(tmp_path / "list", answer.content_type)) == ["rapid-fuzz", "six"]


def test_a_folder_that_is_not_there_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(IndexUnreachable, match="no such folder"):
        ask(PackageIndex(name="folder", url=(tmp_path / "no").as_uri()))


def test_a_pipe_in_a_folder_is_no_page(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "index.html")
    assert ask(PackageIndex(name="folder", url=tmp_path.as_uri())).content_type == JSON


def test_a_page_that_is_known_is_not_sent_again(house: Wheelhouse) -> None:
    with OddIndex({"/simple/": Reply(b'{"projects": []}', etag='"one"')}) as odd:
        index = PackageIndex(name="odd", url=odd.url)
        first = ask(index)
        assert (first.state, first.etag) == ("found", '"one"')
        assert ask(index, etag=first.etag).state == "unchanged"
        odd.pages["/simple/"] = Reply(b'{"projects": [ ]}', etag='"two"')
        assert ask(index, etag=first.etag).state == "found"
    folder = PackageIndex(name="folder", url=house.url)
    first = ask(folder)
    assert ask(folder, etag=first.etag).state == "unchanged"


def test_a_private_index_gets_its_login_and_nobody_else(house: Wheelhouse, tmp_path: Path) -> None:
    with HttpIndex(house, username="ana", password=SECRET) as private, OddIndex() as other:
        environ = {"UV_DEFAULT_INDEX": private.url_with_credentials}
        (index,) = all_of(environ)
        assert "alpha-1.0-py3-none-any.whl" in files(index, "alpha")
        named = {"UV_DEFAULT_INDEX": f"corp={private.url}", "UV_INDEX_CORP_USERNAME": "ana"}
        (index,) = all_of({**named, "UV_INDEX_CORP_PASSWORD": SECRET})
        assert "alpha-1.0-py3-none-any.whl" in files(index, "alpha")
        ask(index, f"http://{other.host}/elsewhere/")
        assert "authorization" not in other.asked[0][1]
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine 127.0.0.1 login ana password {SECRET}\n")
        netrc.chmod(0o600)
        (index,) = all_of({"UV_DEFAULT_INDEX": private.url})
        assert "alpha-1.0-py3-none-any.whl" in files(index, "alpha", environ={"NETRC": str(netrc)})
        with pytest.raises(IndexUnreachable, match="wants another login") as caught:
            files(index, "alpha")
        assert "UV_INDEX_<NAME>_USERNAME" in (caught.value.hint or "")


def test_a_redirect_keeps_the_login_within_the_index_and_loses_it_elsewhere() -> None:
    with OddIndex() as here, OddIndex({"/simple/six/": Reply(b'{"files": []}')}) as there:
        here.pages["/simple/six/"] = Reply(status=301, headers={"Location": "/simple/inner/"})
        here.pages["/simple/inner/"] = Reply(status=302, headers={"Location": f"{there.url}six/"})
        index = PackageIndex(name="odd", url=here.url, login=f"ana:{SECRET}")
        assert ask(index, f"{here.url}six/").url == f"{there.url}six/"
        assert [path for path, headers in here.asked if "authorization" in headers] == [
            "/simple/six/",
            "/simple/inner/",
        ]
        assert "authorization" not in there.asked[0][1]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/html,x", "/simple/"])
def test_a_redirect_leads_nowhere_but_to_the_web(target: str) -> None:
    with (
        OddIndex({"/simple/": Reply(status=302, headers={"Location": target})}) as odd,
        pytest.raises(IndexUnreachable),
    ):
        ask(PackageIndex(name="odd", url=odd.url))


def test_a_silent_index_is_given_up_in_time(house: Wheelhouse) -> None:
    with HttpIndex(house) as http:
        http.hang = True
        started = time.monotonic()
        with pytest.raises(IndexUnreachable, match="did not answer"):
            ask(PackageIndex(name="silent", url=http.url), seconds=0.3)
        assert time.monotonic() - started < 3


def test_a_dripping_index_is_given_up_in_time() -> None:
    with OddIndex({"/simple/": Reply(b" " * 10_000, slow=0.1)}) as odd:
        started = time.monotonic()
        with pytest.raises(IndexUnreachable, match="did not answer"):
            ask(PackageIndex(name="slow", url=odd.url), seconds=0.5)
        assert time.monotonic() - started < 3


def test_it_is_told_when_an_index_begins_to_answer() -> None:
    begun: list[float] = []

    async def asked(odd: OddIndex) -> None:
        index = PackageIndex(name="slow", url=odd.url)
        more: dict[str, Any] = {"environ": {}, "seconds": 5.0, "most": MIB}
        await simple_index.ask(index, odd.url, on_answer=lambda: begun.append(time.monotonic()), **more)

    with OddIndex({"/simple/": Reply(b"x" * 50, slow=0.1)}) as odd:
        asyncio.run(asked(odd))
    assert time.monotonic() - begun[0] > 0.2


def test_an_index_that_is_not_there_says_so_without_its_address() -> None:
    with OddIndex() as odd:
        url = odd.url
    with pytest.raises(IndexUnreachable) as caught:
        ask(PackageIndex(name="gone", url=f"{url}{SECRET}/"))
    assert "gone" in caught.value.message
    assert SECRET not in caught.value.message


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
def test_a_refusal_names_its_number_alone(status: int) -> None:
    pages = {"/simple/": Reply(b"<b>no</b>", status=status)}
    with OddIndex(pages) as odd, pytest.raises(IndexUnreachable, match=str(status)):
        ask(PackageIndex(name="odd", url=odd.url))


def test_what_is_too_long_is_not_read_to_its_end() -> None:
    bomb = gzip.compress(b"\0" * (64 * MIB))
    pages = {
        "/simple/": Reply(b"x" * (2 * MIB)),
        "/simple/bomb/": Reply(bomb, headers={"Content-Encoding": "gzip"}),
        "/simple/cut/": Reply(gzip.compress(b"x" * 9999)[:-12], headers={"Content-Encoding": "gzip"}),
        "/simple/wrong/": Reply(b"not gzip", headers={"Content-Encoding": "gzip"}),
    }
    with OddIndex(pages) as odd:
        index = PackageIndex(name="odd", url=odd.url)
        for path, said in {
            "": "longer than 1 MiB",
            "bomb/": "longer than 1 MiB",
            "cut/": "cut off",
            "wrong/": "odd",
        }.items():
            with pytest.raises(IndexUnreachable, match=said):
                ask(index, f"{odd.url}{path}")


def test_a_compressed_page_is_read() -> None:
    body = gzip.compress(b'{"files": [{"filename": "six-1.0.tar.gz", "url": "a"}]}')
    with OddIndex({"/simple/six/": Reply(body, headers={"Content-Encoding": "gzip"})}) as odd:
        assert [*files(PackageIndex(name="odd", url=odd.url), "six")] == ["six-1.0.tar.gz"]
        assert odd.asked[0][1]["accept-encoding"] == "gzip"


def test_a_header_that_could_not_be_sent_back_is_forgotten() -> None:
    with OddIndex({"/simple/": Reply(b"{}", headers={"ETag": "x" * 600, "Last-Modified": "\xe9t\xe9"})}) as odd:
        answer = ask(PackageIndex(name="odd", url=odd.url))
    assert (answer.etag, answer.modified) == ("", "")


def test_a_question_that_is_cancelled_is_ended(house: Wheelhouse) -> None:
    async def cancelled(http: HttpIndex) -> None:
        index = PackageIndex(name="silent", url=http.url)
        task = asyncio.create_task(simple_index.ask(index, http.url, environ={}, seconds=30, most=MIB))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with HttpIndex(house) as http:
        http.hang = True
        asyncio.run(cancelled(http))


# What is made of the answers

SIX = {"filename": "six-1.0-py3-none-any.whl", "url": "six-1.0-py3-none-any.whl"}


@pytest.mark.parametrize(
    "entry",
    [
        {**SIX, "requires-python": 3, "upload-time": "yesterday", "core-metadata": "yes"},
        {**SIX, "requires-python": "not a specifier", "upload-time": "9999-99-99", "core-metadata": {"sha256": 5}},
        {**SIX, "requires-python": "x" * 5000, "upload-time": {}, "core-metadata": {"sha256": "../../etc"}},
        {**SIX, "hashes": [], "size": "large", "unknown": {"deep": [[[]]]}},
    ],
)
def test_what_is_wrong_in_an_entry_is_left_out_and_the_file_is_there(entry: object) -> None:
    (file,) = page({"files": [entry]})
    assert file.url == "http://index.test/simple/six/six-1.0-py3-none-any.whl"
    assert (file.requires_python, file.uploaded, file.metadata_sha256) == (None, None, None)


@pytest.mark.parametrize(
    "entry", [None, 5, [], {}, {"filename": 5, "url": "x"}, {"filename": "x"}, {**SIX, "url": "http://[broken"}]
)
def test_an_entry_that_is_none_is_left_out_and_the_others_are_there(entry: object) -> None:
    assert [file.name for file in page({"files": [entry, SIX]})] == [SIX["filename"]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"files": {}}',
        b'{"files": [',
        b'{"files": []} trailing',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"meta": {"api-version": "2.0"}, "files": [{"filename": "a-1.tar.gz", "url": "a"}]}',
    ],
)
def test_what_is_no_page_lists_nothing(body: bytes) -> None:
    assert page(body) == []


@pytest.mark.parametrize(
    ("yanked", "reason"),
    [
        (False, None),
        (True, ""),
        ("", ""),
        ("broken", "broken"),
        ("a\x1b[31mred\x1b[0m\r\n\u202etext\0", "ared text"),
        (f"see https://ana:{SECRET}@x.test", "see https://****@x.test"),
        ("x" * 9999, "x" * 299 + "…"),
        (None, None),
        ({"why": 1}, ""),
    ],
)
def test_a_reason_is_one_line_of_text(yanked: object, reason: str | None) -> None:
    assert page({"files": [{**SIX, "yanked": yanked}]})[0].yanked == reason


def test_an_index_of_the_web_cannot_name_files_of_this_machine() -> None:
    assert page({"files": [{**SIX, "url": "file:///etc/passwd"}, {**SIX, "url": "data:,x"}]}) == []
    assert len(page({"files": [{**SIX, "url": "file:///w/six.whl"}]}, url="file:///w/index.html")) == 1


def test_html_is_read_with_its_attributes() -> None:
    first, second, third, fourth = html(
        '<!DOCTYPE html><head><base href="/files/"><meta name="pypi:repository-version" content="1.4"></head><body>'
        '<a href="six-1.0.tar.gz#sha256=00" data-requires-python="&gt;=3.8" data-yanked>six-1.0.tar.gz</a>'
        '<A HREF="a%20b/six-1.1.tar.gz" data-yanked="gone &amp; lost" data-core-metadata="true">x</A>'
        f'<a href="six-1.2.tar.gz" data-dist-info-metadata="sha256={"a" * 64}">x</a>'
        '<a data-core-metadata="md5=0">no address</a><a name="top">here</a>'
        '<a href="http://[broken">x</a><a href="six-1.3.tar.gz" data-core-metadata="false">x'
        "</a><p>text<a href='cut.tar.gz'>"
    )[:4]
    assert first.name == "six-1.0.tar.gz"
    assert first.url == "http://index.test/files/six-1.0.tar.gz"
    assert (first.requires_python, first.yanked, first.has_metadata) == (">=3.8", "", False)
    assert (second.name, second.yanked, second.has_metadata) == ("six-1.1.tar.gz", "gone & lost", True)
    assert (third.metadata_sha256, third.yanked) == ("a" * 64, None)
    assert {fourth.has_metadata, fourth.metadata_sha256} <= {True, False, None}


@pytest.mark.parametrize(
    "text",
    [
        "<a " * 300_000,
        "<!--" * 300_000,
        "<![CDATA[" * 100_000,
        "<script>" + "<a href='six-1.0.tar.gz'>x</a>" * 10_000,
        "<a href='" + "x" * (3 << 20),
        "&" * 500_000,
        '<meta name="pypi:repository-version" content="2.0"><a href="six-1.0.tar.gz">x</a>',
    ],
)
def test_html_that_is_meant_to_keep_a_reader_busy_does_not(text: str) -> None:
    started = time.monotonic()
    assert html(text) == []
    assert time.monotonic() - started < 20


@configured(max_examples=200)
@given(
    st.binary(max_size=300) | st.text(alphabet="<a>/ href='\"=#sixwhl-1.0&;!-[]{}:,\\", max_size=200).map(str.encode)
)
def test_no_answer_is_too_odd(body: bytes) -> None:
    for kind in (JSON, "text/html", ""):
        for file in files_of(Answer(state="found", url="http://index.test/simple/x/", content_type=kind, body=body)):
            assert file.url.startswith("http")


def test_the_list_of_names_has_names_alone(tmp_path: Path) -> None:
    wrong = ["", "-", "a b", "a/b", "../x", "x" * 300, "\x1b[31m", "na\u00efve", "a\n", "-six", "six.", "<b>", "\u202e"]
    entries: list[object] = [{"name": name} for name in [*wrong, "Six", "rapid_FUZZ", "a.b--c", "x"]]
    path = tmp_path / "list"
    path.write_text(json.dumps({"projects": [*entries, {"name": 5}, None, {}, "six"]}))
    assert [*names_of(path, JSON)] == ["six", "rapid-fuzz", "a-b-c", "x"]


def test_links_that_are_no_names_are_none(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(
        '<a href="/simple/six/">Six</a><a href="rapid-fuzz">rapid_fuzz</a><a href="/help">Help me</a>'
        '<a href="/">home</a><a href="../x/?q=1#f">x</a><a>nowhere</a><a href="/login">sign-in</a>'
    )
    assert [*names_of(path, "text/html")] == ["six", "rapid-fuzz", "x"]


@pytest.mark.parametrize("body", ["", "null", "[]", '{"projects": 5}', '{"projects": [', "<html>"])
def test_what_is_no_list_in_json_is_told(tmp_path: Path, body: str) -> None:
    path = tmp_path / "list"
    path.write_text(body)
    with pytest.raises(ValueError):
        list(names_of(path, JSON))


@pytest.mark.parametrize(
    ("metadata", "summary"),
    [
        (b"Metadata-Version: 2.1\nName: six\nSummary: Python 2 and 3\n\nSummary: not this", "Python 2 and 3"),
        (b"Name: six\r\nSummary: of two\r\n lines\r\n\r\n", "of two lines"),
        (b"Summary: \x1b[31mred\x1b[0m \xff \xe2\x80\xae\n", "red ?"),
        (b"Summary: once\nSummary: twice\n", None),
        (b"Summary: UNKNOWN\n", None),
        (b"Name: six\n", None),
        (b"", None),
        (b"\0" * 1000, None),
    ],
)
def test_a_summary_is_one_line_of_text(metadata: bytes, summary: str | None) -> None:
    found = summary_of(metadata)
    assert (found or "").replace("\ufffd", "?") == (summary or "")


@given(st.text(max_size=100))
def test_plain_texts_can_be_printed(text: str) -> None:
    assert plain(text, 50).isprintable()
    assert len(plain(text, 50)) <= 50


def test_errors_are_sentences() -> None:
    assert issubclass(IndexUnreachable, EnvPanelError)
    assert IndexUnreachable.code == "index-unreachable"
