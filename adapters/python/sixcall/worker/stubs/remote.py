# SPDX-License-Identifier: Apache-2.0
"""Connectors to remote storage."""

import abc
import asyncio
import types
import urllib.parse


class RemoteConnector(abc.ABC):
    def __init__(self, config, metadata):
        if metadata is None:
            raise AssertionError("a RemoteConnector needs metadata")
        self.save_chunk_meta = True
        self.meta_shapes, self.meta_dtypes = metadata.get_shapes(), metadata.get_dtypes()

    @abc.abstractmethod
    async def exists(self, key) -> bool: ...

    @abc.abstractmethod
    def exists_sync(self, key) -> bool: ...

    @abc.abstractmethod
    async def get(self, key): ...

    @abc.abstractmethod
    async def put(self, key, memory_obj): ...

    @abc.abstractmethod
    async def list(self) -> list: ...

    @abc.abstractmethod
    async def close(self): ...

    def post_init(self):
        return None

    def support_ping(self) -> bool:
        return False

    async def ping(self) -> int:
        raise NotImplementedError

    def support_batched_get(self) -> bool:
        return False

    async def batched_get(self, keys) -> list:
        raise NotImplementedError

    def support_batched_put(self) -> bool:
        return False

    async def batched_put(self, keys, memory_objs):
        raise NotImplementedError

    def support_batched_contains(self) -> bool:
        return False

    def batched_contains(self, keys) -> int:
        raise NotImplementedError

    def support_batched_async_contains(self) -> bool:
        return True

    async def batched_async_contains(self, lookup_id: str, keys, pin: bool = False) -> int:
        found = await asyncio.gather(*(self.exists(key) for key in keys))
        return next((i for i, there in enumerate(found) if not there), len(keys))

    def support_batched_get_non_blocking(self) -> bool:
        return True

    def remove_sync(self, key) -> bool:
        raise NotImplementedError


class ConnectorContext:
    def __init__(self, url, loop, local_cpu_backend, config, metadata, plugin_name=None):
        self.url, self.loop, self.local_cpu_backend = url, loop, local_cpu_backend
        self.config, self.metadata, self.plugin_name = config, metadata, plugin_name

    def get_full_chunk_size_bytes(self) -> int:
        return self.local_cpu_backend.get_full_chunk_size_bytes()


class ConnectorAdapter(abc.ABC):
    def __init__(self, schema: str = ""):
        self.schema = schema

    def can_parse(self, url: str) -> bool:
        return self.schema != "" and url.startswith(self.schema)

    @abc.abstractmethod
    def create_connector(self, context): ...


def extract_plugin_type(plugin_name: str) -> str:
    return plugin_name.split(".", 1)[0]


def parse_remote_url(url: str):
    parsed = urllib.parse.urlparse(url)
    if parsed.hostname is None or parsed.port is None:
        raise AssertionError(f"Invalid URL {url}: missing host or port")
    return types.SimpleNamespace(
        host=parsed.hostname, port=parsed.port, path=parsed.path or "", username=parsed.username, password=parsed.password,
        query_params=urllib.parse.parse_qs(parsed.query) if parsed.query else {},
    )
