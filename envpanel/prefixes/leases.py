"""Leases: what keeps a prefix from being removed while something runs in it."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from envpanel.prefixes.prefix import Prefix


def hold(prefix: Prefix) -> int:
    """A shared flock on the READY file, as a file descriptor to hand on to the program that runs in the prefix.

    It ends with the last process that has it open, however that ends. Children do not get it by themselves: it is
    handed on with `os.set_inheritable` before an exec, or with `pass_fds`. Waits while somebody removes the prefix.

    Raises:
        FileNotFoundError: it was removed.
    """
    descriptor = os.open(prefix.ready, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        # While we waited it may have been removed, and another one published under its name.
        if os.path.samestat(os.fstat(descriptor), os.stat(prefix.ready)):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(prefix.ready))


def is_held(ready: Path) -> bool:
    """Whether anything runs in the prefix of this READY file, on any machine that shares its file system."""
    try:
        descriptor = os.open(ready, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
