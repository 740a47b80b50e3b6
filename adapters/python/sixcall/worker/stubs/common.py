# SPDX-License-Identifier: Apache-2.0
"""Keys, memory objects, configuration and metadata, as plug-ins see them."""

import abc
import dataclasses
import enum
import logging


def init_logger(name: str, *_args, **_kwargs) -> logging.Logger:
    return logging.getLogger(name)


class Bitmap:
    """Bits of a fixed number; the first is that of the first key."""

    def __init__(self, size: int, prefix: int = 0):
        self._size, self._bits = size, (1 << min(prefix, size)) - 1

    def set(self, i: int) -> None:
        if 0 <= i < self._size:
            self._bits |= 1 << i

    def clear(self, i: int) -> None:
        self._bits &= ~(1 << i)

    def test(self, i: int) -> bool:
        return bool(self._bits >> i & 1)

    def set_range(self, start: int, end: int) -> None:
        for i in range(start, min(end, self._size)):
            self.set(i)

    def batched_set(self, indices) -> None:
        for i in indices:
            self.set(i)

    def size(self) -> int:
        return self._size

    __len__ = size

    def popcount(self) -> int:
        return bin(self._bits).count("1")

    def count_leading_ones(self) -> int:
        return next((i for i in range(self._size) if not self.test(i)), self._size)

    def count_leading_zeros(self) -> int:
        return next((i for i in range(self._size) if self.test(i)), self._size)

    def highest_set_bit(self) -> int:
        return self._bits.bit_length() - 1

    def get_indices_list(self) -> list:
        return [i for i in range(self._size) if self.test(i)]

    def get_indices_set(self) -> set:
        return set(self.get_indices_list())

    def gather(self, items) -> list:
        return [items[i] for i in self.get_indices_list() if i < len(items)]

    def copy(self) -> "Bitmap":
        return self._of(self._size, self._bits)

    @classmethod
    def _of(cls, size: int, bits: int) -> "Bitmap":
        new = cls(size)
        new._bits = bits & (1 << size) - 1
        return new

    def __and__(self, other):
        return self._of(min(self._size, other._size), self._bits & other._bits)

    def __or__(self, other):
        return self._of(min(self._size, other._size), self._bits | other._bits)

    def __invert__(self):
        return self._of(self._size, ~self._bits)

    def __str__(self):
        return "".join("1" if self.test(i) else "0" for i in range(self._size))


class MemoryFormat(enum.Enum):
    UNDEFINED = 0
    KV_2LTD = 1
    KV_T2D = 2
    KV_2TD = 3
    BINARY = 4
    BINARY_BUFFER = 5
    KV_MLA_FMT = 6
    EC_TD = 7
    HS_TD = 8

    def token_dim(self) -> int:
        return {"KV_2LTD": 2, "KV_MLA_FMT": 2, "KV_T2D": 1}.get(self.name, 0)


@dataclasses.dataclass
class MemoryObjMetadata:
    shape: object
    dtype: object
    address: int
    phy_size: int
    ref_count: int
    pin_count: int = 0
    fmt: MemoryFormat = MemoryFormat.UNDEFINED
    cached_positions: object = None
    shapes: object = None
    dtypes: object = None


class MemoryObj(abc.ABC):
    def __init__(self, metadata: MemoryObjMetadata):
        self.meta = metadata


class MemoryAllocatorInterface(abc.ABC):
    pass


@dataclasses.dataclass(frozen=True)
class CacheEngineKey:
    model_name: str
    world_size: int
    worker_id: int
    chunk_hash: int
    dtype: object
    request_configs: object = dataclasses.field(default=None, compare=False)
    tags: object = None

    @property
    def chunk_hash_hex(self) -> str:
        return f"{self.chunk_hash:x}"

    def _head(self) -> str:
        return f"{self.model_name}@{self.world_size}@{self.worker_id}@{self.chunk_hash_hex}@{self.dtype}"

    def to_string(self) -> str:
        return self._head() + "".join(f"@{name}%{value}" for name, value in self.tags or ())

    @classmethod
    def _fields(cls, parts: list, tags: list) -> dict:
        pairs = tuple(tuple(tag.split("%", 1)) for tag in tags)
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"a tag of {tags} is not name%value")
        return {"model_name": parts[0], "world_size": int(parts[1]), "worker_id": int(parts[2]), "chunk_hash": int(parts[3], 16), "dtype": parts[4],
                "request_configs": {"lmcache.tag." + name: value for name, value in pairs} or None, "tags": pairs or None}

    @staticmethod
    def from_string(text: str) -> "CacheEngineKey":
        parts = text.split("@")
        if len(parts) < 5:
            raise ValueError(f"Invalid key string: {text}")
        return CacheEngineKey(**CacheEngineKey._fields(parts, parts[5:]))

    def __str__(self) -> str:
        return self.to_string()


@dataclasses.dataclass(frozen=True)
class LayerCacheEngineKey(CacheEngineKey):
    layer_id: int = 0

    def to_string(self) -> str:
        return f"{self._head()}@{self.layer_id}" + "".join(f"@{name}%{value}" for name, value in self.tags or ())

    @staticmethod
    def from_string(text: str) -> "LayerCacheEngineKey":
        parts = text.split("@")
        return LayerCacheEngineKey(**CacheEngineKey._fields(parts, parts[6:]), layer_id=int(parts[5]))


class LMCacheEngineConfig:
    """Settings by name; one that is not known is None."""

    def __init__(self, settings: dict):
        self.__dict__.update(settings)

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return None

    def get_extra_config_value(self, key: str, default_value=None):
        return (self.extra_config or {}).get(key, default_value)

    def to_dict(self) -> dict:
        return dict(self.__dict__)


@dataclasses.dataclass
class LMCacheMetadata:
    model_name: str
    world_size: int
    local_world_size: int
    worker_id: int
    local_worker_id: int
    kv_dtype: object
    kv_shape: tuple
    use_mla: bool = False
    role: object = None
    served_model_name: object = None
    chunk_size: int = 256
    engine_id: object = None
    first_rank = 0

    def is_first_rank(self) -> bool:
        return self.worker_id == self.first_rank

    def get_dtypes(self) -> list:
        return [self.kv_dtype]

    def get_shapes(self, num_tokens=None) -> list:
        layers, two, tokens, heads, size = self.kv_shape
        return [(two, layers, self.chunk_size if num_tokens is None else num_tokens, heads * size)]

    def get_num_groups(self) -> int:
        return 1
