# SPDX-License-Identifier: Apache-2.0
"""The structs of sixcall/connector.h, version 1, for ctypes.

A test compares every size and offset with the header.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_char_p, c_int32, c_uint16, c_uint32, c_uint64, c_void_p

ABI_MAJOR = 1
ABI_MINOR = 0
ENTRY_SYMBOL = "sixcall_connector_entry_v1"
API_REQUIRED_SIZE = 120

OK, E_INVAL, E_AGAIN, E_CLOSED, E_UNSUPPORTED = 0, -1, -2, -3, -4
E_CONFIG, E_INTERNAL, E_VERSION, E_BUSY = -11, -12, -13, -14

OP_GET, OP_SET, OP_EXISTS, OP_DELETE = 1, 2, 3, 4

STATUS_MISS, STATUS_HIT, STATUS_REFUSED, STATUS_UNSET = 0, 1, 6, 0xFF

CAP_DELETE = 1 << 0
CAP_LIMITS = 1 << 1

THREADS_SERIAL, THREADS_PER_HANDLE, THREADS_PARALLEL = 0, 1, 2


class Err(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("code", c_int32),
        ("vendor_code", c_int32),
        ("len", c_uint32),
        ("msg", c_char * 240),
    ]

    @classmethod
    def new(cls) -> "Err":
        return cls(struct_size=ctypes.sizeof(cls))

    def text(self) -> str:
        return self.msg[: min(self.len, 239)].decode("utf-8", "replace")


LogFunction = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_void_p, c_uint64)


class Host(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("abi_major", c_uint16),
        ("abi_minor", c_uint16),
        ("features", c_uint64),
        ("name", c_char_p),
        ("version", c_char_p),
        ("log_ctx", c_void_p),
        ("log", LogFunction),
        ("log_level", c_int32),
        ("reserved", c_uint32),
    ]


class OpenArgs(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("config_json", c_char_p),
        ("config_len", c_uint64),
        ("instance", c_char_p),
        ("max_inflight", c_uint32),
        ("max_batch", c_uint32),
        ("value_len_hint", c_uint64),
        ("open_timeout_ms", c_uint32),
        ("reserved", c_uint32),
    ]


class Item(ctypes.Structure):
    """Documents the layout; a batch fills its items as an array of numbers."""

    _fields_ = [
        ("key", c_void_p),
        ("key_len", c_uint32),
        ("flags", c_uint32),
        ("buf", c_void_p),
        ("len", c_uint64),
    ]


class Batch(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("ticket", c_uint64),
        ("n", c_uint32),
        ("item_stride", c_uint32),
        ("items", c_void_p),
        ("status", c_void_p),
        ("value_lens", c_void_p),
        ("err", c_void_p),
        ("deadline_ns", c_uint64),
        ("mem_handle", c_uint64),
    ]


class Completion(ctypes.Structure):
    _fields_ = [
        ("ticket", c_uint64),
        ("rc", c_int32),
        ("op", c_uint32),
        ("n_ok", c_uint32),
        ("flags", c_uint32),
        ("done_ns", c_uint64),
    ]


class Limits(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("max_batch", c_uint32),
        ("max_key_len", c_uint32),
        ("buf_align", c_uint32),
        ("max_value_len", c_uint64),
        ("best_batch", c_uint32),
        ("max_inflight", c_uint32),
    ]


class Note(ctypes.Structure):
    _fields_ = [
        ("namesz", c_uint32),
        ("descsz", c_uint32),
        ("type", c_uint32),
        ("name", c_char * 8),
        ("abi_major", c_uint16),
        ("abi_minor", c_uint16),
        ("table_size", c_uint32),
        ("caps_lo", c_uint32),
        ("caps_hi", c_uint32),
        ("vendor", c_char * 32),
        ("product", c_char * 32),
        ("version", c_char * 32),
    ]


OpenFunction = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p)
EventFDFunction = ctypes.CFUNCTYPE(c_int32, c_void_p)
SubmitFunction = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p)
DrainFunction = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_uint32, c_uint32)
CloseFunction = ctypes.CFUNCTYPE(c_int32, c_void_p, c_uint32)

# The slots of the table in order, with the offsets that they must have.
_SLOTS = [
    "open",
    "event_fd",
    "submit_batch_get",
    "submit_batch_set",
    "submit_batch_exists",
    "drain_completions",
    "close",
    "submit_batch_delete",
    "limits",
    "submit_ping",
    "cancel",
    "register_memory",
    "unregister_memory",
    "usage",
    "submit_list",
    "stats_text",
    "get_extension",
]
REQUIRED_SLOTS = _SLOTS[:7]


class API(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("abi_major", c_uint16),
        ("abi_minor", c_uint16),
        ("caps", c_uint64),
        ("needs", c_uint64),
        ("thread_model", c_uint32),
        ("reserved", c_uint32),
        ("name", c_char_p),
        ("version", c_char_p),
        ("vendor", c_char_p),
        ("config_schema", c_char_p),
        *((slot, c_void_p) for slot in _SLOTS),
    ]


EntryFunction = ctypes.CFUNCTYPE(c_void_p, c_void_p)

# C name of each struct here, for the test of the layout.
STRUCTS = {
    "sixcall_err": Err,
    "sixcall_host": Host,
    "sixcall_open_args": OpenArgs,
    "sixcall_item": Item,
    "sixcall_batch": Batch,
    "sixcall_completion": Completion,
    "sixcall_limits": Limits,
    "sixcall_note": Note,
    "sixcall_api": API,
}
