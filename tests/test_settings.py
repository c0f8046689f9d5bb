"""settings.yaml: what it may say, and that every mistake in it is named."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from factories import few
from hypothesis import given
from hypothesis import strategies as st

import envpanel
from envpanel.errors import InvalidSettings
from envpanel.settings import Index, Limits, Settings, parse

# What is taken


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "---\n", "{}", "null", "~", "\ufeff"])
def test_without_a_word_the_defaults_hold(text: str) -> None:
    assert parse(text) == Settings()


def test_the_defaults() -> None:
    assert Settings() == Settings(indexes=(), limits=Limits(build_minutes=60.0, log_mib=16.0), python_search_path=())


def test_all_of_it() -> None:
    text = """
        indexes:
          - {name: internal, url: https://pypi.example.org/simple, default: true}
          - name: Local_2
            url: file:///srv/wheels
        limits:
          build_minutes: 5
          log_mib: 0.5
        python_search_path: [/opt/python, ~/pythons]
    """
    assert parse(text) == Settings(
        indexes=(
            Index(name="internal", url="https://pypi.example.org/simple", default=True),
            Index(name="Local_2", url="file:///srv/wheels"),
        ),
        limits=Limits(build_minutes=5.0, log_mib=0.5),
        python_search_path=("/opt/python", "~/pythons"),
    )


_settings = st.fixed_dictionaries(
    {},
    optional={
        "indexes": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,10}", fullmatch=True),
                    "url": st.sampled_from(["https://a.example/simple", "http://b:80/", "file:///srv/c"]),
                }
            ),
            max_size=3,
            unique_by=lambda entry: entry["name"],
        ),
        "limits": st.fixed_dictionaries(
            {},
            optional={key: st.floats(0.001, 1e6) | st.integers(1, 10**6) for key in ("build_minutes", "log_mib")},
        ),
        "python_search_path": st.lists(st.text(max_size=10), max_size=3),
    },
)


@few
@given(_settings)
def test_what_is_written_is_read(document: dict[str, object]) -> None:
    read = parse(yaml.safe_dump(document))
    assert [{"name": index.name, "url": index.url} for index in read.indexes] == document.get("indexes", [])
    limits = {"build_minutes": 60.0, "log_mib": 16.0} | dict(document.get("limits", {}))  # type: ignore[call-overload]
    assert read.limits == Limits(**limits)
    assert list(read.python_search_path) == document.get("python_search_path", [])


# Mistakes


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("index: []", "'index' in settings.yaml"),
        ("Indexes: []", "'Indexes' in settings.yaml"),
        ("1: 2", "1 in settings.yaml"),
        ("indexes: https://example.org", "'indexes' in settings.yaml"),
        ("indexes: {name: a, url: 'https://a/'}", "'indexes' in settings.yaml"),
        ("indexes:", "'indexes' in settings.yaml"),
        ("indexes: [https://a/]", "indexes[0]"),
        ("indexes: [{name: a, url: 'https://a/'}, null]", "indexes[1]"),
        ("indexes: [{name: a, url: 'https://a/', priority: 1}]", "'priority' in indexes[0]"),
        ("indexes: [{url: 'https://a/'}]", "'indexes[0].name'"),
        ("indexes: [{name: 1, url: 'https://a/'}]", "'indexes[0].name'"),
        ("indexes: [{name: no, url: 'https://a/'}]", "'indexes[0].name'"),
        ("indexes: [{name: a b, url: 'https://a/'}]", "'indexes[0].name'"),
        ("indexes: [{name: -a, url: 'https://a/'}]", "'indexes[0].name'"),
        ('indexes: [{name: "a\\n", url: "https://a/"}]', "'indexes[0].name'"),
        ("indexes: [{name: \u0430, url: 'https://a/'}]", "'indexes[0].name'"),
        ("indexes: [{name: a}]", "'indexes[0].url'"),
        ("indexes: [{name: a, url: 5}]", "'indexes[0].url'"),
        ("indexes: [{name: a, url: index.example/simple}]", "'indexes[0].url'"),
        ("indexes: [{name: a, url: 'ftp://a/'}]", "'indexes[0].url'"),
        ("indexes: [{name: a, url: '--index-url=https://a/'}]", "'indexes[0].url'"),
        ("indexes: [{name: a, url: ' https://a/'}]", "'indexes[0].url'"),
        ("indexes: [{name: a, url: 'https://a/', default: 1}]", "'indexes[0].default'"),
        ("indexes: [{name: a, url: 'https://a/', default: 'true'}]", "'indexes[0].default'"),
        ("limits: 5", "limits"),
        ("limits:", "limits"),
        ("limits: [build_minutes]", "limits"),
        ("limits: {minutes: 5}", "'minutes' in limits"),
        ("limits: {build_minutes: 0}", "'limits.build_minutes'"),
        ("limits: {build_minutes: -1}", "'limits.build_minutes'"),
        ("limits: {build_minutes: '5'}", "'limits.build_minutes'"),
        ("limits: {build_minutes: true}", "'limits.build_minutes'"),
        ("limits: {build_minutes: }", "'limits.build_minutes'"),
        ("limits: {log_mib: [1]}", "'limits.log_mib'"),
        ("limits: {log_mib: 2024-01-01}", "'limits.log_mib'"),
        ("python_search_path: /opt", "'python_search_path'"),
        ("python_search_path: [/opt, 5]", "'python_search_path'"),
        ("python_search_path: {/opt: 1}", "'python_search_path'"),
        ("python_search_path:", "'python_search_path'"),
    ],
)
def test_a_mistake_is_named(text: str, named: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse(text)
    assert named in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.message.endswith(".")


def test_an_unknown_key_gets_the_known_ones() -> None:
    with pytest.raises(InvalidSettings, match="there are indexes, limits, python_search_path"):
        parse("index: []")
    with pytest.raises(InvalidSettings, match="there are build_minutes, log_mib"):
        parse("limits: {minutes: 5}")


def test_of_two_default_indexes_one_is_too_many() -> None:
    with pytest.raises(InvalidSettings, match="Two indexes"):
        parse("indexes: [{name: a, url: 'https://a/', default: true}, {name: b, url: 'https://b/', default: true}]")


@pytest.mark.parametrize("value", [".nan", ".inf", "1" + "0" * 400], ids=["nan", "infinite", "too large"])
def test_a_limit_is_a_number_that_something_can_be_compared_with(value: str) -> None:
    with pytest.raises(InvalidSettings, match=r"'limits\.build_minutes'"):
        parse(f"limits: {{build_minutes: {value}}}")


def test_a_key_that_is_given_twice_is_a_mistake() -> None:
    """One of the two would be dropped without a word."""
    with pytest.raises(InvalidSettings, match="build_minutes"):
        parse("limits:\n  build_minutes: 5\n  log_mib: 1\n  build_minutes: 50\n")


def test_two_indexes_of_one_name_are_a_mistake() -> None:
    """Their credentials come from one variable."""
    with pytest.raises(InvalidSettings, match="name"):
        parse("indexes: [{name: a, url: 'https://a.example/'}, {name: a, url: 'https://b.example/'}]")


# What is not YAML, or too much of it


@pytest.mark.parametrize("text", ["- a", "a", "5", "'x'", "[]", "2024-01-01"])
def test_it_must_hold_keys_and_values(text: str) -> None:
    with pytest.raises(InvalidSettings, match=r"settings\.yaml must hold keys and values"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[",
        "a: b: c",
        "limits:\n\tlog_mib: 1",
        "\0",
        "a: &a *b",
        "'",
        "%YAML 9",
        "--- a\n--- b",
        "? [a]\n: b",
        "a: \x01",
    ],
)
def test_what_is_not_yaml_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings, match=r"settings\.yaml is not YAML"):
        parse(text)


def test_the_line_that_is_not_yaml_is_named() -> None:
    with pytest.raises(InvalidSettings, match=r"\(line 3\)"):
        parse("limits:\n  log_mib: 1\n  : : x\n")


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "!!python/object/new:os.system ['touch pwned']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/tuple [1]",
        "!envpanel x",
    ],
)
@pytest.mark.parametrize("template", ["{}", "limits: {{build_minutes: {}}}", "indexes: [{}]", "{}: 1", "&a {}"])
def test_tags_of_python_are_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, template: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidSettings):
        parse(template.format(value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value",
    ["2024-13-45", "!!int x", "!!float x", "!!bool x", "!!timestamp x", "9" * 5000, "!!binary é"],
    ids=lambda value: value[:12],
)
def test_a_value_that_yaml_itself_cannot_make_is_a_mistake(value: str) -> None:
    """PyYAML raises ValueError, KeyError or AttributeError for these, not its own error."""
    with pytest.raises(InvalidSettings):
        parse(f"limits: {{build_minutes: {value}}}")


def test_deep_nesting_is_a_mistake() -> None:
    for text in ("[" * 5000, "{a: " * 5000, "- " * 5000 + "x"):
        with pytest.raises(InvalidSettings):
            parse(text)


def in_a_process(code: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """Runs it where it can take neither much memory nor much time."""
    start = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, ({int(seconds)}, {int(seconds)}))
sys.path.insert(0, {str(Path(envpanel.__file__).parents[1])!r})
from envpanel.errors import InvalidSettings
from envpanel.settings import parse
def tried(text):
    try:
        print(len(repr(parse(text))))
    except InvalidSettings as error:
        print(len(str(error)))
"""
    return subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True, timeout=seconds * 10, check=False
    )


