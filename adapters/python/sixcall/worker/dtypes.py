# SPDX-License-Identifier: Apache-2.0
"""Data types: their names in keys, their codes in headers, and torch's objects."""

import functools
import importlib.util

# Name in keys: code in headers, bytes, attribute of torch.
_TYPES = {
    "half": (2, 2, "float16"), "bfloat16": (3, 2, "bfloat16"), "float": (4, 4, "float32"), "double": (5, 8, "float64"), "uint8": (6, 1, "uint8"),
    "fp8_e4m3": (7, 1, "float8_e4m3fn"), "fp8_e5m2": (8, 1, "float8_e5m2"),
}


class DType:
    """Stands for a type of torch where there is no torch."""

    def __init__(self, name: str, itemsize: int):
        self._name, self.itemsize = name, itemsize

    def __repr__(self) -> str:
        return "torch." + self._name


@functools.cache
def torch():
    """The module torch of this interpreter, or None."""
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        import torch as module
    except Exception:  # an installation that does not fit
        return None
    return module


@functools.cache
def named(name: str):
    """The type of that name; "" and 0 stand for bytes."""
    _, size, attribute = _TYPES.get(name) or _TYPES["uint8"]
    return getattr(torch(), attribute) if torch() else DType(attribute, size)


def coded(code: int):
    for name, (known, _, _) in _TYPES.items():
        if known == code or code == 1 and name == "half":
            return named(name)
    if code == 0:
        return named("uint8")
    raise ValueError(f"data type code {code} is unknown")


def code(dtype) -> int:
    text = str(dtype).removeprefix("torch.")
    for known, _, attribute in _TYPES.values():
        if attribute == text:
            return known
    raise ValueError(f"data type {text} has no code in headers")


def size(shape) -> object:
    """A shape as torch has it."""
    return torch().Size(shape) if torch() else tuple(shape)
