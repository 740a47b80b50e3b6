# SPDX-License-Identifier: Apache-2.0
"""The configuration of a connector: one JSON object whose secrets are looked up here."""

from __future__ import annotations

import json
import os
from typing import Any

from sixcall.abi import E_CONFIG
from sixcall.errors import Error

_MAX_SECRET_FILE = 64 << 10  # bytes


def encode(params: Any, connector: str) -> bytes:
    """Returns the JSON text of params, with {"$env": NAME} and {"$file": PATH}
    replaced by what they stand for."""
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise Error("open", connector, E_CONFIG, f"params is a {type(params).__name__}, want an object")
    try:
        resolved = _resolve(params, "params")
        return json.dumps(resolved, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, OSError) as error:
        raise Error("open", connector, E_CONFIG, str(error)) from None


def _resolve(value: Any, at: str) -> Any:
    if isinstance(value, dict):
        if "$env" in value or "$file" in value:
            return _secret(value, at)
        return {key: _resolve(inner, f"{at}.{key}") for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_resolve(inner, f"{at}[{i}]") for i, inner in enumerate(value)]
    return value


def _secret(value: dict, at: str) -> str:
    if len(value) != 1:
        raise ValueError(f"{at}: a reference to a secret stands beside other keys, want it alone in its object")
    kind, target = next(iter(value.items()))
    if not isinstance(target, str) or not target:
        raise ValueError(f"{at}: {kind} is {target!r}, want a name")
    if kind == "$env":
        if target not in os.environ:
            raise ValueError(f"{at}: environment variable {target!r} is not set")
        return os.environ[target]
    if not os.path.isabs(target):
        raise ValueError(f"{at}: $file is {target!r}, want an absolute path")
    with open(target, "rb") as file:
        content = file.read(_MAX_SECRET_FILE + 1)
    if len(content) > _MAX_SECRET_FILE:
        raise ValueError(f"{at}: file {target!r} has more than {_MAX_SECRET_FILE} bytes")
    text = content.decode()
    return text[:-1].removesuffix("\r") if text.endswith("\n") else text
