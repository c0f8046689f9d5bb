"""JSON on the wire: the canonical form, and records that show any damage."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from factories import few, many, package, record, records
from hypothesis import given
from hypothesis import strategies as st

from envpanel.errors import FormatTooNew, RecordDamaged
from envpanel.model import wire
from envpanel.model.nouns import FORMAT, Record, RevisionRef

RECORD = record(
    packages=(package("numpy", "2.0"), package("six", "1.17", requested=False)),
    arguments={"requirements": ["numpy>=2"], "naïve": True},
    message="fuzzy joins – für alle",
    cloned_from=RevisionRef(name="base", revision=3),
)


def sealed(content: dict[str, Any]) -> bytes:
    """What some envpanel would have stored of this content."""
    content = {key: value for key, value in content.items() if key != "digest"}
    digest = wire.sha256(wire.canonical(content))
    return wire.canonical({**content, "digest": digest}) + b"\n"


def content_of(draft: Record, **other: Any) -> dict[str, Any]:
    return {**json.loads(wire.seal(draft)[1]), **other}


# Round trip


@many
@given(records)
def test_a_record_is_read_as_it_was_sealed(draft: Record) -> None:
    record, data = wire.seal(draft)
    assert wire.unseal(data) == record
    assert replace(record, digest="") == draft


@few
@given(records)
def test_sealing_is_the_same_every_time(draft: Record) -> None:
    record, data = wire.seal(draft)
    assert wire.seal(draft) == (record, data)
    assert wire.seal(record) == wire.seal(replace(draft, digest="anything")) == (record, data)
    assert data == sealed(wire.plain(draft))


@few
@given(records)
def test_the_digest_is_over_all_but_itself(draft: Record) -> None:
    record, data = wire.seal(draft)
    content = json.loads(data)
    assert content.pop("digest") == record.digest == wire.sha256(wire.canonical(content))


def test_a_stored_record_is_one_line_of_utf_8_with_sorted_keys() -> None:
    _, data = wire.seal(RECORD)
    assert data.endswith(b"}\n")
    assert data.count(b"\n") == 1
    assert "für alle" in data.decode()
    assert list(json.loads(data)) == sorted(json.loads(data))


@few
@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)), st.randoms(use_true_random=False))
def test_the_canonical_form_does_not_depend_on_the_order_of_keys(value: dict[str, Any], random: Random) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert wire.canonical(dict(items)) == wire.canonical(value)
    assert json.loads(wire.canonical(value)) == value


def test_what_json_has_no_word_for_is_refused() -> None:
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="JSON"):
            wire.canonical({"duration": value})


# Damage


def test_every_flipped_bit_is_found() -> None:
    _, data = wire.seal(RECORD)
    damaged = bytearray(data)
    for position in range(len(data)):
        for bit in range(8):
            damaged[position] ^= 1 << bit
            with pytest.raises(RecordDamaged):
                wire.unseal(bytes(damaged))
            damaged[position] ^= 1 << bit
    assert wire.unseal(bytes(damaged)).message == RECORD.message


def test_a_record_that_is_cut_is_found_at_every_length() -> None:
    _, data = wire.seal(RECORD)
    for length in range(len(data)):
        with pytest.raises(RecordDamaged):
            wire.unseal(data[:length])


@pytest.mark.parametrize("more", [b"\n", b" ", b"\0", b"{}", b"\xff", b"x"])
def test_a_record_with_something_before_or_behind_it_is_found(more: bytes) -> None:
    _, data = wire.seal(RECORD)
    for damaged in (data + more, more + data):
        with pytest.raises(RecordDamaged):
            wire.unseal(damaged)


@few
@given(records, st.data())
def test_any_other_bytes_are_found(draft: Record, draw: st.DataObject) -> None:
    _, data = wire.seal(draft)
    start = draw.draw(st.integers(0, len(data) - 1))
    end = draw.draw(st.integers(start + 1, len(data)))
    other = draw.draw(st.binary(max_size=end - start + 2).filter(lambda found: found != data[start:end]))
    with pytest.raises(RecordDamaged):
        wire.unseal(data[:start] + other + data[end:])


def spaced(data: bytes) -> bytes:
    return json.dumps(json.loads(data), ensure_ascii=False).encode()


def escaped(data: bytes) -> bytes:
    return json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode() + b"\n"


def doubled(data: bytes) -> bytes:
    """Which of the two would be read is up to the reader."""
    return data.replace(b'{"archived"', b'{"archived":true,"archived"', 1)


@pytest.mark.parametrize(
    "rewrite",
    [spaced, escaped, doubled, lambda data: data.decode().encode("utf-16"), lambda data: b"\xef\xbb\xbf" + data],
    ids=["spaced", "escaped", "a key twice", "utf-16", "byte order mark"],
)
def test_the_same_content_in_other_bytes_is_damage(rewrite: Callable[[bytes], bytes]) -> None:
    _, data = wire.seal(RECORD)
    assert rewrite(data) != data
    with pytest.raises(RecordDamaged):
        wire.unseal(rewrite(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null\n",
        b"[]\n",
        b"{}\n",
        b'"x"\n',
        b"1\n",
        b'{"digest":null}\n',
        b"\xff\xfe",
        b"[" * 100_000,
        b"9" * 5000,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_record_is_damaged(data: bytes) -> None:
    with pytest.raises(RecordDamaged):
        wire.unseal(data)


@few
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_damaged_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(RecordDamaged):
        wire.unseal(data)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"format": 1},
        content_of(RECORD, number="1"),
        content_of(RECORD, group="model-deployment"),
        content_of(RECORD, packages=None),
        content_of(RECORD, format="1"),
        content_of(RECORD, format=None),
        {key: value for key, value in content_of(RECORD).items() if key != "author"},
        {key: value for key, value in content_of(RECORD).items() if key != "format"},
    ],
    ids=["empty", "a key", "a number as text", "group", "packages", "format", "no format", "no author", "format gone"],
)
def test_a_right_digest_over_something_else_is_damage(content: dict[str, Any]) -> None:
    """Another form in our own format: nobody's envpanel wrote it."""
    with pytest.raises(RecordDamaged):
        wire.unseal(sealed(content))


