# SPDX-License-Identifier: Apache-2.0
"""What LMCache loads by module path and class name. A class is imported when it is
asked for: only those that LMCache itself serves need LMCache."""

from __future__ import annotations

import importlib

_HOME = {
    "NativeConnector": "sixcall.lmcache.native",
    "L2Adapter": "sixcall.lmcache.adapter",
    "L2AdapterConfig": "sixcall.lmcache.config",
    "SixcallConnectorAdapter": "sixcall.lmcache.remote",
    "SixcallConnector": "sixcall.lmcache.remote",
    "SixcallStorage": "sixcall.lmcache.storage",
}

__all__ = list(_HOME)


def __getattr__(name: str):
    try:
        module = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no class {name!r}, want one of {', '.join(_HOME)}") from None
    return getattr(importlib.import_module(module), name)
