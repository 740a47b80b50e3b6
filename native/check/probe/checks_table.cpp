// SPDX-License-Identifier: Apache-2.0
//
// L: the entry point and the table.
#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <thread>

#include "session.h"

namespace probe {
namespace {

constexpr uint64_t kSlotCaps[] = {SIXCALL_CAP_DELETE,          SIXCALL_CAP_LIMITS, SIXCALL_CAP_PING,       SIXCALL_CAP_CANCEL,
                                  SIXCALL_CAP_REGISTER_MEMORY, SIXCALL_CAP_USAGE,  SIXCALL_CAP_LIST,       SIXCALL_CAP_STATS_TEXT,
                                  SIXCALL_CAP_EXTENSIONS};
constexpr uint64_t kKnownCaps = 0x1FF | SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_DEADLINE | SIXCALL_CAP_PERSISTENT | SIXCALL_CAP_VALUE_LENS;

/// What dlopen sees: the segments of the library that holds an address.
struct Segments {
  const void* address;
  bool found = false, executable = false;
  const uint8_t* note = nullptr;
  size_t note_size = 0;
};

int VisitSegments(dl_phdr_info* info, size_t, void* context) {
  auto* s = static_cast<Segments*>(context);
  const auto at = reinterpret_cast<uintptr_t>(s->address);
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const auto& p = info->dlpi_phdr[i];
    const uintptr_t from = info->dlpi_addr + p.p_vaddr;
    if (p.p_type != PT_LOAD || at < from || at >= from + p.p_memsz) continue;
    s->found = true;
    s->executable = (p.p_flags & PF_X) != 0;
    for (int k = 0; k < info->dlpi_phnum; k++) {
      const auto& q = info->dlpi_phdr[k];
      if (q.p_type != PT_NOTE) continue;
      const auto* area = reinterpret_cast<const uint8_t*>(info->dlpi_addr + q.p_vaddr);
      for (size_t o = 0; o + 12 <= q.p_memsz;) {
        uint32_t head[3];
        memcpy(head, area + o, 12);
        const size_t size = 12 + (size_t{head[0]} + 3) / 4 * 4 + (size_t{head[1]} + 3) / 4 * 4;
        if (head[0] == 8 && size <= q.p_memsz - o && memcmp(area + o + 12, SIXCALL_NOTE_NAME, 8) == 0) {
          s->note = area + o;
          s->note_size = size;
        }
        o += size;
      }
    }
    return 1;
  }
  return 0;
}

Segments SegmentsOf(const void* address) {
  Segments s{address};
  dl_iterate_phdr(VisitSegments, &s);
  return s;
}

struct Slot {
  const char* name;
  size_t offset;
};
#define PROBE_NAMED_SLOT(slot) {#slot, offsetof(sixcall_api, slot)}
constexpr Slot kRequired[] = {PROBE_NAMED_SLOT(open),
                              PROBE_NAMED_SLOT(event_fd),
                              PROBE_NAMED_SLOT(submit_batch_get),
                              PROBE_NAMED_SLOT(submit_batch_set),
                              PROBE_NAMED_SLOT(submit_batch_exists),
                              PROBE_NAMED_SLOT(drain_completions),
                              PROBE_NAMED_SLOT(close)};
constexpr Slot kOptional[] = {PROBE_NAMED_SLOT(submit_batch_delete), PROBE_NAMED_SLOT(limits),          PROBE_NAMED_SLOT(submit_ping),
                              PROBE_NAMED_SLOT(cancel),              PROBE_NAMED_SLOT(register_memory), PROBE_NAMED_SLOT(usage),
                              PROBE_NAMED_SLOT(submit_list),         PROBE_NAMED_SLOT(stats_text),      PROBE_NAMED_SLOT(get_extension)};

const void* SlotAt(const sixcall_api* api, const Slot& slot) {
  if (slot.offset + sizeof(void*) > api->struct_size) return nullptr;
  const void* p;
  memcpy(&p, reinterpret_cast<const char*>(api) + slot.offset, sizeof(p));
  return p;
}

/// The table without the checks that Load makes.
const sixcall_api* RawTable() {
  std::string error;
  const sixcall_api* api = LoadFrom(In("library"), &error);
  if (api == nullptr) Fail("the library cannot be loaded: %s", error.c_str());
  return api;
}

uint64_t Hash(const void* data, size_t n, uint64_t h = 0xCBF29CE484222325) {
  const auto* p = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001B3;
  return h;
}

uint64_t TableHash(const sixcall_api* api) {
  uint64_t h = Hash(api, api->struct_size);
  for (const char* text : {api->name, api->version, api->vendor, api->config_schema}) {
    if (text != nullptr) h = Hash(text, strlen(text), h);
  }
  return h;
}

}  // namespace

