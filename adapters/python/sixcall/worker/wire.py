# SPDX-License-Identifier: Apache-2.0
"""The control messages: the tables of wire.fbs as FlatBuffers, without a compiler.

A schema here is a tuple of (field, type) in the order of the table; a message is a
dictionary. Types are those of struct, and "text", "texts", "bytes" and "limits".
"""

import struct

MARK = b"6CWK"
MAX_MESSAGE = 64 << 10  # bytes

# The order is that of the union: the first has the type 1.
TABLES = (
    ("Hello", (("protocol_major", "H"), ("protocol_minor", "H"), ("abi_major", "H"), ("abi_minor", "H"), ("version", "text"), ("pid", "i"))),
    ("Load", (("protocol_minor", "H"), ("host_version", "text"), ("library", "text"), ("identity", "skip"), ("log_level", "i"), ("spin_ns", "I"),
              ("core_dumps", "?"), ("memory_limit", "Q"), ("allow_exec", "?"), ("keep_handlers", "?"))),
    ("Loaded", (("name", "text"), ("version", "text"), ("vendor", "text"), ("abi_major", "H"), ("abi_minor", "H"), ("table_size", "I"), ("caps", "Q"),
                ("needs", "Q"), ("thread_model", "I"), ("config_schema", "text"), ("changed", "texts"), ("warnings", "texts"))),
    ("Open", (("config_len", "Q"), ("instance", "text"), ("max_inflight", "I"), ("max_batch", "I"), ("value_len_hint", "Q"), ("open_timeout_ms", "I"))),
    ("Opened", (("limits", "limits"), ("changed", "texts"), ("warnings", "texts"))),
    ("Map", (("len", "Q"), ("offset", "Q"), ("register", "?"))),
    ("Mapped", (("base", "Q"), ("handle", "Q"))),
    ("Unmap", (("base", "Q"), ("len", "Q"), ("handle", "Q"))),
    ("Ping", ()),
    ("Pong", (("calls", "Q"), ("completions", "Q"), ("call", "I"), ("since_ns", "Q"))),
    ("Usage", ()),
    ("UsageReply", (("bytes_used", "Q"), ("bytes_capacity", "Q"), ("keys", "Q"))),
    ("Stats", ()),
    ("StatsReply", (("text", "text"),)),
    ("List", (("cursor", "bytes"), ("timeout_ms", "I"))),
    ("ListReply", (("n", "I"), ("entries", "bytes"), ("cursor", "bytes"), ("last", "?"))),
    ("Close", (("grace_ms", "I"),)),
    ("Done", ()),
    ("Failed", (("code", "i"), ("vendor_code", "i"), ("text", "text"))),
    ("Log", (("level", "i"), ("text", "text"), ("dropped", "Q"))),
)
_KINDS = {name: i for i, (name, _) in enumerate(TABLES, 1)}
_SCHEMAS = dict(TABLES)
# max_batch, max_key_len, buf_align, best_batch, max_value_len, max_inflight
LIMITS = struct.Struct("<IIIIQI4x")


class Malformed(ValueError):
    """What came is no message."""


def decode(data: bytes) -> tuple:
    """The id, the name of the table and its fields."""
    try:
        if data[4:8] != MARK:
            raise Malformed(f"a message of {len(data)} bytes without the mark {MARK!r}")
        message = _Table(data, struct.unpack_from("<I", data, 0)[0])
        kind = message.scalar(1, "B")
        if not 1 <= kind <= len(TABLES):
            return message.scalar(0, "Q"), f"type {kind}", {}
        name, schema = TABLES[kind - 1]
        at = message.at(2)
        if at == 0:
            raise Malformed("a message without a body")
        body = _Table(data, message.target(at))
        return message.scalar(0, "Q"), name, {field: body.field(slot, kind) for slot, (field, kind) in enumerate(schema)}
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise Malformed(f"a message of {len(data)} bytes that does not decode: {error}") from None


class _Table:
    def __init__(self, data: bytes, at: int):
        self.data, self.base = data, at
        self.vtable = at - struct.unpack_from("<i", data, at)[0]
        self.size = struct.unpack_from("<H", data, self.vtable)[0]

    def at(self, slot: int) -> int:
        """Where a field is, 0 = it is not there."""
        entry = 4 + 2 * slot
        if entry + 2 > self.size:
            return 0
        offset = struct.unpack_from("<H", self.data, self.vtable + entry)[0]
        return self.base + offset if offset else 0

    def target(self, at: int) -> int:
        return at + struct.unpack_from("<I", self.data, at)[0]

    def scalar(self, slot: int, kind: str):
        at = self.at(slot)
        return struct.unpack_from("<" + kind, self.data, at)[0] if at else struct.unpack("<" + kind, bytes(struct.calcsize("<" + kind)))[0]

    def field(self, slot: int, kind: str):
        if kind in ("skip", "limits", "texts"):  # nothing of a host
            return None
        if kind not in ("text", "bytes"):
            return self.scalar(slot, kind)
        at = self.at(slot)
        if at:
            at = self.target(at)
            n = struct.unpack_from("<I", self.data, at)[0]
            value = self.data[at + 4 : at + 4 + n]
            if len(value) != n:
                raise Malformed("a text that ends behind the message")
        else:
            value = b""
        return value.decode() if kind == "text" else value


def encode(id_: int, name: str, /, **fields) -> bytes:
    """A message; fields that are not given have their default."""
    out = bytearray(8)
    out[4:8] = MARK
    body = [(kind, fields.get(field)) for field, kind in _SCHEMAS[name]]
    root = _put_table(out, [("Q", id_), ("B", _KINDS[name]), ("table", body)])
    struct.pack_into("<I", out, 0, root)
    return bytes(out)


_INLINE = {"table": "I", "text": "I", "bytes": "I", "texts": "I"}


def _put_table(out: bytearray, fields: list) -> int:
    """Appends a table; what it refers to follows it, as references point forward."""
    offsets, size = [], 4
    for kind, value in fields:
        if value is None or kind == "skip":
            offsets.append(0)
            continue
        width, align = (LIMITS.size, 8) if kind == "limits" else (struct.calcsize("<" + _INLINE.get(kind, kind)),) * 2
        size = -(-size // align) * align
        offsets.append(size)
        size += width
    vtable = len(out)
    out += struct.pack(f"<HH{len(fields)}H", 4 + 2 * len(fields), size, *offsets)
    _align(out, 8)
    base = len(out)
    out += bytes(size)
    struct.pack_into("<i", out, base, base - vtable)
    for offset, (kind, value) in zip(offsets, fields):
        if offset == 0:
            continue
        at = base + offset
        if kind == "limits":
            LIMITS.pack_into(out, at, *value)
        elif kind not in _INLINE:
            struct.pack_into("<" + kind, out, at, value)
        else:
            target = _put(out, kind, value)
            struct.pack_into("<I", out, at, target - at)
    return base


def _put(out: bytearray, kind: str, value) -> int:
    if kind == "table":
        return _put_table(out, value)
    _align(out, 4)
    at = len(out)
    if kind == "texts":
        out += struct.pack("<I", len(value)) + bytes(4 * len(value))
        for i, text in enumerate(value):
            entry = at + 4 + 4 * i
            target = _put(out, "text", text)
            struct.pack_into("<I", out, entry, target - entry)
        return at
    data = value.encode(errors="replace") if kind == "text" else bytes(value)
    out += struct.pack("<I", len(data)) + data + b"\0"
    return at


def _align(out: bytearray, n: int) -> None:
    out += bytes(-len(out) % n)