# Formats


@few
@given(records, st.dictionaries(st.text(min_size=1, max_size=5).map("x-{}".format), st.integers(), min_size=1))
def test_keys_that_are_not_known_are_covered_by_the_digest_and_left_out(draft: Record, more: dict[str, int]) -> None:
    content = content_of(draft, **more)
    data = sealed(content)
    read = wire.unseal(data)
    assert read.digest == json.loads(data)["digest"] != wire.seal(draft)[0].digest
    assert replace(read, digest="") == draft
    with pytest.raises(RecordDamaged):
        wire.unseal(wire.canonical({**json.loads(data), next(iter(more)): "other"}) + b"\n")


def test_keys_that_are_not_known_are_left_out_at_every_depth() -> None:
    content = content_of(RECORD)
    content["author"]["orcid"] = "0000-0001"
    content["packages"][0]["licence"] = "BSD"
    content["digests"]["sbom"] = "0" * 64
    content["diff"]["moved"] = []
    assert replace(wire.unseal(sealed(content)), digest="") == RECORD


def test_a_newer_format_with_more_keys_only_is_read() -> None:
    content = content_of(RECORD, format=FORMAT + 1, signature="abc")
    content["author"]["orcid"] = "0000-0001"
    assert replace(wire.unseal(sealed(content)), digest="") == replace(RECORD, format=FORMAT + 1)


@pytest.mark.parametrize(
    "other",
    [
        {"group": "model-deployment"},
        {"kind": "shared"},
        {"via": "vscode"},
        {"packages": {"numpy": "2.0"}},
        {"number": "1"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_newer_format_that_cannot_be_read_says_that_it_is_newer(other: dict[str, Any]) -> None:
    with pytest.raises(FormatTooNew, match=r"Revision 1 of churn was written by a newer envpanel") as caught:
        wire.unseal(sealed(content_of(RECORD, format=FORMAT + 1, **other)))
    assert caught.value.hint == "Upgrade envpanel here."


def test_a_damaged_record_of_a_newer_format_is_damaged() -> None:
    data = sealed(content_of(RECORD, format=FORMAT + 1, kind="shared"))
    with pytest.raises(RecordDamaged):
        wire.unseal(data.replace(b"shared", b"snared"))