/// No check: tells the command what the table says.
PROBE_CHECK(TABLE) {
  const sixcall_api* api = RawTable();
  const auto text = [](const char* t) { return JsonText(t == nullptr ? "" : t); };
  const std::string line = Format("{\"table\":{\"name\":%s,\"version\":%s,\"vendor\":%s,\"abi\":\"%u.%u\",\"caps\":\"%llu\",\"thread_model\":%u,\"config_schema\":%s}}\n",
                                  text(api->name).c_str(), text(api->version).c_str(), text(api->vendor).c_str(), api->abi_major, api->abi_minor,
                                  static_cast<unsigned long long>(api->caps), api->thread_model, text(api->config_schema).c_str());
  WriteResult(line.data(), line.size());
}

PROBE_CHECK(L04) {
  std::string error;
  void* handle = nullptr;
  const sixcall_api* api = LoadFrom(In("library"), &error, &handle);
  if (api == nullptr) Fail("%s", error.c_str());
  const uint64_t hash = TableHash(api);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; t++) {
    threads.emplace_back([&] {
      Host host;
      for (int i = 0; i < 100; i++) {
        const sixcall_api* again = Entry(handle, host.get());
        if (again != api) Fail("the entry point returned %p, then %p", static_cast<const void*>(api), static_cast<const void*>(again));
        if (TableHash(again) != hash) Fail("the bytes of the table changed between calls of the entry point");
      }
    });
  }
  for (auto& t : threads) t.join();
  if (Entry(handle, nullptr) != nullptr && TableHash(api) != hash) Fail("the bytes of the table changed");
}

PROBE_CHECK(L05) {
  const sixcall_api* api = RawTable();
  if (api->struct_size < SIXCALL_API_REQUIRED_SIZE) Fail("the table has %u bytes, want at least %u", api->struct_size, SIXCALL_API_REQUIRED_SIZE);
  if (api->struct_size % 8 != 0) Fail("the table has %u bytes, which is no multiple of 8", api->struct_size);
  if (api->abi_major != SIXCALL_ABI_MAJOR) Fail("the table says ABI %u.%u, but was returned by the entry point of ABI 1", api->abi_major, api->abi_minor);
  if (api->thread_model > SIXCALL_THREADS_PARALLEL) Fail("thread_model is %u, want 0, 1 or 2", api->thread_model);
  const std::string own = ObjectOf(api);
  for (const Slot& slot : kRequired) {
    const void* f = SlotAt(api, slot);
    if (f == nullptr) Fail("the required slot %s is NULL", slot.name);
    if (!SegmentsOf(f).executable) Fail("the slot %s points to %p, which is no code", slot.name, f);
    if (ObjectOf(f) != own) Fail("the slot %s points into %s, want %s", slot.name, ObjectOf(f).c_str(), own.c_str());
  }
  for (const Slot& slot : kOptional) {
    const void* f = SlotAt(api, slot);
    if (f != nullptr && !SegmentsOf(f).executable) Fail("the slot %s points to %p, which is no code", slot.name, f);
  }
  for (const char* text : {api->name, api->version, api->vendor}) {
    if (text == nullptr || text[0] == '\0' || !IsUtf8(text, strlen(text))) Fail("name, version or vendor is missing or not UTF-8");
  }
  for (const char* c = api->name; *c != '\0'; c++) {
    if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_' || *c == '-')) Fail("the name %s holds other characters than [a-z0-9_-]", Show(api->name).c_str());
  }
}

