// SPDX-License-Identifier: Apache-2.0
#include "settings.h"

namespace nixl {

const char kSchema[] = R"({"type":"object","additionalProperties":false,"properties":{)" SIXCALL_COMMON_PROPERTIES R"(,
"library":{"type":"string","description":"libnixl_capi.so, or a folder that has it or the wheel; else SIXCALL_NIXL_LIBRARY, else where pip installs nixl-cu12"},
"backend":{"type":"string","default":"POSIX","description":"NIXL's plugin, in upper case: POSIX (files) and OBJ (S3) are tested"},
"backend_params":{"type":"object","description":"handed to the plugin, as text; file_path, use_direct_io and shard_dirs are read as base_path, direct_io and shard_dirs"},
"base_path":{"type":"string","description":"the folder of a backend that stores files; made if it is missing"},
"direct_io":{"type":"boolean","default":false,"description":"files: O_DIRECT where address and length of a value are multiples of 4096"},
"shard_dirs":{"type":"boolean","default":false,"description":"two folders between base_path and a file, by the hash of the key"},
"sync":{"type":"boolean","default":false,"description":"files: a store is done when the device has the data"},
"key_prefix":{"type":"string","description":"objects: written before every name, such as kv/"},
"seal":{"type":"boolean","default":true,"description":"objects: 32 bytes after each value that prove its size; without them an object of another size is not noticed"},
"probe":{"type":"boolean","default":true,"description":"write a little when an agent is made, to prove that the backend works"},
"queue_depth":{"type":"integer","minimum":1,"maximum":4096,"default":64,"description":"requests in flight per worker"},
"bounce_bytes":{"type":"integer","minimum":1048576,"default":268435456,"description":"bytes of memory per worker for values that cannot be moved in place; one larger value is moved alone"},
"request_timeout_ms":{"type":"integer","minimum":100,"maximum":3600000,"description":"a request that takes longer is answered as timed out (objects) and its agent replaced; default 30000 for files, 10000 for objects"}}})";

}  // namespace nixl
