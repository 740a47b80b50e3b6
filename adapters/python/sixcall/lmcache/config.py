# SPDX-License-Identifier: Apache-2.0
"""The configuration of L2Adapter, which LMCache finds by its name."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from lmcache.v1.distributed.l2_adapters.config import L2AdapterConfigBase

from sixcall import abi
from sixcall.errors import Error

_HELP = """\
sixcall.lmcache.L2Adapter: adapter_params
- library (str): path or bare name of a connector library (required, unless type is given)
- class_name (str): the name that the library declares (default: from the file's name)
- params (dict): the connector's own configuration
- max_capacity_gb (number): capacity for usage and eviction (default 0 = not bounded)
- isolation (str): "auto", "process" or "none" (default "auto")
- buffers (str): "copy" or "direct" (default "copy"); direct registers LMCache's L1
- deadlines, limits, breaker, worker (dict), integrity, sha256, open_timeout: as for every
  connector of Sixcall
- type (str): instead of library, any adapter type of Sixcall with that type's fields
"""

_OWN = ("library", "class_name", "params")


@dataclass
class L2AdapterConfig(L2AdapterConfigBase):
    """adapter_params of L2Adapter. What is in settings is checked by the bridge, which
    names every unknown key and wrong value at once."""

    library: str = ""
    class_name: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, d: dict) -> "L2AdapterConfig":
        settings = {key: value for key, value in d.items() if key not in _OWN}
        library, class_name, params = d.get("library", ""), d.get("class_name", ""), d.get("params", {})
        for name, value, kind in (("library", library, str), ("class_name", class_name, str), ("params", params, dict)):
            if not isinstance(value, kind):
                raise _wrong(f"{name} is a {type(value).__name__}, want {'an object' if kind is dict else 'a string'}")
        if "type" in settings and (library or class_name or "params" in d):
            raise _wrong("type stands beside library, class_name or params, want either")
        if "type" not in settings and not library:
            raise _wrong("library is missing, want the path or the name of a connector library")
        return cls(library, class_name, params, settings)

    @classmethod
    def help(cls) -> str:
        return _HELP

    def name(self) -> str:
        return self.declared_name() or str(self.settings.get("type", ""))

    def declared_name(self) -> str:
        """The name that the library has to declare."""
        if self.class_name or not self.library:
            return self.class_name
        name = os.path.basename(self.library)
        if "/" in self.library or name.endswith(".so"):
            name = name.removesuffix(".so").removeprefix("libsixcall_")
        return name

    def l2_adapter(self) -> dict[str, Any]:
        """The --l2-adapter value of the bridge."""
        if "type" in self.settings:
            return dict(self.settings)
        return {
            "type": "native_plugin",
            "module_path": self.library,
            "class_name": self.declared_name(),
            "adapter_params": self.params,
            **self.settings,
        }


def _wrong(text: str) -> Error:
    return Error("configure", "L2Adapter", abi.E_CONFIG, text)
