# SPDX-License-Identifier: Apache-2.0
"""The one exception of this package, and the codes of the C ABI in words."""

from __future__ import annotations

CODES = {
    0: "ok",
    -1: "invalid",
    -2: "busy",
    -3: "closed",
    -4: "unsupported",
    -5: "io",
    -6: "no memory",
    -7: "timeout",
    -8: "cancelled",
    -9: "auth",
    -10: "connect",
    -11: "config",
    -12: "internal",
    -13: "version",
    -14: "stuck",
    -15: "no space",
    -16: "corrupt",
}

STATUS = {
    0: "miss",
    1: "hit",
    2: "error",
    3: "size mismatch",
    4: "cancelled",
    5: "timed out",
    6: "refused",
    7: "corrupt",
    0xFF: "not answered",
}


class Error(RuntimeError):
    """An operation that failed. The text names the thing, its value and what would
    be right; ``code`` is the number of the C ABI."""

    def __init__(self, operation: str, connector: str, code: int, text: str = ""):
        self.operation, self.connector, self.code, self.text = operation, connector, code, text
        message = f"{operation} {connector!r}: {CODES.get(code, f'code {code}')}"
        super().__init__(f"{message}: {text}" if text else message)

    def __reduce__(self):
        return Error, (self.operation, self.connector, self.code, self.text)
