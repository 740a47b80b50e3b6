# SPDX-License-Identifier: Apache-2.0
"""Keeps the signal handlers of this process while code of a library runs."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import signal

_log = logging.getLogger("sixcall")
_SIZE = 256  # glibc's struct sigaction has 152 bytes


def _content(action) -> bytes:
    """Handler, the 64 signals of the mask, flags; the rest of the mask is not filled."""
    return action.raw[:16] + action.raw[136:140]


@contextlib.contextmanager
def kept(library: str):
    """Puts handlers back that the block changed, and names the library that did."""
    libc = ctypes.CDLL(None)
    before = {}
    for number in range(1, signal.NSIG):
        action = ctypes.create_string_buffer(_SIZE)
        if libc.sigaction(number, None, action) == 0:
            before[number] = action
    try:
        yield
    finally:
        changed = []
        for number, action in before.items():
            now = ctypes.create_string_buffer(_SIZE)
            if libc.sigaction(number, None, now) == 0 and _content(now) != _content(action):
                libc.sigaction(number, action, None)
                changed.append(_name(number))
        if changed:
            _log.warning("connector %r changed the handlers of %s; they were put back", library, ", ".join(changed))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
