"""The one door to other programs: asynchronous, line by line, in a group of its own, with few variables.

Killing a resolver alone leaves the build back ends that it started, so every program gets a session of its own and
the whole group ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Streams = Literal["both", "stdout", "stderr"]

GRACE_SECONDS = 3.0
_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 16
# ANSI sequences (colours, cursor, links) and other control characters: a log is text.
_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b-\x1f\x7f]")
_USERINFO = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@]+@")
_QUERY_SECRET = re.compile(
    r"([?&](?:[\w-]*(?:key|token|secret|password|passwd|signature|sig)))=[^&\s#]+", re.IGNORECASE
)

_PASSED_ON = frozenset(
    "PATH HOME USER LOGNAME LANG LC_ALL LC_CTYPE TZ TMPDIR "  # noqa: SIM905 - 24 quoted names read worse
    "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy "
    "SSL_CERT_FILE SSL_CERT_DIR SSL_CLIENT_CERT REQUESTS_CA_BUNDLE NETRC".split()
)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a program ended: exit code (negative: the signal), and what it wrote, cleaned and redacted."""

    code: int
    lines: tuple[str, ...]


class TimedOut(Exception):
    """The program took longer than it was allowed, and was ended with all that it had started."""


def allowed(environ: Mapping[str, str], also: Iterable[str] = ()) -> dict[str, str]:
    """The variables that a program may see: those of the allow-list, and those that `also` names."""
    names = _PASSED_ON.union(also)
    return {name: value for name, value in environ.items() if name in names}


def redacted(text: str) -> str:
    """The text without the credentials of addresses in it."""
    return _QUERY_SECRET.sub(r"\1=****", _USERINFO.sub(r"\1****@", text))


def cleaned(line: bytes) -> str:
    """A line as plain text: UTF-8, no control sequences, no credentials."""
    return redacted(_CONTROL.sub("", line.decode(errors="replace").rsplit("\r", 1)[-1]))


async def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    on_line: Callable[[str], None] | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - it ends a group, which asyncio.timeout alone does not
    pass_fds: Sequence[int] = (),
    streams: Streams = "both",
) -> Finished:
    """Run a program to its end.

    The output that `streams` names comes as one stream of lines. Where the caller is
    cancelled, or after `timeout` seconds, the program's whole group is ended before this returns. `pass_fds` stay open
    in it: a lock among them is held until the last of its children is gone, even where we are killed.

    Raises:
        TimedOut: after `timeout` seconds.
        OSError: it cannot be started.
    """
    lines: list[str] = []

    def take(raw: bytes) -> None:
        line = cleaned(raw)
        lines.append(line)
        if on_line is not None:
            on_line(line)

    # A pipe of our own: asyncio's waits for a program's end and for the end of its output as one, and a child left in
    # the background keeps the output open.
    read_end, write_end = os.pipe()
    output = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(output), os.fdopen(read_end, "rb", buffering=0)
    )
    try:
        process = await asyncio.create_subprocess_exec(
            *map(str, argv),
            env=dict(env),
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL if streams == "stderr" else write_end,
            stderr=asyncio.subprocess.DEVNULL if streams == "stdout" else write_end,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except BaseException:
        transport.close()
        raise
    finally:
        os.close(write_end)
    reading = asyncio.create_task(_read(output, take))
    try:
        async with asyncio.timeout(timeout):
            code = await process.wait()
    except TimeoutError as error:
        raise TimedOut(f"{Path(argv[0]).name} took longer than {timeout:.0f} s") from error
    finally:
        await asyncio.shield(_end(process, reading))
        transport.close()
    return Finished(code=code, lines=tuple(lines))


async def _read(stream: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
    """Lines as they come. StreamReader.readline refuses long ones; here they are cut."""
    rest = b""
    while chunk := await stream.read(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            take(line[:_LONGEST_LINE])
        rest = rest[:_LONGEST_LINE]
    if rest:
        take(rest)


async def _end(process: asyncio.subprocess.Process, reading: asyncio.Task[None]) -> None:
    """End the group, also after a normal end of its leader: a build must not leave anything running."""
    if process.returncode is not None:
        # The usual case: nobody holds the output any more, and there is nothing to end.
        await asyncio.wait([reading], timeout=0.2)
        if reading.done() and not _signal_group(process.pid, 0):
            return
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _signal_group(process.pid, number):
            break
        await asyncio.wait([asyncio.ensure_future(process.wait()), reading], timeout=GRACE_SECONDS)
        if reading.done() and process.returncode is not None:
            # What is left has closed its output, and had its chance.
            _signal_group(process.pid, signal.SIGKILL)
            break
    reading.cancel()


def _signal_group(group: int, number: int) -> bool:
    """False where the group has no member left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False
