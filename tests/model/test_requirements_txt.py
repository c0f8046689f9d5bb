"""requirements.txt: every line is either taken, and means what it says, or refused by its number."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from factories import names, pep440_versions
from hypothesis import HealthCheck, example, given
from hypothesis import settings as configured
from hypothesis import strategies as st
from packaging.requirements import Requirement

from envpanel.errors import EnvPanelError, InvalidInput, InvalidRequirement
from envpanel.model.requirements import normalise
from envpanel.model.requirements_txt import DEEPEST, LONGEST, MOST, RequirementsTxt, Source, checked, load, parse

SECRET = "s3cret-canary"
A, B = "a" * 64, "b" * 64


def reading(text: str | bytes, **files: str | bytes) -> RequirementsTxt:
    """What a file asks for, with others beside it, whose names have '_' for '.'."""

    def source(name: str, content: str | bytes) -> Source:
        return Source(name=name, data=content.encode() if isinstance(content, str) else content)

    def nested(path: str, beside: Source) -> Source:
        content = files.get(path.replace(".", "_"))
        if content is None:
            raise ValueError("does not exist")
        return source(path, content)

    return parse([source("requirements.txt", text)], nested)


def taken(text: str | bytes, **files: str | bytes) -> RequirementsTxt:
    found = reading(text, **files)
    assert found.problems == ()
    return found


def refused(text: str | bytes, **files: str | bytes) -> list[tuple[int, str]]:
    return [(problem.line, problem.message) for problem in reading(text, **files).problems]


# What is taken


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n\n  \t\n", []),
        ("# a comment\n  # another\n#", []),
        ("six", ["six"]),
        ("six # why\nRapid_Fuzz>=3#not-a-comment-but-no-version", None),
        ("  Six >= 1.0 , < 2  ", ["six<2,>=1.0"]),
        ("six>=1\r\npandas\rnumpy\n", ["six>=1", "pandas", "numpy"]),
        ("six\t>=1\t# tabs", ["six>=1"]),
        ("pandas[Perf,excel] (>=2)", ["pandas[excel,perf]>=2"]),
        ("six; python_version < '3.12'\nsix ; python_version>='3.12'", None),
        ("six>=1,\\\n  <2", ["six<2,>=1"]),
        ("six\\\n\\\n>=1", ["six>=1"]),
        ("six \\", ["six"]),
        ("six \\\n# a comment ends it\npandas", ["six", "pandas"]),
        ("# a comment is not continued \\\nsix", ["six"]),
        ("six>=1 # first\nsix >= 1", ["six>=1"]),
        ("six===1.0", ["six===1.0"]),
    ],
)
def test_lines_are_read_as_pip_reads_them(text: str, lines: list[str] | None) -> None:
    found = reading(text)
    if lines is not None:
        assert (list(found.requirements), found.problems) == (lines, ())


def test_the_same_name_under_two_markers_is_asked_for_twice() -> None:
    found = taken("six<1; python_version < '3.12'\nsix>1 ; python_version>='3.12'\nsix; os_name == 'nt'")
    assert len(found.requirements) == 3


@pytest.mark.parametrize(
    "data",
    [
        "six>=1 # é".encode(),
        b"\xef\xbb\xbfsix>=1\n",
        b"\xff\xfe" + "six>=1\r\n".encode("utf-16-le"),
        b"\xfe\xff" + "six>=1\r\n".encode("utf-16-be"),
    ],
)
def test_what_editors_write_is_text(data: bytes) -> None:
    assert taken(data).requirements == ("six>=1",)


def test_hashes_belong_to_a_name() -> None:
    text = f"Six==1 \\\n    --hash=sha256:{A} \\\n    --hash sha256:{B.upper()}\npandas==2 --hash=sha256:{A}\nnumpy"
    found = taken(text)
    assert found.requirements == ("six==1", "pandas==2", "numpy")
    assert found.hashes == {"six": frozenset({A, B}), "pandas": frozenset({A})}


def test_files_name_others_and_constraints() -> None:
    found = taken(
        "-r base.txt\n-c limits.txt\nflask",
        base_txt="six>=1\n--requirement=more.txt",
        more_txt="numpy\n--constraint 'limits.txt'",
        limits_txt=f"numpy<2 --hash=sha256:{A}\n-cother.txt\nunused==5",
        other_txt="six<9",
    )
    assert found.requirements == ("six>=1", "numpy", "flask")
    assert sorted(found.constraints) == ["numpy<2", "six<9", "unused==5"]
    assert found.hashes == {"numpy": frozenset({A})}


def test_a_file_that_is_named_twice_is_read_once() -> None:
    levels = {f"f{number}_txt": f"-r f{number + 1}.txt\n-r f{number + 1}.txt" for number in range(8)}
    assert taken("-r f0.txt\n-r f0.txt", **levels, f8_txt="six").requirements == ("six",)


def test_a_file_can_hold_requirements_and_constraints_at_once() -> None:
    found = taken("-r a.txt\n-c a.txt", a_txt="six<2")
    assert (found.requirements, found.constraints) == (("six<2",), ("six<2",))


# What is refused


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-e .", "edited while it is installed"),
        ("--editable git+https://host/x", "edited while it is installed"),
        ("git+https://host/x@main#egg=x", "packages of a repository"),
        ("hg+ssh://host/x", "packages of a repository"),
        ("x @ git+https://host/x", "packages of a repository"),
        ("https://host/x-1.0-py3-none-any.whl", "packages at an address"),
        ("x @ https://host/x.whl", "packages at an address"),
        ("x[y]@file:///x.whl", "packages at an address"),
        (".", "packages at a path"),
        ("./x", "packages at a path"),
        ("../x[extra]", "packages at a path"),
        ("/srv/x", "packages at a path"),
        ("~/x", "packages at a path"),
        ("sub/dir", "packages at a path"),
        ("sub\\dir", "packages at a path"),
        ("x-1.0-py3-none-any.whl", "packages at a path"),
        ("x.tar.gz ; os_name == 'nt'", "packages at a path"),
        ("x @ ./y", "packages at a path"),
        ("base.txt", "packages at a path"),
        ("-i https://host/simple", "the option -i is not supported"),
        ("--index-url=https://host/simple", "settings.yaml"),
        ("--extra-index-url https://host/simple", "settings.yaml"),
        ("-f wheels", "UV_FIND_LINKS"),
        ("--no-index", "UV_NO_INDEX"),
        ("--pre", "pre-release"),
        ("--no-binary :all:", "wheels"),
        ("--only-binary=:all:", "wheels"),
        ("--trusted-host host", "UV_INSECURE_HOST"),
        ("--require-hashes", "hashes are checked"),
        ("--use-feature=x", "not known here"),
        ("--req base.txt", "not known here"),
        ("-", "not known here"),
        ("--", "not known here"),
        ("six --global-option=x", "no option but --hash"),
        ("six --hash=md5:00", "--hash=sha256"),
        (f"six --hash=sha512:{A}{A}", "--hash=sha256"),
        (f"six --hash=sha256:{A}0", "--hash=sha256"),
        ("six --hash", "--hash=sha256"),
        ("six --hash=sha256:xyz", "--hash=sha256"),
        ("${PACKAGE}", "variables are not filled in"),
        ("six==${VERSION}", "variables are not filled in"),
        ("-r ${FILE}", "variables are not filled in"),
        ("six=1", "Did you mean"),
        ("six numpy", "not a package specification"),
        ("six>=", "not a package specification"),
        ("'six'", "not a package specification"),
        ("-r", "one file"),
        ("-r a.txt -r b.txt", "one file"),
        ("-r ''", "one file"),
        ("-r 'a.txt", "quotation mark"),
        ("-r https://host/r.txt", "a file at an address"),
        ("-r missing.txt", "'missing.txt' does not exist"),
        ("-c missing.txt", "'missing.txt' does not exist"),
        ("six\u00a0>=1", "cannot be seen"),
        ("six\u200b", "cannot be seen"),
        ("six\0", "cannot be seen"),
        ("six\u2028--index-url x", "ends the line for some programs"),
        ("# a comment\u2028evil", "ends the line for some programs"),
        ("# a comment\x0cevil", "ends the line for some programs"),
        ("six" + " " * 200_000 + ">=1", "longer than"),
    ],
)
def test_what_is_not_supported_is_named_with_its_line(line: str, said: str) -> None:
    ((number, message),) = refused(f"# first\nnumpy\n{line}\npandas")
    assert number == 3
    assert said in message


def test_lines_that_ask_for_a_package_in_two_ways_are_named() -> None:
    assert refused("six<2\n\nSix>=1") == [(3, "six is asked for as 'six<2' in requirements.txt line 1: write it once.")]
    assert "six<2" in refused("-r base.txt\nsix[x]<2", base_txt="\nsix<2")[0][1]
    assert "base.txt line 2" in refused("-r base.txt\nsix[x]<2", base_txt="\nsix<2")[0][1]
    assert "other hashes" in refused(f"six==1 --hash=sha256:{A}\nsix==1 --hash=sha256:{B}")[0][1]
    assert taken(f"six==1\nsix==1 --hash=sha256:{B}\nsix==1").hashes == {"six": frozenset({B})}
    assert "other hashes" in refused(f"six==1\nsix==1 --hash=sha256:{B}\nsix==1 --hash=sha256:{A}")[0][1]


@pytest.mark.parametrize("line", ["-r other.txt", "six[extra]<2", "-e .", "./path", "--pre"])
def test_constraints_ask_for_nothing(line: str) -> None:
    found = reading("-c limits.txt", limits_txt=f"numpy<2\n{line}", other_txt="six")
    assert [(problem.file, problem.line) for problem in found.problems] == [("limits.txt", 2)]
    assert found.requirements == ()


def test_circles_are_named() -> None:
    found = reading(
        "-r a.txt", a_txt="six\n-r b.txt", b_txt="-c a.txt\n-r requirements.txt", requirements_txt="-r a.txt"
    )
    assert [(problem.file, problem.line) for problem in found.problems] == [("b.txt", 1), ("b.txt", 2)]
    assert "leads back to a.txt" in found.problems[0].message
    assert refused("-r requirements.txt", requirements_txt="") == [
        (1, "it leads back to requirements.txt, which is being read already.")
    ]


def test_too_deep_is_too_deep() -> None:
    levels = {f"f{number}_txt": f"-r f{number + 1}.txt" for number in range(DEEPEST + 5)}
    found = reading("-r f0.txt", **levels)
    assert [(problem.file, problem.line) for problem in found.problems] == [(f"f{DEEPEST - 2}.txt", 1)]
    assert "deeper than 10" in found.problems[0].message


def test_too_long_is_too_long() -> None:
    assert refused(b"#" * (LONGEST + 1)) == [(1, "the file is longer than 1 MiB.")]
    assert refused(b"#" * LONGEST) == []
    many = "\n".join(f"a{number}" for number in range(MOST + 5))
    assert refused(many) == [(MOST + 1, f"there are more than {MOST} lines.")]


def test_what_is_not_utf8_is_named() -> None:
    assert refused(b"six\nnumpy\npand\xe9s\n") == [(3, "the file is not UTF-8.")]
    assert refused(b"\xff\xfes") == [(1, "the file is not UTF-8.")]


@pytest.mark.parametrize(
    "line",
    [
        f"--index-url https://ana:{SECRET}@host/simple",
        f"--extra-index-url={SECRET}",
        f"-i{SECRET}",
        f"--{SECRET.replace('-', '_')[:0]}password {SECRET}",
        f"x @ https://{SECRET}@host/x.whl",
        f"https://host/{SECRET}/x.whl?token={SECRET}",
        f"git+https://ana:{SECRET}@host/x",
        f"ana:{SECRET}@host/x",
        f"six --global-option={SECRET}",
        f"-r https://ana:{SECRET}@host/r.txt",
        f"--index-url https://${{USER}}:{SECRET}@host",
        f"--index-url https://ana:{SECRET}@host/\u2028x",
        f"six @ ssh://{SECRET}",
    ],
)
def test_secrets_of_a_line_are_not_told(line: str) -> None:
    found = reading(line)
    assert len(found.problems) == 1
    with pytest.raises(InvalidInput) as caught:
        checked(found)
    assert SECRET not in f"{caught.value.message} {caught.value.hint} {caught.value.details}"


def test_an_error_names_the_first_lines_and_counts_the_others() -> None:
    text = "\n".join(["six", *(f"./path-{number}" for number in range(8))])
    with pytest.raises(InvalidInput) as caught:
        checked(reading(text))
    assert caught.value.message.startswith("requirements.txt line 2 ('./path-0'): packages at a path")
    assert "requirements.txt line 6" in caught.value.message
    assert "line 7" not in caught.value.message
    assert caught.value.message.endswith("And 3 more.")
    listed = caught.value.details["problems"]
    assert isinstance(listed, list)
    assert [problem["line"] for problem in listed] == list(range(2, 10))


def test_what_is_typed_besides_must_not_contradict_the_file() -> None:
    found = taken("six<2\nnumpy")
    assert found.and_also(["Six <2", "pandas>=2"]) == ("six<2", "numpy", "pandas>=2")
    with pytest.raises(InvalidInput, match="six is asked for in two ways"):
        found.and_also(["six>=1"])
    with pytest.raises(InvalidRequirement):
        found.and_also(["./six"])


# Files


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "reqs").mkdir(parents=True)
    (tmp_path / "outside.txt").write_text(f"{SECRET}\n")
    return root


def test_files_are_named_from_where_they_stand(project: Path) -> None:
    (project / "requirements.txt").write_text("-r reqs/base.txt\n")
    (project / "reqs" / "base.txt").write_text("-c limits.txt\n-r ../common.txt\nsix\n")
    (project / "reqs" / "limits.txt").write_text("six<2\n")
    (project / "common.txt").write_text("numpy\n")
    found = load([project / "requirements.txt", project / "common.txt"], root=project)
    assert (found.requirements, found.constraints) == (("numpy", "six"), ("six<2",))


@pytest.mark.parametrize(
    "path", ["../outside.txt", "../../etc/passwd", "/etc/passwd", "link.txt", "linked/outside.txt"]
)
def test_a_file_does_not_lead_out_of_the_project(project: Path, path: str) -> None:
    (project / "link.txt").symlink_to(project.parent / "outside.txt")
    (project / "linked").symlink_to(project.parent)
    (project / "requirements.txt").write_text(f"six\n-r {path}\n")
    with pytest.raises(InvalidInput, match="outside of the project's folder") as caught:
        load([project / "requirements.txt"], root=project)
    assert SECRET not in str(caught.value.details)


def test_a_link_within_the_project_is_followed(project: Path) -> None:
    (project / "reqs" / "base.txt").write_text("six\n")
    (project / "link.txt").symlink_to(project / "reqs" / "base.txt")
    (project / "requirements.txt").write_text("-r link.txt\n-r reqs/base.txt")
    assert load([project / "requirements.txt"], root=project).requirements == ("six",)


def test_a_file_that_was_named_by_hand_may_be_anywhere_and_leads_into_the_project_only(project: Path) -> None:
    mine = project.parent / "mine.txt"
    mine.write_text("six\n")
    assert load([mine], root=project).requirements == ("six",)
    mine.write_text("-r outside.txt\n")
    with pytest.raises(InvalidInput, match="outside of the project's folder"):
        load([mine], root=project)


def test_what_is_no_file_gets_a_sentence(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(project / "pipe.txt")
    for name, said in {"missing.txt": "does not exist", "reqs": "is a folder", "pipe.txt": "is not a file"}.items():
        with pytest.raises(InvalidInput, match=re.escape(said)):
            load([project / name], root=project)
    (project / "requirements.txt").write_text("-r pipe.txt\n-r reqs\n-r " + "x" * 300)
    with pytest.raises(InvalidInput) as caught:
        load([project / "requirements.txt"], root=project)
    assert "'pipe.txt' is not a file" in caught.value.message
    assert "'reqs' is not a file" in caught.value.message or "'reqs' is a folder" in caught.value.message
    monkeypatch.chdir(project)
    Path("here.txt").write_text("six")
    assert load(["here.txt"], root=project).requirements == ("six",)


# Laws

_clauses = st.builds(
    "{}{}".format,
    st.sampled_from([">=", "<=", "<", ">", "==", "!="]),
    pep440_versions.filter(lambda version: "+" not in version),
)
_markers = st.sampled_from(["", "python_version < '3.12'", "sys_platform == 'win32' and os_name != 'x'"])
_specs = st.builds(
    lambda name, extras, clauses, marker: (
        name + (f"[{','.join(extras)}]" if extras else "") + ",".join(clauses) + (f" ; {marker}" if marker else "")
    ),
    st.sampled_from(["pandas", "Rapid_Fuzz", "zope.interface"]) | names,
    st.lists(st.sampled_from(["All", "s3_fs"]), max_size=2),
    st.lists(_clauses, max_size=2),
    _markers,
)
_ends = st.sampled_from(["", "  # why", " \\\n", " \\\n  ", "\t"])


@given(st.lists(st.tuples(_specs, _ends), max_size=6, unique_by=lambda pair: Requirement(pair[0]).name.lower()))
def test_what_packaging_can_read_comes_back_the_same(lines: list[tuple[str, str]]) -> None:
    text = "".join(f"  {spec}{end}\n\n" for spec, end in lines)
    found = reading(text)
    expected = [normalise(spec) for spec, _ in lines]
    if not found.problems:
        assert list(found.requirements) == list(dict.fromkeys(expected))
    else:
        # Names that differ in their dots alone.
        assert all("write it once" in problem.message for problem in found.problems)


FRAGMENTS = [
    *(
        "six",
        "Pandas",
        "==",
        ">=",
        "1.0",
        "=",
        "~=",
        "*",
        "[",
        "]",
        "(",
        ",",
        ";",
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\\\n",
    ),
    *("@", "://", "https", "git+", "/", "..", "~", "-", "--", "-r ", "-c ", "-e ", "--index-url", "--hash=sha256:", A),
    *(
        "#",
        " #",
        "'",
        '"',
        "\\",
        "\r",
        "\0",
        "\u2028",
        "\x85",
        "\x0c",
        "\u202e",
        "\u200b",
        "\ufeff",
        "é",
        "${",
        "}",
        "$X",
    ),
    *("os_name", "python_version", "extra", "in", "and", "user:pw", "%20", "a.txt", "b.txt", "requirements.txt"),
]
_rubbish = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join) | st.text(max_size=60)


@configured(max_examples=300)
@given(_rubbish | st.binary(max_size=80), _rubbish)
@example("-r a.txt\n" * 3, "-c b.txt\n-r a.txt")
@example("six; os_name == '\\n--index-url x'", "")
def test_nothing_makes_it_fail_but_with_a_sentence(text: str | bytes, other: str) -> None:
    try:
        found = checked(reading(text.encode(errors="surrogatepass") if isinstance(text, str) else text, a_txt=other))
    except InvalidInput as error:
        assert error.message.isprintable()
        assert error.details["problems"]
        return
    for line in (*found.requirements, *found.constraints):
        assert normalise(line) == line
        assert line.isprintable()
        assert not line.startswith("-")
        assert "://" not in line or ";" in line


@configured(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.lists(st.sampled_from(["..", ".", "reqs", "a.txt", "/", "~", "link", " ", "é", "x" * 300]), max_size=6))
def test_no_path_leads_out_and_none_makes_it_fail(project: Path, path: list[str]) -> None:
    link = project / "link"
    if not link.is_symlink():
        link.symlink_to(project.parent)
    (project / "requirements.txt").write_text(f"-r '{'/'.join(path)}'\n")
    with pytest.raises(EnvPanelError) as caught:
        load([project / "requirements.txt"], root=project)
    assert SECRET not in f"{caught.value.message} {caught.value.details}"


@pytest.mark.parametrize("piece", [" ", "a ", "a:", "-", "#", " #", "[", "@", "\\\n", "x\\\n", "a@", "://", "'", "${"])
def test_nothing_keeps_it_busy(piece: str) -> None:
    started = time.monotonic()
    reading((piece * LONGEST)[:LONGEST])
    reading("-r " + (piece * LONGEST)[: LONGEST - 3])
    assert time.monotonic() - started < 30
