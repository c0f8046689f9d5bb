"""The nouns: names of environments, records, and how progress is said."""

from __future__ import annotations

import re

import pytest
from factories import environment_names, few, many, record
from hypothesis import example, given
from hypothesis import strategies as st

from envpanel.errors import InvalidInput, InvalidName
from envpanel.model.nouns import Definition, Group, Kind, Progress, RevisionRef, check_name, check_text, is_name

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@few
@given(environment_names)
def test_what_matches_is_a_name(name: str) -> None:
    assert check_name(name) == name


@many
@example("a" * 65)
@example("a\n")
@example("A")
@example("é")
@example("İ")
@example("ß" * 64)
@example("ǆ")
@given(
    st.text(max_size=70) | st.from_regex(r"\A[-_ a-zA-Z0-9.]{0,70}\Z") | environment_names.map(lambda name: f"{name}é")
)
def test_nothing_else_is_and_a_suggestion_is_a_name(text: str) -> None:
    assert is_name(text) is (NAME.fullmatch(text) is not None)
    if is_name(text):
        assert check_name(text) == text
        return
    with pytest.raises(InvalidName) as caught:
        check_name(text)
    hint = caught.value.hint
    if hint is not None:
        suggested = re.fullmatch(r"Try '(.*)'\.", hint)
        assert suggested is not None
        assert check_name(suggested[1]) == suggested[1]
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 1200


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("Churn Features", "churn-features"),
        ("churn.features", "churn-features"),
        ("churn--features!", "churn-features"),
        ("2024-churn", "churn"),
        ("-rf", "rf"),
        ("CHURN", "churn"),
        ("x" * 80, "x" * 64),
        ("../../etc", "etc"),
        ("a/b", "a-b"),
    ],
)
def test_a_wrong_name_gets_a_right_one(text: str, suggestion: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_name(text)
    assert caught.value.hint == f"Try {suggestion!r}."


@pytest.mark.parametrize("text", ["", " ", "123", "...", "日本語", "🐍", "-", "_", "42-", "\0"])
def test_where_nothing_can_be_made_of_it_there_is_no_suggestion(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_name(text)
    assert caught.value.hint is None


HOSTILE = [
    *("../../etc", "..", ".", "a/b", "/etc/passwd", "a\\b", "~", "~root", "CON", "C:", "nul.txt", "a\0b", "a\nb"),
    *("a\n", "\na", "-rf", "--home", " churn", "churn ", "a b", "\u0455ix", "chu\u0440n", "churn\u200b", "\u202enruhc"),
    *(
        "caf\u00e9",
        "cafe\u0301",
        "\uff41bc",
        "a\u00adb",
        "🐍",
        "a" * 300,
        "a" * 65,
        "a;b",
        "a$(id)",
        "a`id`",
        "a'b",
        "a@3",
    ),
    *("%2e%2e", "%2e%2e%2fetc", "<script>", "a:b", "a*", "a?", "0", "1e3", "_a", "A", "á", "a.", ".a", "live/heads"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_refused_in_a_printable_sentence(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_name(text)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("text", ["", "churn, team A", "für 日本 🐍", "two\nlines", "x" * 2000, "<b>", "a  b"])
def test_what_can_be_printed_may_stand_in_the_history(text: str) -> None:
    assert check_text(text, "description") == text


@pytest.mark.parametrize(
    "text", ["\0", "a\x1b[2J", "a\rb", "a\tb", "\u202eb", "\u200b", "\x9b", "\udcff", "\u2028", "x" * 2001]
)
def test_what_cannot_is_refused_with_what_it_was_meant_for(text: str) -> None:
    with pytest.raises(InvalidInput, match="description") as caught:
        check_text(text, "description")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("text", ["see https://user:canary@example.org", "git+https://canary@example.org/x\nmore"])
def test_credentials_may_not_stand_in_the_history_and_are_not_repeated(text: str) -> None:
    with pytest.raises(InvalidInput, match="credentials") as caught:
        check_text(text, "message")
    assert "canary" not in caught.value.message


def test_what_is_no_credential_may() -> None:
    text = "mail ana@example.org, see https://example.org/a/b"
    assert check_text(text, "message") == text


def test_progress_counts_where_it_knows_how_many() -> None:
    assert str(Progress(phase="resolving")) == "resolving"
    assert str(Progress(phase="resolving", done=3)) == "resolving"
    assert str(Progress(phase="installing", done=3, total=10, unit="packages")) == "installing 3 of 10 packages"
    assert str(Progress(phase="downloading", done=1.26, total=10, unit="MiB")) == "downloading 1.3 of 10.0 MiB"
    assert str(Progress(phase="compiling", done=2, total=4)) == "compiling 2 of 4"
    assert str(Progress(phase="building", detail="pyspark 3.5")) == "building: pyspark 3.5"
    assert (
        str(Progress(phase="installing", done=0, total=2, unit="packages", detail="numpy"))
        == "installing 0 of 2 packages: numpy"
    )


@few
@given(st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from(["", "MiB", "packages", "files"]))
def test_progress_is_one_line_and_begins_with_the_phase(done: float, total: float, unit: str) -> None:
    text = str(Progress(phase="installing", done=done, total=total, unit=unit))
    assert text.startswith("installing")
    assert (" of " in text) is (total != 0)
    assert text.isprintable()


def test_groups_are_written_in_capitals_on_screens_only() -> None:
    assert [group.title for group in Group] == ["FEATURE ENGINEERING", "MODEL TRAINING", "MODEL INFERENCE"]
    assert [group.value for group in Group] == ["feature-engineering", "model-training", "model-inference"]


def test_a_revision_is_written_with_its_number() -> None:
    assert str(RevisionRef(name="churn", revision=3)) == "churn@3"
    assert record(3).ref == RevisionRef(name="churn", revision=3)


def test_a_record_tells_what_was_decided() -> None:
    made = record(archived=True, requirements=("numpy", "six"), description="d", python="3.12")
    assert made.definition == Definition(
        kind=Kind.CUSTOM,
        group=Group.FEATURE_ENGINEERING,
        description="d",
        python="3.12",
        requirements=("numpy", "six"),
        archived=True,
    )