PROBE_CHECK(L06) {
  const sixcall_api* api = RawTable();
  const Segments s = SegmentsOf(api);
  if (s.note == nullptr) Fail("the library has no note; see check S02");
  sixcall_note note;
  memcpy(&note, s.note, std::min(sizeof(note), s.note_size));
  const uint64_t caps = uint64_t{note.caps_hi} << 32 | note.caps_lo;
  if (note.abi_major != api->abi_major || note.abi_minor != api->abi_minor) {
    Fail("the note says ABI %u.%u, the table %u.%u", note.abi_major, note.abi_minor, api->abi_major, api->abi_minor);
  }
  if (note.table_size != api->struct_size) Fail("the note says a table of %u bytes, the table %u", note.table_size, api->struct_size);
  if (caps != api->caps) Fail("the note says capabilities 0x%llx, the table 0x%llx", static_cast<unsigned long long>(caps), static_cast<unsigned long long>(api->caps));
  const struct {
    const char *what, *in_note, *in_table;
  } texts[] = {{"vendor", note.vendor, api->vendor}, {"name", note.product, api->name}, {"version", note.version, api->version}};
  for (const auto& t : texts) {
    if (t.in_table == nullptr || strncmp(t.in_note, t.in_table, 32) != 0) {
      Fail("the note says %s %s, the table %s", t.what, Show(std::string(t.in_note, strnlen(t.in_note, 32))).c_str(), t.in_table == nullptr ? "nothing" : Show(t.in_table).c_str());
    }
  }
}

PROBE_CHECK(L07) {
  const sixcall_api* api = RawTable();
  for (size_t i = 0; i < sizeof(kOptional) / sizeof(kOptional[0]); i++) {
    const bool slot = SlotAt(api, kOptional[i]) != nullptr, cap = (api->caps & kSlotCaps[i]) != 0;
    if (slot && !cap) Fail("the slot %s is there, but its capability bit is not set: no host will call it", kOptional[i].name);
    if (!slot && cap) Fail("the capability bit of %s is set, but the slot is NULL", kOptional[i].name);
  }
  const Slot unregister = PROBE_NAMED_SLOT(unregister_memory);
  if ((SlotAt(api, unregister) != nullptr) != HasCap(api, SIXCALL_CAP_REGISTER_MEMORY)) Fail("register_memory and unregister_memory belong together: one of the slots is NULL");
  const uint64_t unknown = api->caps & ~kKnownCaps;
  if (unknown != 0 && api->abi_minor <= SIXCALL_ABI_MINOR) Fail("caps has bits 0x%llx, which are not defined in ABI 1.%u", static_cast<unsigned long long>(unknown), SIXCALL_ABI_MINOR);
  if (api->needs != 0) Fail("needs has bits 0x%llx; no host feature is defined in ABI 1.0, so no host can use this library", static_cast<unsigned long long>(api->needs));
}

PROBE_CHECK(L11) {
  const sixcall_api* api = Load();
  const uint64_t hash = TableHash(api);
  for (int i = 0; i < 3; i++) {
    Session s(api);
    Exercise(s, "immutable");
    if (TableHash(api) != hash) Fail("the table changed while a connection was open");
  }
  OpenError error;
  OpenOptions wrong;
  wrong.config = "[";
  Session::TryOpen(api, wrong, &error);
  if (TableHash(api) != hash) Fail("the table changed during a run");
}

}  // namespace probe
