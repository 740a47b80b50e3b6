// SPDX-License-Identifier: Apache-2.0
//
// A connector library as one of LMCache's native clients: the class that its
// NativeConnectorL2Adapter drives, written with pybind11 as LMCache's own are. The
// GIL is released in every call of the library.
#include <dlfcn.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "sixcall/connector.h"

namespace py = pybind11;

namespace {

// One batch and all that it lends to the library. Slots are reused.
struct Slot {
  std::string keys;
  std::vector<sixcall_item> items;
  std::vector<uint8_t> status;
  sixcall_err err = {};
  uint64_t future = 0;
  uint32_t op = 0;
};

class Client {
 public:
  Client(const std::string& library, const std::string& params, uint32_t max_inflight) {
    void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) throw std::runtime_error(dlerror());
    auto entry = reinterpret_cast<sixcall_connector_entry_fn>(dlsym(handle, "sixcall_connector_entry_v1"));
    if (entry == nullptr) throw std::runtime_error(library + " has no sixcall_connector_entry_v1");
    host_.struct_size = sizeof(host_);
    host_.abi_major = SIXCALL_ABI_MAJOR;
    host_.abi_minor = SIXCALL_ABI_MINOR;
    host_.name = "bench";
    host_.version = "0";
    api_ = entry(&host_);
    if (api_ == nullptr) throw std::runtime_error(library + " returned no table");
    sixcall_open_args args = {};
    args.struct_size = sizeof(args);
    args.config_json = params.data();
    args.config_len = params.size();
    args.max_inflight = max_inflight;
    args.open_timeout_ms = 10000;
    sixcall_err err = {};
    err.struct_size = sizeof(err);
    if (const int32_t rc = api_->open(&host_, &args, &conn_, &err); rc < 0) throw std::runtime_error("open: " + std::string(err.msg));
    completions_.resize(256);
  }

  int event_fd() const { return api_->event_fd(conn_); }

  uint64_t submit_get(const std::vector<std::string>& keys, const py::list& buffers) { return submit(SIXCALL_OP_GET, keys, &buffers); }
  uint64_t submit_set(const std::vector<std::string>& keys, const py::list& buffers) { return submit(SIXCALL_OP_SET, keys, &buffers); }
  uint64_t submit_exists(const std::vector<std::string>& keys) { return submit(SIXCALL_OP_EXISTS, keys, nullptr); }

  // A list of (future, all well, text, bits or None).
  py::list drain() {
    int32_t n = 0;
    {
      py::gil_scoped_release release;
      n = api_->drain_completions(conn_, completions_.data(), static_cast<uint32_t>(completions_.size()), sizeof(sixcall_completion));
    }
    if (n < 0) throw std::runtime_error("drain: " + std::to_string(n));
    py::list out;
    for (int32_t i = 0; i < n; i++) {
      const sixcall_completion& done = completions_[static_cast<size_t>(i)];
      std::unique_ptr<Slot> slot = take(done.ticket);
      py::object bits = py::none();
      bool all = done.rc == SIXCALL_OK;
      for (const uint8_t s : slot->status) all = all && s == SIXCALL_STATUS_HIT;
      if (slot->op != SIXCALL_OP_SET) {
        py::list list(slot->status.size());
        for (size_t k = 0; k < slot->status.size(); k++) list[k] = py::bool_(slot->status[k] == SIXCALL_STATUS_HIT);
        bits = std::move(list);
        all = done.rc == SIXCALL_OK;
      }
      out.append(py::make_tuple(slot->future, all, all ? "" : slot->err.msg, std::move(bits)));
      give(std::move(slot));
    }
    return out;
  }

  void close() {
    if (conn_ == nullptr) return;
    py::gil_scoped_release release;
    api_->close(conn_, 5000);
    conn_ = nullptr;
  }

