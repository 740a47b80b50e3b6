# SPDX-License-Identifier: Apache-2.0
"""The process itself."""

import ctypes
import faulthandler
import os
import signal
import sys

from sixcall.worker import channel as ch

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_forked = False


def harden(control_fd: int) -> None:
    """What there is to do before any code of a plug-in runs."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0 or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        ch.die(ch.EXIT_FAILED, f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        ch.die(ch.EXIT_HOST_GONE, "the host died while its worker started")
    os.set_inheritable(control_fd, False)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the host says when to end
    sys.stdout.reconfigure(line_buffering=True)
    faulthandler.enable(all_threads=False)  # a crash says where
    os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    global _forked
    _forked = True


def check_fork() -> None:
    """Ends a process that a plug-in forked and that came back from its call: there is
    one worker, and its rings have one reader."""
    if _forked:
        os._exit(ch.EXIT_CONTRACT)
