// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_MUTANT_STORE_H
#define SIXCALL_MUTANT_STORE_H

#include <cstdint>
#include <memory>
#include <string>

#include "config.h"
#include "sixcall/connector.h"

namespace mutant {

/// Where values are. Safe for concurrent use.
class Store {
 public:
  virtual ~Store() = default;
  /// A SIXCALL_STATUS_. *stored is the length that is stored.
  virtual uint8_t Get(const std::string& key, uint8_t* buf, uint64_t len, uint64_t* stored) = 0;
  virtual uint8_t Set(const std::string& key, const uint8_t* value, uint64_t len) = 0;
  virtual uint8_t Exists(const std::string& key, uint64_t* stored) = 0;
  virtual uint8_t Delete(const std::string& key) = 0;
  virtual bool Ping() { return true; }
  /// A SIXCALL_E_ code.
  virtual int32_t List(sixcall_page* page) = 0;
  virtual uint64_t keys() = 0;
};

/// NULL and a reason if it cannot be made within timeout_ms.
std::unique_ptr<Store> MakeMemoryStore(const Config& config);
std::unique_ptr<Store> MakeFileStore(const Config& config, std::string* error);
std::unique_ptr<Store> MakeRemoteStore(const Config& config, uint32_t timeout_ms, int32_t* code, std::string* error);

/// Appends an entry to a page; false if it does not fit.
bool AddEntry(sixcall_page* page, const std::string& key, uint64_t len);
uint64_t Hash(const std::string& bytes, uint64_t seed = 0);

}  // namespace mutant

#endif  // SIXCALL_MUTANT_STORE_H
