# SPDX-License-Identifier: Apache-2.0
"""Runs LMCache's own code for remote storage, from its wheel, for a test:

    remote.py server HOST PORT        LMCache's server, which lm:// talks to
    remote.py fs FOLDER | redis URL | lm HOST PORT | mooncakestore MASTER
                                      a connector; commands on stdin, a JSON object a
                                      line, answers on descriptor 3:
    {"op": "put", "key": text, "value": base64, "shape": [...], "dtype": name}
    {"op": "get" or "exists", "key": text}

LMCache imports torch and much else that its connectors only name. Whatever is not
installed is stood in for: data types and shapes of torch, one client for redis, files
of aiofiles, and nothing for the rest. The wheel's code that makes keys, headers, file
names and messages runs as it is."""
import asyncio
import base64
import importlib.abc
import importlib.machinery
import json
import logging
import os
import socket
import sys
import types


class Anything(type):
    """A class that has every attribute and takes every call."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})

    def __call__(cls, *args, **kwargs):
        # As a decorator it is not there.
        if len(args) == 1 and callable(args[0]) and not kwargs:
            return args[0]
        return Anything("call", (), {})

    def __or__(cls, other):
        return cls

    __ror__ = __or__

    def __getitem__(cls, item):
        return cls

    def __iter__(cls):
        return iter(())

    def __mro_entries__(cls, bases):
        return (object,)


class Standin(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = Anything(name, (), {})
        setattr(self, name, value)
        return value


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    # Parts of LMCache that need what is not here, and that a connector only names.
    OWN = ("lmcache.observability", "lmcache.v1.platform", "lmcache.v1.pin_monitor", "lmcache.v1.system_detection",
           "lmcache.integration.vllm", "lmcache.v1.storage_backend.local_cpu_backend", "lmcache.v1.memory_allocators",
           "lmcache.v1.storage_backend.native_clients", "lmcache.v1.config", "lmcache.v1.gpu_connector")

    def find_spec(self, name, path=None, target=None):
        if name in self.OWN or name.startswith(tuple(own + "." for own in self.OWN)):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Standin(spec.name)

    def exec_module(self, module):
        pass


class Missing(Finder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("lmcache", "readline") or name.split(".")[0] in sys.stdlib_module_names:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)


class DType:
    def __init__(self, name, size):
        self.name, self.itemsize = name, size

    def __repr__(self):
        return "torch." + self.name


def fake_torch():
    torch = Standin("torch")
    torch.dtype = DType
    torch.Size = tuple
    for name, size in (("float16", 2), ("bfloat16", 2), ("float32", 4), ("float64", 8), ("uint8", 1), ("float8_e4m3fn", 1),
                       ("float8_e5m2", 1), ("float8_e4m3fnuz", 1), ("float8_e5m2fnuz", 1), ("int8", 1), ("int16", 2),
                       ("int32", 4), ("int64", 8), ("bool", 1)):
        setattr(torch, name, DType(name, size))
    torch.half, torch.float, torch.double = torch.float16, torch.float32, torch.float64
    return torch


class Redis:
    """Four commands of redis over a plain socket."""

    def __init__(self, url):
        host, port = url.split("://")[1].split("/")[0].split(":")
        self.file = socket.create_connection((host, int(port))).makefile("rwb")

    def command(self, *words):
        words = [w if isinstance(w, (bytes, bytearray, memoryview)) else str(w).encode() for w in words]
        self.file.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), bytes(w)) for w in words))
        self.file.flush()
        line = self.file.readline().strip()
        if line[:1] == b"$":
            n = int(line[1:])
            return None if n < 0 else self.file.read(n + 2)[:-2]
        if line[:1] == b":":
            return int(line[1:])
        assert line[:1] == b"+", line
        return line[1:]

    async def get(self, key):
        return self.command("GET", key)

    async def set(self, key, value):
        return self.command("SET", key, value)

    async def exists(self, key):
        return self.command("EXISTS", key)

    async def delete(self, key):
        return self.command("DEL", key)

    async def close(self):
        self.file.close()


class AsyncFile:
    def __init__(self, path, mode):
        self.file = open(path, mode)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.file.close()

    async def readinto(self, buffer):
        return self.file.readinto(buffer)

    async def write(self, data):
        return self.file.write(data)


def later(f):
    async def call(*args):
        return f(*args)
    return call


torch = fake_torch()
sys.modules["torch"] = torch
sys.meta_path.insert(0, Finder())
sys.meta_path.append(Missing())

files = Standin("aiofiles")
files.open = AsyncFile
files.os = Standin("aiofiles.os")
files.os.path = types.SimpleNamespace(exists=later(os.path.exists))
files.os.replace, files.os.unlink = later(os.replace), later(os.unlink)
sys.modules["aiofiles"], sys.modules["aiofiles.os"] = files, files.os

client = Standin("redis.asyncio")
client.ConnectionPool = types.SimpleNamespace(from_url=lambda url, **_: url)
client.Redis = types.SimpleNamespace(from_pool=Redis)
sys.modules["redis"] = Standin("redis")
sys.modules["redis"].asyncio = sys.modules["redis.asyncio"] = client

logs = types.ModuleType("lmcache.logging")
logs.init_logger = lambda name, *_, **__: logging.getLogger(name)
sys.modules["lmcache.logging"] = logs
import lmcache  # noqa: E402

# The packages themselves import every backend; only their modules are wanted.
WHEEL = os.path.dirname(lmcache.__file__)
for package in ("lmcache.v1.storage_backend", "lmcache.v1.storage_backend.connector", "lmcache.integration"):
    module = types.ModuleType(package)
    module.__path__ = [os.path.join(os.path.dirname(WHEEL), *package.split("."))]
    sys.modules[package] = module


def elements(shape):
    n = 1
    for d in shape:
        n *= d
    return n


def size_bytes(shapes, dtypes):
    return sum(elements(s) * d.itemsize for s, d in zip(shapes, dtypes))


import lmcache.integration.vllm.utils as vllm_utils  # noqa: E402
vllm_utils.get_size_bytes = size_bytes
from lmcache.utils import STR_DTYPE_TO_TORCH_DTYPE as DTYPES, parse_cache_key  # noqa: E402
from lmcache.v1.memory_management import MemoryFormat  # noqa: E402


class Chunk:
    """What a connector uses of a memory object."""

    def __init__(self, shapes, dtypes, fmt):
        self.shapes = [tuple(s) for s in (shapes if isinstance(shapes, list) else [shapes])]
        self.dtypes = dtypes if isinstance(dtypes, list) else [dtypes]
        self.fmt = fmt
        self.byte_array = memoryview(bytearray(size_bytes(self.shapes, self.dtypes)))
        self.raw_tensor = types.SimpleNamespace(copy_=self.fill)
        self.metadata = self.meta = types.SimpleNamespace(shape=self.shapes[0], dtype=self.dtypes[0], fmt=fmt)

    def fill(self, data):
        self.byte_array[:] = data

    def get_shapes(self):
        return self.shapes

    def get_dtypes(self):
        return self.dtypes

    def get_shape(self):
        return self.shapes[0]

    def get_dtype(self):
        return self.dtypes[0]

    def get_memory_format(self):
        return self.fmt

    def get_size(self):
        return len(self.byte_array)

    def ref_count_up(self):
        pass

    ref_count_down = ref_count_up


FULL = ([(2, 2, 16, 16)], [torch.bfloat16])
backend = types.SimpleNamespace(
    config=types.SimpleNamespace(
        extra_config=None, use_layerwise=False, get_extra_config_value=lambda key, default=None: default),
    metadata=types.SimpleNamespace(
        get_shapes=lambda: FULL[0], get_dtypes=lambda: FULL[1], use_mla=False, chunk_size=16, get_num_groups=lambda: 1),
    allocate=lambda shapes, dtypes, fmt=MemoryFormat.KV_2LTD, **_: Chunk(shapes, dtypes, fmt))


async def serve(kind, args):
    loop = asyncio.get_running_loop()
    if kind == "fs":
        from lmcache.v1.storage_backend.connector.fs_connector import FSConnector
        connector = FSConnector(loop, backend, backend.config, base_paths_str=args[0])
    elif kind == "redis":
        from lmcache.v1.storage_backend.connector.redis_connector import RedisConnector
        connector = RedisConnector(args[0], loop, backend)
    elif kind == "mooncakestore":
        from lmcache.v1.storage_backend.connector.mooncakestore_connector import MooncakestoreConnector
        # The client is Mooncake's own; torch only copies what it has read.
        torch.frombuffer = lambda buffer, dtype, offset, count: memoryview(buffer).cast("B")[offset:offset + count]
        backend.config.extra_config = {
            "local_hostname": "127.0.0.1", "metadata_server": "P2PHANDSHAKE", "global_segment_size": "0",
            "local_buffer_size": "16777216", "mooncake_master_server_addr": args[0], "transfer_timeout": 60}
        backend.memory_allocator = types.SimpleNamespace(numa_mapping=types.SimpleNamespace())
        connector = MooncakestoreConnector(loop, backend, backend.config)
    else:
        from lmcache.v1.storage_backend.connector.lm_connector import LMCServerConnector
        connector = LMCServerConnector(args[0], int(args[1]), loop, backend)
    answers = os.fdopen(3, "w")
    for line in sys.stdin:
        request = json.loads(line)
        key, answer = parse_cache_key(request["key"]), {}
        if request["op"] == "put":
            chunk = Chunk([request["shape"]], [DTYPES[request["dtype"]]], MemoryFormat.KV_2LTD)
            chunk.byte_array[:] = base64.b64decode(request["value"])
            await connector.put(key, chunk)
        elif request["op"] == "exists":
            answer["found"] = bool(await connector.exists(key))
        else:
            (chunk,) = await connector.batched_get([key]) if connector.support_batched_get() else [await connector.get(key)]
            if chunk is not None:
                answer = {"found": True, "value": base64.b64encode(chunk.byte_array).decode(), "shape": list(chunk.get_shape())}
        print(json.dumps(answer), file=answers, flush=True)


if sys.argv[1] == "server":
    from lmcache.v1.server.__main__ import LMCacheServer
    LMCacheServer(sys.argv[2], int(sys.argv[3]), "cpu").run()
else:
    asyncio.run(serve(sys.argv[1], sys.argv[2:]))
os._exit(0)
