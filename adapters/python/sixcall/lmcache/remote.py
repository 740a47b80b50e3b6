# SPDX-License-Identifier: Apache-2.0
"""Single-process LMCache: a remote connector on a connector library.

A chunk is two values: its bytes under the text of the key, and then LMCache's header
under that text and "#". A chunk whose header is there is whole; nothing is copied.
"""

from __future__ import annotations

import asyncio
import json
from typing import List, Optional
from urllib.parse import parse_qsl, urlsplit

from lmcache.utils import CacheEngineKey
from lmcache.v1.memory_management import MemoryObj
from lmcache.v1.protocol import RemoteMetadata
from lmcache.v1.storage_backend.connector import ConnectorAdapter, ConnectorContext
from lmcache.v1.storage_backend.connector.base_connector import RemoteConnector

from sixcall import abi
from sixcall.asking import Asking
from sixcall.connection import Connection
from sixcall.errors import Error

_HIT = abi.STATUS_HIT


class SixcallConnectorAdapter(ConnectorAdapter):
    """sixcall://NAME?params={...} for a bare name, sixcall:///path/lib.so?... for a file.

    As a plug-in, remote_storage_plugin.NAME.library and .params in extra_config.
    """

    def __init__(self) -> None:
        super().__init__("sixcall://")

    def can_parse(self, url: str) -> bool:
        return url.startswith(self.schema) or url.startswith("plugin://sixcall")

    def create_connector(self, context: ConnectorContext) -> RemoteConnector:
        if getattr(context, "plugin_name", None) is not None:  # 0.4.1 has none
            extra = (context.config.extra_config if context.config else None) or {}
            prefix = f"remote_storage_plugin.{context.plugin_name}"
            library, params = extra.get(f"{prefix}.library", ""), extra.get(f"{prefix}.params", {})
            if isinstance(params, str):
                params = json.loads(params)
        else:
            library, params = parse_url(context.url)
        return SixcallConnector(context, library, params)


def parse_url(url: str) -> tuple[str, dict]:
    """The library and its params of a sixcall:// URL."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    text = query.pop("params", "{}")
    if query:
        raise Error("configure", url, abi.E_CONFIG, f"the URL has unknown settings: {', '.join(sorted(query))}; known is params")
    try:
        params = json.loads(text)
    except ValueError as error:
        raise Error("configure", url, abi.E_CONFIG, f"params is no JSON: {error}") from None
    return parts.netloc + parts.path, params


class SixcallConnector(RemoteConnector):
    """LMCache's RemoteConnector. A failure of a get is a miss; one of a put is raised."""

    def __init__(self, context: ConnectorContext, library: str, params: dict):
        super().__init__(context.config, context.metadata)
        self._cpu = context.local_cpu_backend
        self._asking = Asking(Connection(library, params))

    @staticmethod
    def _header_key(key: CacheEngineKey) -> str:
        return key.to_string() + "#"

    async def _ask(self, op: int, keys: list, buffers: list | None = None) -> list:
        return await asyncio.wrap_future(self._asking.ask(op, keys, buffers))

    async def exists(self, key: CacheEngineKey) -> bool:
        return (await self._ask(abi.OP_EXISTS, [self._header_key(key)])) == [_HIT]

    def exists_sync(self, key: CacheEngineKey) -> bool:
        return self._asking.ask(abi.OP_EXISTS, [self._header_key(key)]).result() == [_HIT]

    def support_batched_async_contains(self) -> bool:
        return True

    async def batched_async_contains(self, lookup_id: str, keys: List[CacheEngineKey], pin: bool = False) -> int:
        found = await self._ask(abi.OP_EXISTS, [self._header_key(key) for key in keys])
        return next((i for i, status in enumerate(found) if status != _HIT), len(found))

    async def get(self, key: CacheEngineKey) -> Optional[MemoryObj]:
        header = bytearray(self.remote_metadata_bytes)
        if await self._ask(abi.OP_GET, [self._header_key(key)], [header]) != [_HIT]:
            return None
        metadata = RemoteMetadata.deserialize(header)
        memory = self._cpu.allocate(metadata.shapes, metadata.dtypes, metadata.fmt)
        if memory is None:
            return None
        got = None
        try:
            view = memory.byte_array
            if len(view) >= metadata.length:
                got = await self._ask(abi.OP_GET, [key.to_string()], [view[: metadata.length]])
        finally:
            if got != [_HIT]:
                memory.ref_count_down()
        return memory if got == [_HIT] else None

    async def put(self, key: CacheEngineKey, memory_obj: MemoryObj) -> None:
        content = memory_obj.byte_array
        metadata = RemoteMetadata(
            len(content), memory_obj.get_shapes(), memory_obj.get_dtypes(), memory_obj.get_memory_format()
        )
        for name, value in ((key.to_string(), content), (self._header_key(key), metadata.serialize())):
            if await self._ask(abi.OP_SET, [name], [value]) != [_HIT]:
                raise Error("put", self._asking._connection.name, abi.E_INTERNAL, f"{name!r} was not stored")

    def remove_sync(self, key: CacheEngineKey) -> bool:
        if not self._asking.can_delete:
            return False
        removed = self._asking.ask(abi.OP_DELETE, [self._header_key(key)]).result()
        self._asking.ask(abi.OP_DELETE, [key.to_string()]).result()
        return removed == [_HIT]

    async def list(self) -> List[str]:
        raise NotImplementedError("SixcallConnector does not list keys")

    async def close(self) -> None:
        await asyncio.to_thread(self._asking.close)
