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
# ANSI sequences, in their forms of seven and of eight bits: colours, cursor, links.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[@-Z\\-_]"
)
# What is left of control characters, and those that turn the direction of a text.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_USERINFO = re.compile(r"://[^/\s]*@")
_QUERY_SECRET = re.compile(
    r"([?&][\w-]{0,80}?(?:key|token|secret|passw|signature|sig)\w{0,40})=[^&\s#]+", re.IGNORECASE
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
    return _QUERY_SECRET.sub(r"\1=****", _USERINFO.sub("://****@", text))


def cleaned(line: bytes) -> str:
    """A line as plain text: UTF-8, what stands there in the end, no control sequences, no credentials."""
    text = _SEQUENCE.sub("", line.decode(errors="replace").rstrip("\r"))
    # A carriage return goes back to the beginning of the line: progress that was overwritten.
    return redacted(_CONTROL.sub("", text.rsplit("\r", 1)[-1]))


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

    The output that `streams` names comes as one stream of lines. Where the caller is cancelled, or after `timeout`
    seconds, the program's whole group is ended before this returns, however often it is cancelled. `pass_fds` stay
    open in it: a lock among them is held until the last of its children is gone, even where we are killed.

    Raises:
        TimedOut: after `timeout` seconds.
        OSError: it cannot be started.
    """
    stop = asyncio.Event()
    # The work itself is never cancelled: it is told to stop, and then ends what it has begun, whatever that was.
    work = asyncio.create_task(_run(argv, env, cwd, on_line, timeout, pass_fds, streams, stop))
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
            stop.set()
    if cancelled:
        if not work.cancelled():
            work.exception()
        raise asyncio.CancelledError
    return work.result()


async def _run(
    argv: Sequence[str | Path],
    env: Mapping[str, str],
    cwd: Path,
    on_line: Callable[[str], None] | None,
    seconds: float | None,
    pass_fds: Sequence[int],
    streams: Streams,
    stop: asyncio.Event,
) -> Finished:
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
        finally:
            os.close(write_end)
        reading = asyncio.create_task(_read(output, take))

        def stop_on_error(task: asyncio.Task[None]) -> None:
            # Where a line cannot be taken, there is no point in going on.
            if not task.cancelled() and task.exception() is not None:
                stop.set()

        reading.add_done_callback(stop_on_error)
        waiting, stopping = asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([waiting, stopping], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await _end(process, waiting, reading)
        if reading.done() and not reading.cancelled():
            reading.result()
        if not done:
            raise TimedOut(f"{Path(argv[0]).name} took longer than {seconds:g} s")
        return Finished(code=await waiting, lines=tuple(lines))
    finally:
        transport.close()


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


async def _end(process: asyncio.subprocess.Process, waiting: asyncio.Task[int], reading: asyncio.Task[None]) -> None:
    """End the group, also after a normal end of its leader: a build must not leave anything running."""
    if waiting.done():
        # The usual case: nobody holds the output any more, and there is nothing to end.
        await asyncio.wait([reading], timeout=0.2)
        if reading.done() and not _signal_group(process.pid, 0):
            return
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _signal_group(process.pid, number):
            break
        await asyncio.wait([waiting, reading], timeout=GRACE_SECONDS)
        if waiting.done() and reading.done():
            # What is left has closed its output, and had its chance.
            _signal_group(process.pid, signal.SIGKILL)
            break
    if not reading.done():
        reading.cancel()
        await asyncio.wait([reading])


def _signal_group(group: int, number: int) -> bool:
    """False where the group has no member left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False