BOMB = """
rows = ["&a0 [x,x,x,x,x,x,x,x,x,x]"] + [f"&a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
bomb = f"[{', '.join(rows)}]"
"""


@pytest.mark.parametrize(
    "template",
    ["{}", "x: {}", "limits: {}", "indexes: {}", "python_search_path: {}", "indexes: [{{name: {0}, url: {0}}}]"],
)
def test_an_alias_bomb_is_refused_in_no_time(template: str) -> None:
    done = in_a_process(f"{BOMB}\ntried({template!r}.format(bomb))", 2)
    assert done.returncode == 0, done.stderr[-300:]
    assert int(done.stdout) < 1000


def test_an_alias_bomb_in_a_limit_is_refused_in_no_time() -> None:
    """Its sentence must not show it in full: that is 10 ** 30 letters."""
    done = in_a_process(f"{BOMB}\ntried('limits: {{build_minutes: ' + bomb + '}}')", 2)
    assert done.returncode == 0, done.stderr[-300:]
    assert int(done.stdout) < 1000


def test_a_sentence_about_a_long_value_is_short() -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse(f"limits: {{build_minutes: {'x' * 100_000}}}")
    assert len(caught.value.message) < 1000


def test_a_file_that_is_too_long_for_settings_is_refused_at_once() -> None:
    """50 MB would keep PyYAML busy for a minute and more, and every command reads the settings."""
    line = "- /opt/some/folder/with/interpreters\n"
    text = "python_search_path:\n" + line * (3_000_000 // len(line))
    before = time.process_time()
    with pytest.raises(InvalidSettings):
        parse(text)
    assert time.process_time() - before < 1


# Credentials

CANARY = "canary"


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{CANARY}@example.org/simple",
        f"https://{CANARY}@example.org/simple",
        f"http://:{CANARY}@example.org",
        f"https://user:p@{CANARY}@example.org/simple",
        f"https://user:{CANARY}%2F@example.org:8080/simple",
        f"HTTPS://user:{CANARY}@example.org/simple",
        f"ftp://user:{CANARY}@example.org",
        pytest.param(f"https://user:{CANARY}/x@example.org/simple", id="a slash in the password"),
        pytest.param(f"https://example.org/simple?token={CANARY}", id="in the query"),
        pytest.param(f"https://example.org/simple\nhttps://user:{CANARY}@example.org", id="on a second line"),
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse(yaml.safe_dump({"indexes": [{"name": "my-index", "url": url}]}))
    assert "'indexes[0].url'" in caught.value.message
    assert CANARY not in caught.value.message + (caught.value.hint or "")


def test_the_hint_names_the_variables_for_the_credentials() -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse("indexes: [{name: my-index, url: 'https://user:pw@example.org'}]")
    assert "UV_INDEX_MY_INDEX_USERNAME" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        f"indexes: [https://user:{CANARY}@example.org/simple]",
        f"indexes: https://user:{CANARY}@example.org/simple",
        f"python_search_path: https://user:{CANARY}@example.org/simple",
        f"indexes: [{{name: 'https://user:{CANARY}@example.org', url: 'https://example.org'}}]",
        pytest.param(f"indexes: [{{'https://user:{CANARY}@example.org': true}}]", id="as a key"),
        pytest.param(f"'https://user:{CANARY}@example.org': true", id="as a setting"),
        pytest.param(f"limits: {{log_mib: 'https://user:{CANARY}@example.org'}}", id="as a limit"),
    ],
)
def test_credentials_in_the_wrong_place_are_not_repeated(text: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse(text)
    assert CANARY not in caught.value.message + (caught.value.hint or "")
