# SPDX-License-Identifier: Apache-2.0
"""The header before each value of the engine: LMCache's RemoteMetadata, 32-bit numbers,
little-endian: length, format, and per group of layers the type and four dimensions."""

import struct

from sixcall.worker import dtypes

_DIMS = 4


def size(groups: int) -> int:
    return 4 * (2 + 5 * groups)


def pack(obj) -> bytes:
    """The header of a memory object."""
    shapes, types = obj.get_shapes(), obj.get_dtypes()
    fmt = getattr(obj.get_memory_format(), "value", 0)
    words = [len(obj.byte_array), int(fmt)]
    for shape, dtype in zip(shapes, types, strict=True):
        if len(shape) > _DIMS:
            raise ValueError(f"shape {tuple(shape)} has more than {_DIMS} dimensions")
        words += [0 if dtype is None else dtypes.code(dtype), *shape, *[0] * (_DIMS - len(shape))]
    return struct.pack(f"<{len(words)}i", *words)


def unpack(data, groups: int, formats) -> tuple:
    """The length, the shapes, the types and the format."""
    words = struct.unpack_from(f"<{2 + 5 * groups}i", data)
    length, fmt = words[0], formats(words[1])
    shapes, types = [], []
    for at in range(2, len(words), 5):
        shape = list(words[at + 1 : at + 5])
        while fmt.name not in ("BINARY", "BINARY_BUFFER") and len(shape) > 1 and shape[-1] == 0:
            shape.pop()
        shapes.append(dtypes.size(shape))
        types.append(dtypes.coded(words[at]))
    return length, shapes, types, fmt
