// SPDX-License-Identifier: Apache-2.0
#include "mooncake_calls.h"

#include <cstring>

#include "mooncake_codes.h"

namespace mooncake {

using sixcall::Error;
using sixcall::Result;
using sixcall::Status;
using sixcall::Tile;

namespace {

/// How often a worker that waits for another one's put looks whether its batch is cancelled.
constexpr std::chrono::milliseconds kLook{20};
/// The most memory for stored values that are compared, unless one value alone needs more.
constexpr size_t kCompareBytes = 32 << 20;

template <class T>
void Numbers(size_t n, std::vector<T>* out) {
  out->resize(n);
  for (size_t i = 0; i < n; i++) (*out)[i] = i;
}

}  // namespace

// ------------------------------------------------------------------ common

void Calls::CheckMasterThere() {
  master_gone_ = 0;
  if (backend_->suspect()) {
    throw Error(SIXCALL_E_CONNECT, "the Mooncake master at " + settings().master.text + " did not answer another call");
  }
}

const char* Calls::OneKey(sixcall::Key key) {
  key_ = settings().key_prefix;
  AppendKey(key, &key_);
  return key_.c_str();
}

void Calls::FailKey(Tile& tile, size_t i, const char* what, int64_t code) {
  if (IsMasterGone(code)) {
    master_gone_ = code;
    master_gone_in_ = what;
    return;
  }
  if (code == CallArrays::kNoResult) {
    tile.Fail(i, Error(SIXCALL_E_IO, std::string(what) + ": the library gave no result"));
    return;
  }
  const Error e = CodeError(what, code);
  if (e.code() == SIXCALL_E_NOSPACE || IsHeld(code)) {
    Refuse(tile, i, e);
  } else {
    tile.Fail(i, e);
  }
}

void Calls::Refuse(Tile& tile, size_t i, const Error& e) {
  tile.Fail(i, e);
  tile.Done(i, Status::kRefused);
}

void Calls::ThrowIfMasterGone() {
  if (master_gone_ == 0) return;
  backend_->Suspect();
  throw CodeError(master_gone_in_, master_gone_);
}

// ------------------------------------------------------------------ lookups

void Calls::Exists(Tile& tile) {
  CheckMasterThere();
  arrays_.Clear();
  for (size_t i = 0; i < tile.size(); i++) arrays_.Add(i, tile.key(i));
  arrays_.Seal();
  const int rc = store_->api().batch_is_exist(store_->handle(), arrays_.keys(), arrays_.size(), arrays_.codes());
  for (size_t i = 0; i < arrays_.size(); i++) {
    const int code = rc != 0 ? rc : arrays_.codes()[i];
    if (code == 1) {
      tile.Done(i, Status::kHit);
    } else if (code == 0 || IsAbsent(code)) {
      tile.Done(i, Status::kMiss);
    } else {
      FailKey(tile, i, "exists", code);
    }
  }
  ThrowIfMasterGone();
}

void Calls::Ping() {
  try {
    CheckMaster(settings().master, std::chrono::milliseconds(settings().connect_timeout_ms));
    store_->Probe();
  } catch (...) {
    backend_->Suspect();
    throw;
  }
}

// ------------------------------------------------------------------ get

void Calls::Get(Tile& tile) {
  CheckMasterThere();
  Numbers(tile.size(), &later_);
  // The library fills one buffer only of a key that is in a call twice, and
  // reports success for all: each occurrence gets a call of its own.
  while (!later_.empty() && master_gone_ == 0 && !tile.cancelled()) {
    arrays_.Clear();
    next_.clear();
    now_.clear();
    seen_.Clear(later_.size());
    for (const size_t i : later_) {
      if (tile.buffer(i).empty()) {
        now_.push_back(i);
      } else if (seen_.Insert(tile.key(i))) {
        arrays_.Add(i, tile.key(i), tile.buffer(i).data(), tile.buffer(i).size());
      } else {
        next_.push_back(i);
      }
    }
    later_.swap(next_);
    if (!arrays_.empty()) GetOnce(tile);
    if (!now_.empty()) GetEmpty(tile);
  }
  ThrowIfMasterGone();
}

void Calls::GetOnce(Tile& tile) {
  arrays_.Seal();
  const int rc = store_->api().batch_get_into(store_->handle(), arrays_.keys(), arrays_.bufs(), arrays_.sizes(), arrays_.size(), arrays_.lengths());
  for (size_t n = 0; n < arrays_.size(); n++) {
    const size_t i = arrays_.index(n);
    const int64_t length = rc != 0 ? rc : arrays_.lengths()[n];
    if (rc != 0) {
      FailKey(tile, i, "get", rc);
    } else if (length >= 0) {
      const bool whole = static_cast<uint64_t>(length) == tile.buffer(i).size();
      tile.Done(i, Result(whole ? Status::kHit : Status::kSize, static_cast<uint64_t>(length)));
    } else if (IsAbsent(length)) {
      tile.Done(i, Status::kMiss);
    } else if (length == kInvalidParams) {
      TooSmall(tile, i);
    } else {
      FailKey(tile, i, "get", length);
    }
  }
}

void Calls::TooSmall(Tile& tile, size_t i) {
  const int64_t length = store_->api().get_size(store_->handle(), OneKey(tile.key(i)));
  if (length > 0 && static_cast<uint64_t>(length) > tile.buffer(i).size()) {
    tile.Done(i, Result(Status::kSize, static_cast<uint64_t>(length)));
  } else if (IsAbsent(length)) {
    tile.Done(i, Status::kMiss);
  } else {
    FailKey(tile, i, "get", length < 0 ? length : int64_t{kInvalidParams});
  }
}

void Calls::GetEmpty(Tile& tile) {
  // The store keeps no empty values: what is there has another size.
  arrays_.Clear();
  for (const size_t i : now_) arrays_.Add(i, tile.key(i));
  arrays_.Seal();
  const int rc = store_->api().batch_is_exist(store_->handle(), arrays_.keys(), arrays_.size(), arrays_.codes());
  for (size_t n = 0; n < arrays_.size(); n++) {
    const size_t i = arrays_.index(n);
    const int code = rc != 0 ? rc : arrays_.codes()[n];
    if (code == 1) {
      tile.Done(i, Status::kSize);
    } else if (code == 0 || IsAbsent(code)) {
      tile.Done(i, Status::kMiss);
    } else {
      FailKey(tile, i, "get", code);
    }
  }
}

// ------------------------------------------------------------------ set

void Calls::Set(Tile& tile) {
  CheckMasterThere();
  Numbers(tile.size(), &later_);
  for (std::vector<size_t>* list : {&now_, &next_, &put_}) list->reserve(tile.size());
  locked_.reserve(tile.size());
  while (!later_.empty() && master_gone_ == 0 && !tile.cancelled()) {
    const uint64_t unlocks = locks_->Unlocks();
    now_.clear();
    next_.clear();
    locked_.clear();
    struct Unlock {
      KeyLocks* locks;
      const std::vector<std::string_view>& keys;
      ~Unlock() {
        if (!keys.empty()) locks->Unlock(keys);
      }
    } unlock{locks_, locked_};
    for (const size_t i : later_) {
      if (locks_->TryLock(tile.key(i))) {
        locked_.push_back(tile.key(i));
        now_.push_back(i);
      } else {
        next_.push_back(i);  // twice in this tile, or another worker has it
      }
    }
    later_.swap(next_);
    if (now_.empty()) {
      locks_->WaitUnlock(unlocks, kLook);
    } else {
      SetOnce(tile);
    }
  }
  ThrowIfMasterGone();
}

void Calls::SetOnce(Tile& tile) {
  put_.clear();
  next_.clear();
  for (const size_t i : now_) {
    if (tile.value(i).empty()) {
      Refuse(tile, i, Error(SIXCALL_E_UNSUPPORTED, "set: Mooncake does not store empty values"));
    } else {
      next_.push_back(i);
    }
  }
  now_.swap(next_);
  switch (settings().existing) {
    case Existing::kKeep: put_ = now_; break;
    case Existing::kCompare: CompareExisting(tile); break;
    case Existing::kReplace: RemoveExisting(tile); break;
  }
  if (put_.empty() || master_gone_ != 0) return;
  arrays_.Clear();
  for (const size_t i : put_) arrays_.Add(i, tile.key(i), tile.value(i).data(), tile.value(i).size());
  arrays_.Seal();
  const int rc = store_->api().batch_put_from(store_->handle(), arrays_.keys(), arrays_.bufs(), arrays_.sizes(), arrays_.size(),
                                              store_->replication(), arrays_.codes());
  for (size_t n = 0; n < arrays_.size(); n++) {
    const int code = rc != 0 ? rc : arrays_.codes()[n];
    if (code == 0) {
      tile.Done(arrays_.index(n), Status::kHit);
    } else {
      FailKey(tile, arrays_.index(n), "set", code);
    }
  }
}

void Calls::CompareExisting(Tile& tile) {
  arrays_.Clear();
  for (const size_t i : now_) arrays_.Add(i, tile.key(i));
  arrays_.Seal();
  stored_now_.clear();
  const int rc = store_->api().batch_is_exist(store_->handle(), arrays_.keys(), arrays_.size(), arrays_.codes());
  for (size_t n = 0; n < arrays_.size(); n++) {
    const size_t i = arrays_.index(n);
    const int code = rc != 0 ? rc : arrays_.codes()[n];
    if (code == 1) {
      stored_now_.push_back(i);
    } else if (code == 0 || IsAbsent(code)) {
      put_.push_back(i);
    } else {
      FailKey(tile, i, "set", code);
    }
  }
  // In one call each as much as fits: a storage node that is dead costs a second a call.
  for (size_t from = 0; from < stored_now_.size() && master_gone_ == 0 && !tile.cancelled();) {
    size_t to = from;
    for (size_t bytes = 0; to < stored_now_.size(); to++) {
      bytes += tile.value(stored_now_[to]).size();
      if (bytes > kCompareBytes && to > from) break;
    }
    CompareGroup(tile, from, to);
    from = to;
  }
}

void Calls::CompareGroup(Tile& tile, size_t from, size_t to) {
  size_t bytes = 0;
  for (size_t n = from; n < to; n++) bytes += tile.value(stored_now_[n]).size();
  auto* stored = static_cast<uint8_t*>(stored_.Get(store_, settings().protocol != "tcp", bytes));
  arrays_.Clear();
  for (size_t n = from, at = 0; n < to; n++) {
    const size_t i = stored_now_[n], size = tile.value(i).size();
    arrays_.Add(i, tile.key(i), stored + at, size);
    at += size;
  }
  arrays_.Seal();
  const int rc = store_->api().batch_get_into(store_->handle(), arrays_.keys(), arrays_.bufs(), arrays_.sizes(), arrays_.size(), arrays_.lengths());
  for (size_t n = 0; n < arrays_.size(); n++) {
    const size_t i = arrays_.index(n), size = arrays_.sizes()[n];
    const int64_t length = rc != 0 ? rc : arrays_.lengths()[n];
    if (rc != 0) {
      FailKey(tile, i, "set: read what is stored", rc);
    } else if (length == static_cast<int64_t>(size) && std::memcmp(arrays_.bufs()[n], tile.value(i).data(), size) == 0) {
      counters_->equal.fetch_add(1, std::memory_order_relaxed);
      tile.Done(i, Status::kHit);
    } else if (length >= 0 || length == kInvalidParams) {
      if (RemoveForPut(tile, i)) put_.push_back(i);
    } else if (IsAbsent(length)) {
      put_.push_back(i);
    } else {
      FailKey(tile, i, "set: read what is stored", length);
    }
  }
}

void Calls::RemoveExisting(Tile& tile) {
  for (const size_t i : now_) {
    if (master_gone_ != 0 || tile.cancelled()) return;
    if (RemoveForPut(tile, i)) put_.push_back(i);
  }
}

bool Calls::RemoveForPut(Tile& tile, size_t i) {
  const int code = store_->api().remove(store_->handle(), OneKey(tile.key(i)), settings().force_remove);
  if (code == 0) counters_->replaced.fetch_add(1, std::memory_order_relaxed);
  // A put that has begun elsewhere would make ours report success and do nothing.
  if (code == 0 || (IsAbsent(code) && code != kNotReady)) return true;
  if (IsHeld(code) || code == kNotReady) {
    counters_->refused.fetch_add(1, std::memory_order_relaxed);
    Refuse(tile, i, Error(SIXCALL_E_AGAIN, "set: another value is stored and cannot be replaced now: " + CodeText(code), code));
  } else {
    FailKey(tile, i, "set: remove what is stored", code);
  }
  return false;
}

// ------------------------------------------------------------------ delete

void Calls::Erase(Tile& tile) {
  CheckMasterThere();
  for (size_t i = 0; i < tile.size() && master_gone_ == 0 && !tile.cancelled(); i++) {
    const int code = store_->api().remove(store_->handle(), OneKey(tile.key(i)), settings().force_remove);
    if (code == 0) {
      tile.Done(i, Status::kHit);
    } else if (code == kNotReady) {
      Refuse(tile, i, CodeError("delete", code));
    } else if (IsAbsent(code)) {
      tile.Done(i, Status::kMiss);
    } else {
      FailKey(tile, i, "delete", code);
    }
  }
  ThrowIfMasterGone();
}

// ------------------------------------------------------------------ scratch

void* Calls::Scratch::Get(const std::shared_ptr<Store>& store, bool registered, size_t size) {
  if (bytes_.size() < size) {
    Release();
    bytes_.resize(size);
  }
  if (registered && registered_with_ == nullptr) {
    store->Register(bytes_.data(), bytes_.size());
    registered_with_ = store;
  }
  return bytes_.data();
}

void Calls::Scratch::Release() noexcept {
  if (registered_with_ != nullptr) registered_with_->Unregister(bytes_.data());
  registered_with_.reset();
}

}  // namespace mooncake
