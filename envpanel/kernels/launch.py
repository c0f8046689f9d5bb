"""Starts a kernel without a server: what kernelspecs of environments name, for nbclient, papermill, VS Code.

    python -P -m envpanel.kernels.launch --home HOME NAME[@N] -f CONNECTION_FILE

Resolves the head, builds what is missing, and becomes the kernel. What is wrong is a sentence on standard error and
exit code 1, which Jupyter tells as a kernel that died.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from envpanel.authors import os_author
from envpanel.engines.interface import Report
from envpanel.errors import Cancelled, EnvPanelError, NotFound, StoreError
from envpanel.home import open_environments
from envpanel.kernels import kernel, start
from envpanel.kernels.specs import absolute
from envpanel.kernels.start import Start
from envpanel.model.nouns import Progress
from envpanel.service import Environments

_STEP = 5.0
"""Seconds between two lines of progress within one phase."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Become the kernel, or say why not."""
    parser = argparse.ArgumentParser(prog="python -m envpanel.kernels.launch", allow_abbrev=False)
    parser.add_argument("--home", required=True, metavar="HOME", help="the project's home: a folder or an address")
    parser.add_argument("target", metavar="NAME[@N]", type=_target, help="an environment, or a revision of it")
    parser.add_argument("-f", dest="connection_file", required=True, metavar="FILE", help="Jupyter's connection file")
    options, arguments = parser.parse_known_args(argv)
    name, number = options.target
    try:
        _launch(options.home, name, number, options.connection_file, arguments)
    except EnvPanelError as error:
        failure = error
    except OSError as error:
        failure = StoreError(f"{error.filename or 'The disk'}: {error.strerror}.")
    except (KeyboardInterrupt, asyncio.CancelledError):
        failure = Cancelled("Cancelled; no kernel was started.")
    print(f"envpanel: {failure.message} {failure.hint or ''}".rstrip(), file=sys.stderr)
    raise SystemExit(1)


def _launch(where: str, name: str, number: int | None, connection_file: str, arguments: Sequence[str]) -> None:
    if "://" not in where and not Path(where).is_dir():
        raise NotFound(f"{where} is gone, and with it the environment {name}.")
    environments = open_environments(where, os.environ)
    ready = asyncio.run(_ready(environments, name, number, _reporter()))
    # kernel-<id>.json, by Jupyter's habit.
    kernel_id = Path(connection_file).stem.removeprefix("kernel-")
    told = kernel.started(ready, kernel_id, os_author(os.environ), pid=os.getpid())
    with contextlib.suppress(StoreError):
        kernel.Kernels(environments.ledger.store, environments.cache).put(told)
    command = ready.kernel(["-f", connection_file, *arguments])
    asked = start.for_notebook(absolute(where), sys.executable)
    ready.replace_process(command, {**ready.variables(os.environ), **asked})


async def _ready(environments: Environments, name: str, number: int | None, report: Report) -> Start:
    task = asyncio.current_task()
    assert task is not None
    # What has been started for a build ends with it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await start.for_kernel(environments, name, number, report=report)


def _reporter() -> Report:
    """A line for each phase, and now and then one in between."""
    last: tuple[str, float] = ("", 0.0)

    def report(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if progress.phase != last[0] or now - last[1] >= _STEP:
            last = (progress.phase, now)
            print(f"envpanel: {progress}", file=sys.stderr, flush=True)

    return report


def _target(text: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"([^@]+)(?:@([1-9]\d{0,7}))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME[@N]")
    return match[1], int(match[2]) if match[2] else None


if __name__ == "__main__":
    main()