 private:
  uint64_t submit(uint32_t op, const std::vector<std::string>& keys, const py::list* buffers) {
    std::unique_ptr<Slot> slot = fresh();
    slot->op = op;
    slot->keys.clear();
    size_t bytes = 0;
    for (const std::string& key : keys) bytes += key.size();
    slot->keys.reserve(bytes);
    slot->items.assign(keys.size(), sixcall_item{});
    slot->status.assign(keys.size(), SIXCALL_STATUS_UNSET);
    std::memset(&slot->err, 0, 16);
    slot->err.struct_size = sizeof(slot->err);
    for (size_t i = 0; i < keys.size(); i++) {
      slot->items[i].key = reinterpret_cast<const uint8_t*>(slot->keys.data()) + slot->keys.size();
      slot->items[i].key_len = static_cast<uint32_t>(keys[i].size());
      slot->keys += keys[i];
      if (buffers != nullptr) {
        const py::buffer_info info = (*buffers)[i].cast<py::buffer>().request(op == SIXCALL_OP_GET);
        slot->items[i].buf = info.ptr;
        slot->items[i].len = static_cast<uint64_t>(info.size * info.itemsize);
      }
    }
    sixcall_batch batch = {};
    batch.struct_size = sizeof(batch);
    batch.n = static_cast<uint32_t>(keys.size());
    batch.item_stride = sizeof(sixcall_item);
    batch.items = slot->items.data();
    batch.status = slot->status.data();
    batch.err = &slot->err;
    uint64_t future;
    {
      std::lock_guard<std::mutex> lock(mu_);
      future = next_++;
      slot->future = future;
      if (idle_.empty()) {
        idle_.push_back(static_cast<uint32_t>(flying_.size()));
        flying_.emplace_back();
      }
      batch.ticket = idle_.back();
      idle_.pop_back();
      flying_[batch.ticket] = std::move(slot);
    }
    int32_t rc;
    {
      py::gil_scoped_release release;
      rc = op == SIXCALL_OP_GET   ? api_->submit_batch_get(conn_, &batch)
           : op == SIXCALL_OP_SET ? api_->submit_batch_set(conn_, &batch)
                                  : api_->submit_batch_exists(conn_, &batch);
    }
    if (rc < 0) {
      give(take(batch.ticket));
      throw std::runtime_error("submit: " + std::to_string(rc));
    }
    return future;
  }

  std::unique_ptr<Slot> fresh() {
    std::lock_guard<std::mutex> lock(mu_);
    if (spare_.empty()) return std::make_unique<Slot>();
    std::unique_ptr<Slot> slot = std::move(spare_.back());
    spare_.pop_back();
    return slot;
  }
  std::unique_ptr<Slot> take(uint64_t ticket) {
    std::lock_guard<std::mutex> lock(mu_);
    idle_.push_back(static_cast<uint32_t>(ticket));
    return std::move(flying_.at(ticket));
  }
  void give(std::unique_ptr<Slot> slot) {
    std::lock_guard<std::mutex> lock(mu_);
    spare_.push_back(std::move(slot));
  }

  sixcall_host host_ = {};
  const sixcall_api* api_ = nullptr;
  sixcall_conn* conn_ = nullptr;
  std::vector<sixcall_completion> completions_;
  std::mutex mu_;  // guards what follows
  std::vector<std::unique_ptr<Slot>> flying_;
  std::vector<uint32_t> idle_;
  std::vector<std::unique_ptr<Slot>> spare_;
  uint64_t next_ = 1;
};

}  // namespace

PYBIND11_MODULE(sixcall_peer, m) {
  py::class_<Client>(m, "Client")
      .def(py::init<const std::string&, const std::string&, uint32_t>())
      .def("event_fd", &Client::event_fd)
      .def("submit_batch_get", &Client::submit_get)
      .def("submit_batch_set", &Client::submit_set)
      .def("submit_batch_exists", &Client::submit_exists)
      .def("drain_completions", &Client::drain)
      .def("close", &Client::close);
}
