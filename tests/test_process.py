"""The door to other programs, tried with real ones."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from factories import few, many
from hypothesis import given
from hypothesis import strategies as st

import envpanel
from envpanel.process import GRACE_SECONDS, Finished, TimedOut, allowed, cleaned, redacted, run

ENV = {"PATH": os.environ["PATH"]}


def finished(*argv: str | Path, **options: Any) -> Finished:
    return asyncio.run(run(argv, **{"env": ENV, "cwd": Path("/"), "timeout": 60, **options}))


def shell(script: str, **options: Any) -> Finished:
    return finished("sh", "-c", script, **options)


def alive(pid: int) -> bool:
    """Whether it runs; a zombie is one that nobody has asked about yet."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "\nState:\tZ" not in status


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def pids() -> Iterator[list[int]]:
    """The programs of a test, which do not outlive it whatever happens."""
    started: list[int] = []
    yield started
    for pid in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


# What it says


def test_both_outputs_come_as_one_stream_in_order() -> None:
    done = shell("echo one; echo two >&2; echo; echo three")
    assert done == Finished(code=0, lines=("one", "two", "", "three"))


def test_only_one_of_the_outputs_can_be_taken() -> None:
    script = "echo out; echo err >&2; echo out"
    assert shell(script, streams="stderr").lines == ("err",)
    assert shell(script, streams="stdout").lines == ("out", "out")


def test_each_line_is_told_as_it_is_kept() -> None:
    told: list[str] = []
    assert shell("printf 'a\\nb\\n\\033[1mc\\033[0m\\n'", on_line=told.append).lines == ("a", "b", "c") == tuple(told)


def test_a_last_line_without_an_end_is_one() -> None:
    assert shell("printf 'one\\ntwo'").lines == ("one", "two")
    assert shell("true").lines == ()


def test_lines_arrive_while_it_runs(tmp_path: Path) -> None:
    """It waits for the answer to its first line before it writes the second."""

    def answer(line: str) -> None:
        (tmp_path / line).touch()

    script = "echo one; while [ ! -e one ]; do sleep 0.02; done; echo two"
    assert shell(script, cwd=tmp_path, on_line=answer, timeout=20).lines == ("one", "two")


def test_it_runs_where_it_is_told_to(tmp_path: Path) -> None:
    assert finished("pwd", "-P", cwd=tmp_path).lines == (str(tmp_path.resolve()),)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 255])
def test_the_exit_code_comes_through(code: int) -> None:
    assert shell(f"echo said; exit {code}") == Finished(code=code, lines=("said",))


def test_a_signal_that_ended_it_is_a_negative_code() -> None:
    assert shell("echo said; kill -9 $$") == Finished(code=-9, lines=("said",))


def test_what_cannot_be_started_is_an_os_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    before = open_files()
    for program in ("envpanel-no-such-program", tmp_path / "text", tmp_path):
        with pytest.raises(OSError, match=r"(No such file|Permission denied|Exec format)"):
            finished(program)
    with pytest.raises(OSError, match="No such file"):
        finished("true", cwd=tmp_path / "absent")
    assert open_files() == before


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nothing_stays_open_however_often_it_runs() -> None:
    async def often() -> tuple[int, int]:
        counts = []
        for _ in range(8):
            await run(["sh", "-c", "echo x"], env=ENV, cwd=Path("/"))
            with contextlib.suppress(TimedOut):
                await run(["sleep", "60"], env=ENV, cwd=Path("/"), timeout=0.02)
            await asyncio.sleep(0)
            counts.append(open_files())
        return counts[1], counts[-1]

    first, last = asyncio.run(often())
    assert first == last


def test_many_run_at_the_same_time() -> None:
    async def together() -> list[Finished]:
        runs = [run(["sh", "-c", f"sleep 0.1; echo {n}; exit {n}"], env=ENV, cwd=Path("/")) for n in range(8)]
        return await asyncio.gather(*runs)

    assert asyncio.run(together()) == [Finished(code=n, lines=(str(n),)) for n in range(8)]


