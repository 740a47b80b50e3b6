// SPDX-License-Identifier: Apache-2.0
//
// The C functions of libmooncake_store.so that the connector uses, declared on
// their own: nothing of Mooncake is needed to build. They fit version 0.3.13.
//
// All of them block. Strings and arrays are read during the call only. Results
// are 0 or a count, or a negative code of mooncake_codes.h.
#ifndef SIXCALL_MOONCAKE_API_H
#define SIXCALL_MOONCAKE_API_H

#include <cstddef>
#include <cstdint>

namespace mooncake {

using Handle = void*;

/// Where and how often a value is stored; NULL in its place means one copy anywhere.
struct ReplicateConfig {
  size_t replica_num;
  int with_soft_pin;
  int with_hard_pin;
  const char** preferred_segments;
  size_t preferred_segments_count;
};

struct Api {
  Handle (*create)();
  /// With segment bytes of 0 the process is a client only. Blocks for a minute
  /// and more when the master does not answer.
  int (*setup)(Handle, const char* local_hostname, const char* metadata_server, uint64_t segment, uint64_t local_buffer,
               const char* protocol, const char* device, const char* master);
  void (*destroy)(Handle);
  /// A key that is stored keeps its value and reports 0.
  int (*batch_put_from)(Handle, const char** keys, void** bufs, const size_t* sizes, size_t n, const ReplicateConfig*, int* results);
  /// Results are lengths. A buffer may be larger than the value. Of a key that is
  /// there twice only the last buffer is filled, though both report a length.
  int (*batch_get_into)(Handle, const char** keys, void** bufs, const size_t* sizes, size_t n, int64_t* results);
  /// Results are 1 or 0. Whatever it finds is leased.
  int (*batch_is_exist)(Handle, const char** keys, size_t n, int* results);
  int64_t (*get_size)(Handle, const char* key);
  /// Without force a leased key stays. With force it goes, even under a reader's hands.
  int (*remove)(Handle, const char* key, int force);
  int (*register_buffer)(Handle, void* buf, size_t size);
  int (*unregister_buffer)(Handle, void* buf);
  /// Writes the name of the own segment, NUL-terminated; NULL in old builds.
  int (*get_hostname)(Handle, char* out, size_t cap);
};

}  // namespace mooncake

#endif  // SIXCALL_MOONCAKE_API_H
