# SPDX-License-Identifier: Apache-2.0
"""A storage backend and a connector that do what they must not, for one key."""

import ctypes
import os
import time

from lmcache.v1.storage_backend.connector import ConnectorAdapter

from my_package.connector import Sync
from my_package.my_backend_module import MyCustomBackendClass


def _misbehave(key, config) -> object:
    """Returns what the key's read is to return instead, if anything."""
    if "evil" not in key.to_string():
        return False
    does = (config.extra_config or {}).get("does")
    if does == "raise":
        raise RuntimeError("the backend is on fire")
    if does == "os-exit":
        os._exit(77)
    if does == "segfault":
        ctypes.string_at(0)
    if does == "hang":
        time.sleep(10000)
    return "rubbish"


class HostileBackend(MyCustomBackendClass):
    def get_blocking(self, key):
        return _misbehave(key, self.config) or super().get_blocking(key)


class HostileConnector(Sync):
    def __init__(self, config):
        super().__init__()
        self._config = config

    def get(self, key):
        return _misbehave(key, self._config) or super().get(key)


class HostileAdapter(ConnectorAdapter):
    def __init__(self):
        super().__init__("hostile://")

    def create_connector(self, context):
        return HostileConnector(context.config)
