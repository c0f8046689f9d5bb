"""What others have typed is shown as text, in HTML and in a terminal; and values stay data."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest

from envpanel.notebook.client import EnvPanelError
from envpanel.notebook.views import Difference, Facts, Note, Rows, Text, View, counts, data_frame, local

HOSTILE = '<img src=x onerror="alert(1)">&amp;\x1b[31mred\u202eevil\x07'

DIFF = {
    "installed": [{"name": "b", "version": "1", "requested": False}, {"name": "z", "version": "2", "requested": True}],
    "uninstalled": [{"name": HOSTILE, "version": HOSTILE, "requested": True}],
    "upgraded": [{"name": "u", "old": "1", "new": "2", "requested": True}],
    "downgraded": [{"name": "d", "old": "2", "new": "1", "requested": True}],
    "changed": [
        {
            "name": "c",
            "version": "1",
            "old": {"manager": "uv", "origin": "index"},
            "new": {"manager": "uv", "origin": "git"},
        }
    ],
    "python": {"old": "3.11", "new": "3.12"},
}


class Tags(HTMLParser):
    """The elements and attributes that a browser sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


VIEWS: list[View] = [
    Rows([{"a": HOSTILE, "b": None, "c": True, "created": HOSTILE}], {"a": HOSTILE, "b": "b", "created": "when"},
         title=HOSTILE, note=HOSTILE),
    Rows([], {"a": "a"}, none=HOSTILE),
    Facts({"a": HOSTILE}, [HOSTILE, HOSTILE]),
    Difference(DIFF, title=HOSTILE, warnings=[{"message": HOSTILE}], sentences=[HOSTILE]),
    Text(f"{HOSTILE}\n{HOSTILE}"),
    Note(HOSTILE),
]  # fmt: skip


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: type(view).__name__)
def test_hostile_text_is_text(view: View) -> None:
    tags = Tags()
    tags.feed(view._repr_html_())
    assert tags.seen <= {"div", "b", "br", "span", "pre", "table", "thead", "tbody", "tr", "th", "td"}
    assert tags.attributes <= {"style"}
    for shown in (view._repr_html_(), repr(view)):
        assert not any(char in shown for char in "\x1b\u202e\x07")
    assert "onerror" in repr(view), "nothing of it is kept from who reads"


def test_an_error_is_one_block_without_control_characters() -> None:
    [block] = EnvPanelError(f"It failed.\n{HOSTILE}", hint="Do this.")._render_traceback_()
    assert "\x1b" not in block
    assert block.splitlines()[0] == "Error: It failed."
    assert block.splitlines()[-1] == "Do this."


def test_a_diff_is_grouped_by_words_with_signs_and_what_was_asked_for_first() -> None:
    text = repr(Difference({**DIFF, "uninstalled": []}, title="churn@1 → churn@2"))
    assert text.splitlines() == [
        "churn@1 → churn@2",
        "Python 3.11 → 3.12",
        "installed",
        "  + z  2",
        "  + b  1  (pulled in)",
        "upgraded",
        "  ↑ u  1 → 2",
        "downgraded",
        "  ↓ d  2 → 1",
        "changed",
        "  ~ c  1 (uv index → uv git)",
    ]
    assert counts(DIFF) == "+2 −1 ↑1 ↓1 ~1 Python 3.11 → 3.12"
    assert "The packages are the same." in repr(Difference({}, title="a"))


def test_values_are_data() -> None:
    rows = Rows([{"a": 1}, {"a": 2}], {"a": "a"})
    assert [row["a"] for row in rows] == [1, 2]
    assert Difference(DIFF, title="t", values={"old": "c@1"})["old"] == "c@1"
    assert Text("a\nb").splitlines() == ["a", "b"]
    assert Facts({"a": 1}, ["x"])["a"] == 1


def test_a_data_frame_where_there_is_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows: made.append(rows) or "frame"))
    rows = Rows([{"a": 1}], {"a": "a"})
    assert rows.df == "frame"
    assert made == [[{"a": 1}]]
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert data_frame(rows) is None
    assert rows.df == [{"a": 1}]


def test_times_are_local_and_what_is_none_is_shown_as_it_is() -> None:
    assert len(local("2026-01-31T10:15:00.123Z")) == len("2026-01-31 10:15")
    assert local("yesterday") == "yesterday"