def test_its_standard_input_is_empty_and_not_ours() -> None:
    ours = os.dup(0)
    read_end, write_end = os.pipe()
    os.write(write_end, b"typed by somebody\n")
    os.dup2(read_end, 0)
    try:
        done = shell("cat; read line || echo end", timeout=20)
    finally:
        os.dup2(ours, 0)
        for descriptor in (ours, read_end, write_end):
            os.close(descriptor)
    assert done == Finished(code=0, lines=("end",))


# A log is text


def test_a_line_of_ten_megabytes_is_cut_and_the_next_is_whole() -> None:
    done = shell("head -c 10000000 /dev/zero | tr '\\0' x; echo; echo after", timeout=60)
    assert done.lines[1:] == ("after",)
    assert done.lines[0].strip("x") == ""
    assert 1000 < len(done.lines[0]) <= 1 << 16


def test_ten_megabytes_without_an_end_are_cut() -> None:
    done = shell("head -c 10000000 /dev/zero | tr '\\0' x", timeout=60)
    assert len(done.lines) == 1
    assert len(done.lines[0]) <= 1 << 16


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b"tab\there", "tab\there"),
        ("für 日本 🐍".encode(), "für 日本 🐍"),
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b[2J\x1b[1;1Hclear", "clear"),
        (b"\x1b[38;5;196mcolour\x1b[?25l", "colour"),
        (b"\x1b]8;;https://evil.example\x07link\x1b]8;;\x07", "link"),
        (b"\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b]52;c;ZXZpbA==\x07clipboard", "clipboard"),
        (b"\x1b]0;title\x07text", "text"),
        (b"nul\x00bell\x07back\x08delete\x7f", "nulbellbackdelete"),
        (b"10%\r20%\r30%", "30%"),
        (b"secret\rshown", "shown"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"caf\xe9", "caf\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"<script>alert(1)</script>", "<script>alert(1)</script>"),
        (b"\x1b\x1b[31m[2Jx", "[2Jx"),
        (b"", ""),
    ],
)
def test_a_line_is_cleaned(raw: bytes, text: str) -> None:
    assert cleaned(raw) == text


@pytest.mark.parametrize(
    "raw",
    [
        b"x" * 40_000,
        b"x." * 20_000,
        b"?&" * 20_000,
        b"\x1b]" * 20_000,
        b"\x1b[" + b"0" * 40_000,
    ],
    ids=["letters", "dots", "queries", "escapes", "digits"],
)
def test_a_long_line_is_cleaned_in_no_time(raw: bytes) -> None:
    """All else of the event loop waits for it, and a log can have thousands of such lines."""
    before = time.process_time()
    cleaned(raw)
    assert time.process_time() - before < 0.5


@many
@given(
    st.lists(
        st.sampled_from([b"\x1b", b"[", b"]", b"31m", b"\x07", b"\\", b"8;;x", b"P", b"\r", b"\0", b"a"])
        | st.binary(max_size=4)
    )
)
def test_no_escape_survives_and_cleaning_twice_changes_nothing(parts: list[bytes]) -> None:
    """Nothing that is taken out puts together something new."""
    text = cleaned(b"".join(parts).replace(b"\n", b""))
    assert not [letter for letter in text if letter < " " and letter != "\t"]
    assert "\x7f" not in text
    assert cleaned(text.encode()) == text


def test_a_line_that_ends_as_on_windows_is_kept() -> None:
    """So ends the last state of many a progress bar, too."""
    assert cleaned(b"done\r") == "done"
    assert shell("printf 'one\\r\\ntwo\\r\\n'").lines == ("one", "two")
    assert cleaned(b"10%\r100%\r") == "100%"


@pytest.mark.parametrize("control", ["\x9b31m", "\x9d0;title\x9c", "\x85", "\x90", "\x80"], ids=repr)
def test_the_eight_bit_control_characters_go_too(control: str) -> None:
    """U+009B does in a terminal what ESC [ does."""
    text = cleaned(f"a{control}b".encode())
    assert not [letter for letter in text if unicodedata.category(letter) == "Cc"]


@pytest.mark.parametrize("mark", ["\u202e", "\u202d", "\u2066", "\u2067", "\u200f", "\u061c"], ids=ascii)
def test_a_line_cannot_be_shown_backwards(mark: str) -> None:
    """Marks of direction make a line look like another one."""
    assert mark not in cleaned(f"installed {mark}live".encode())


# Secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:canary@example.org/simple", "https://****@example.org/simple"),
        ("https://canary@example.org", "https://****@example.org"),
        ("https://:canary@example.org", "https://****@example.org"),
        ("git+ssh://git:canary@example.org/x", "git+ssh://****@example.org/x"),
        ("HTTPS://u:canary@EXAMPLE.org", "HTTPS://****@EXAMPLE.org"),
        ("a https://u:canary@a b https://u:canary@b", "a https://****@a b https://****@b"),
        ("url='https://u:canary@a/'", "url='https://****@a/'"),
        ("https://a/x?token=canary", "https://a/x?token=****"),
        ("https://a/x?a=1&api_key=canary&b=2", "https://a/x?a=1&api_key=****&b=2"),
        ("https://a/x?X-Amz-Signature=canary#part", "https://a/x?X-Amz-Signature=****#part"),
        ("https://a/x?sv=1&sig=canary", "https://a/x?sv=1&sig=****"),
        ("https://a/x?PASSWORD=canary", "https://a/x?PASSWORD=****"),
        ("https://a/x?client_secret=canary", "https://a/x?client_secret=****"),
        ("https://example.org/user@host", "https://example.org/user@host"),
        ("pandas==2.0 six@1", "pandas==2.0 six@1"),
        ("https://a/x?page=2", "https://a/x?page=2"),
    ],
)
def test_secrets_of_addresses_are_redacted(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted(shown) == shown
    assert shell('printf "%s" "$TEXT"', env={**ENV, "TEXT": text}).lines == (shown,)


@few
@given(
    st.from_regex(r"[a-z0-9]{0,8}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9._~!$&'()*+,;=:%?#-]{1,20}", fullmatch=True),
)
def test_no_password_is_left_in_an_address(user: str, password: str) -> None:
    assert redacted(f"at https://{user}:{password}@example.org/simple.") == "at https://****@example.org/simple."


def test_a_password_with_an_at_sign_is_redacted_whole() -> None:
    """Not rightly written, and the last @ is the one that counts for uv and for browsers."""
    assert redacted("https://user:can@ary@example.org/simple") == "https://****@example.org/simple"


def test_control_sequences_do_not_hide_a_secret() -> None:
    assert cleaned(b"https://user:\x1b[1mcanary\x1b[0m@example.org") == "https://****@example.org"
    assert cleaned(b"https:\x00//user:canary@example.org") == "https://****@example.org"


def test_it_sees_the_variables_that_it_is_given_and_no_other() -> None:
    """Those of Jupyter, of Python and of uv do not pass unless named."""
    environ = {
        "PATH": ENV["PATH"],
        "HOME": "/home/ana",
        "LANG": "C.UTF-8",
        "HTTPS_PROXY": "http://proxy:3128",
        "no_proxy": "localhost",
        "SSL_CERT_FILE": "/etc/ssl/x.pem",
        "UV_OFFLINE": "1",
        "UV_PUBLISH_TOKEN": "canary",
        "UV_PYTHON": "canary",
        "PYTHONPATH": "canary",
        "PYTHONHOME": "canary",
        "PIP_INDEX_URL": "canary",
        "VIRTUAL_ENV": "canary",
        "LD_PRELOAD": "canary",
        "JUPYTERHUB_API_TOKEN": "canary",
        "JPY_PARENT_PID": "canary",
        "AWS_SECRET_ACCESS_KEY": "canary",
        "GITHUB_TOKEN": "canary",
        "BASH_ENV": "canary",
        "path": "canary",
    }
    seen = finished("env", env=allowed(environ, also=["UV_OFFLINE", "UV_ABSENT"])).lines
    assert sorted(seen) == sorted(
        f"{name}={environ[name]}"
        for name in ("PATH", "HOME", "LANG", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "UV_OFFLINE")
    )
    assert finished("env", env=allowed({**environ, "PATH": ENV["PATH"]})).lines == tuple(
        line for line in seen if not line.startswith("UV_")
    )


# Its end

# Three generations that do not hear SIGTERM; each says its number.
DEAF = """
trap '' TERM
sh -c 'sh -c "echo \\$\\$; exec sleep 300" & echo $$; wait' &
echo $$
wait
"""
# The same that do.
HEARING = DEAF.replace("trap '' TERM", "")


def start(
    script: str, pids: list[int], generations: int = 3, **options: Any
) -> tuple[asyncio.Task[Finished], asyncio.Event]:
    """The run as a task, and the event that all its generations have told their numbers."""
    ready = asyncio.Event()

    def took(line: str) -> None:
        pids.append(int(line))
        if len(pids) == generations:
            ready.set()

    argv = ["sh", "-c", script]
    return asyncio.create_task(run(argv, env=ENV, cwd=Path("/"), on_line=took, **options)), ready


@pytest.mark.parametrize("script", [HEARING, DEAF], ids=["hears SIGTERM", "ignores SIGTERM"])
def test_cancelled_its_whole_group_is_gone_when_it_returns(script: str, pids: list[int]) -> None:
    async def cancelled() -> float:
        task, ready = start(script, pids)
        await asyncio.wait_for(ready.wait(), 20)
        assert all(map(alive, pids))
        before = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - before

    took = asyncio.run(cancelled())
    assert took < GRACE_SECONDS + 3
    assert len(pids) == 3
    assert eventually(lambda: not any(map(alive, pids)), 1)


@pytest.mark.parametrize("script", [HEARING, DEAF], ids=["hears SIGTERM", "ignores SIGTERM"])
def test_timed_out_its_whole_group_is_gone_when_it_returns(script: str, pids: list[int]) -> None:
    async def timed_out() -> float:
        before = time.monotonic()
        task, _ = start(script, pids, timeout=1.0)
        with pytest.raises(TimedOut, match="sh took longer than 1 s"):
            await task
        return time.monotonic() - before

    took = asyncio.run(timed_out())
    assert took < 1 + GRACE_SECONDS + 3
    assert len(pids) == 3
    assert eventually(lambda: not any(map(alive, pids)), 1)


def test_a_program_that_hears_ends_well_before_the_grace_is_over(tmp_path: Path, pids: list[int]) -> None:
    """SIGTERM comes first, so that it can put its things in order."""
    script = "trap 'echo bye > note; exit 7' TERM; echo $$; while :; do sleep 0.05; done"

    async def cancelled() -> float:
        ready = asyncio.Event()

        def took(line: str) -> None:
            pids.append(int(line))
            ready.set()

        task = asyncio.create_task(run(["sh", "-c", script], env=ENV, cwd=tmp_path, on_line=took))
        await ready.wait()
        before = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - before

    assert asyncio.run(cancelled()) < GRACE_SECONDS - 1
    assert (tmp_path / "note").read_text() == "bye\n"


@pytest.mark.parametrize("output", ["", ">/dev/null 2>&1"], ids=["holds the output", "closed the output"])
@pytest.mark.parametrize("trap", ["", "trap '' TERM;"], ids=["hears SIGTERM", "ignores SIGTERM"])
def test_a_child_left_in_the_background_is_ended(output: str, trap: str, pids: list[int]) -> None:
    done = shell(f"{trap} sleep 300 {output} & echo $!; exit 3", timeout=20)
    pids += map(int, done.lines)
    assert done.code == 3
    assert len(pids) == 1
    assert eventually(lambda: not alive(pids[0]), 1)


def test_a_daemon_that_left_the_group_does_not_keep_us_waiting(pids: list[int]) -> None:
    """It holds the output open, in a session of its own."""
    before = time.monotonic()
    done = shell("setsid sh -c 'echo $$; exec sleep 300' & sleep 0.3; echo end", timeout=20)
    pids.append(int(done.lines[0]))
    assert done.lines[1:] == ("end",)
    assert time.monotonic() - before < 5


def test_cancelled_at_any_moment_of_its_start_nothing_is_left(pids: list[int]) -> None:
    mark = uuid.uuid4().hex

    def left() -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if mark.encode() in (entry / "environ").read_bytes() and alive(int(entry.name)):
                        found.append(int(entry.name))
        return found

    async def cancelled(steps: int) -> None:
        argv = ["sh", "-c", "sleep 300 & wait"]
        task = asyncio.create_task(run(argv, env={**ENV, "MARK": mark}, cwd=Path("/")))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = open_files()
    for steps in range(25):
        asyncio.run(cancelled(steps))
    gone = eventually(lambda: not left(), 1)
    pids += left()
    assert gone
    assert open_files() == before


def test_cancelled_twice_its_whole_group_is_gone_all_the_same(pids: list[int]) -> None:
    """Who presses Ctrl-C a second time is impatient, and wants it to end more, not less."""

    async def impatient() -> None:
        task, ready = start(DEAF, pids)
        await asyncio.wait_for(ready.wait(), 20)
        task.cancel()
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(impatient())
    assert len(pids) == 3
    assert eventually(lambda: not any(map(alive, pids)), 1)


def test_an_error_of_whoever_takes_the_lines_ends_the_program_and_reaches_the_caller() -> None:
    """Left unread, the program would wait for ever with its output full."""

    def broken(line: str) -> None:
        raise RuntimeError("broken")

    async def bounded() -> Finished:
        argv = ["sh", "-c", "yes | head -n 1000000"]
        return await asyncio.wait_for(run(argv, env=ENV, cwd=Path("/"), on_line=broken), 3)

    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(bounded())


# Open files


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.parametrize("passed", [True, False])
def test_a_lock_that_was_passed_on_is_held_while_the_program_lives(tmp_path: Path, passed: bool) -> None:
    path = tmp_path / "lock"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    seen: list[bool] = []

    def took(_: str) -> None:
        os.close(descriptor)
        seen.append(is_locked(path))

    script = "echo up; sleep 0.3"
    shell(script, on_line=took, pass_fds=[descriptor] if passed else [])
    assert seen == [passed]
    assert not is_locked(path)


def test_a_lock_that_was_passed_on_outlives_us_with_the_program(tmp_path: Path, pids: list[int]) -> None:
    """Killed, we end nothing; what we started still has its lock, down to the last of its children."""
    path = tmp_path / "lock"
    code = f"""
import asyncio, fcntl, os, sys
from pathlib import Path
sys.path.insert(0, {str(Path(envpanel.__file__).parents[1])!r})
from envpanel.process import run
lock = os.open({str(path)!r}, os.O_CREAT | os.O_RDWR)
fcntl.flock(lock, fcntl.LOCK_EX)
argv = ["sh", "-c", "sleep 300 & echo $!; echo $$; wait"]
def tell(line):
    print(line, flush=True)
asyncio.run(run(argv, env=dict(os.environ), cwd=Path("/"), pass_fds=[lock], on_line=tell))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as ours:
        assert ours.stdout is not None
        child, leader = int(ours.stdout.readline()), int(ours.stdout.readline())
        pids += [leader, child]
        ours.kill()
    assert alive(leader)
    assert is_locked(path)
    os.kill(leader, signal.SIGKILL)
    assert eventually(lambda: not alive(leader))
    assert is_locked(path)
    os.kill(child, signal.SIGKILL)
    assert eventually(lambda: not is_locked(path))


def test_other_open_files_do_not_reach_it(tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        listed = finished("ls", "-l", "/proc/self/fd").lines
    assert not [line for line in listed if "secret" in line]
