# SPDX-License-Identifier: Apache-2.0
"""Errors of loading, and what a traceback says in one line."""

import traceback

from sixcall.worker import batch


class LoadError(Exception):
    """The plug-in cannot be used. The text names the thing, the value and what would
    be right."""

    def __init__(self, text: str, code: int = batch.CONFIG):
        super().__init__(text)
        self.code = code


def last_lines(error: BaseException, lines: int = 3) -> str:
    """What went wrong and where: the last frames and the exception itself."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename and "/sixcall/worker/" not in f.filename]
    where = [f'"{f.filename}", line {f.lineno}, in {f.name}: {f.line or ""}'.rstrip(": ") for f in frames[-lines:]]
    return " | ".join([*where, _short(error)])


def _short(error: BaseException) -> str:
    text = " ".join("".join(traceback.format_exception_only(type(error), error)).split())
    return text[:1000]


def say(error: BaseException) -> str:
    """One line for a failed call."""
    return last_lines(error, 1)
