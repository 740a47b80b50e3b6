// SPDX-License-Identifier: Apache-2.0
//
// The table, the note, the entry point, and the mistakes of load time.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "conn.h"
#include "mutant.h"
#include "open.h"
#include "optional.h"

namespace mutant {

namespace {

char chosen[64];

int32_t Get(sixcall_conn* c, const sixcall_batch* b) { return Submit(c, SIXCALL_OP_GET, b, nullptr); }
int32_t Set(sixcall_conn* c, const sixcall_batch* b) { return Submit(c, SIXCALL_OP_SET, b, nullptr); }
int32_t Exists(sixcall_conn* c, const sixcall_batch* b) { return Submit(c, SIXCALL_OP_EXISTS, b, nullptr); }
int32_t Delete(sixcall_conn* c, const sixcall_batch* b) { return Submit(c, SIXCALL_OP_DELETE, b, nullptr); }
int32_t Drain(sixcall_conn* c, sixcall_completion* out, uint32_t cap, uint32_t stride) { return c->Drain(out, cap, stride); }

#ifdef MUTANT_FILE
constexpr uint64_t kPersistent = SIXCALL_CAP_PERSISTENT;
#define MUTANT_NAME "mutant_file"
#else
constexpr uint64_t kPersistent = 0;
#define MUTANT_NAME "mutant"
#endif
constexpr uint64_t kCaps = SIXCALL_CAP_DELETE | SIXCALL_CAP_LIMITS | SIXCALL_CAP_PING | SIXCALL_CAP_CANCEL | SIXCALL_CAP_REGISTER_MEMORY |
                           SIXCALL_CAP_USAGE | SIXCALL_CAP_LIST | SIXCALL_CAP_STATS_TEXT | SIXCALL_CAP_EXTENSIONS |
                           SIXCALL_CAP_READ_YOUR_WRITES | SIXCALL_CAP_DEADLINE | SIXCALL_CAP_VALUE_LENS | kPersistent;

SIXCALL_NOTE(kCaps, "Sixcall", MUTANT_NAME, "1.0.0");

sixcall_api table;  // filled once, by the constructor below

int32_t OpenAndCount(const sixcall_host* host, const sixcall_open_args* args, sixcall_conn** out, sixcall_err* err) {
  table.reserved++;
  return Open(host, args, out, err);
}

void FillTable() {
  sixcall_api& t = table;
  t.struct_size = sizeof(t);
  t.abi_major = SIXCALL_ABI_MAJOR;
  t.abi_minor = SIXCALL_ABI_MINOR;
  t.caps = kCaps;
  t.thread_model = SIXCALL_THREADS_PARALLEL;
  t.name = MUTANT_NAME;
  t.version = "1.0.0";
  t.vendor = "Sixcall";
  t.config_schema = kSchema;
  t.open = Open;
  t.event_fd = EventFd;
  t.submit_batch_get = Get;
  t.submit_batch_set = Set;
  t.submit_batch_exists = Exists;
  t.drain_completions = Drain;
  t.close = Close;
  t.submit_batch_delete = Delete;
  t.limits = Limits;
  t.submit_ping = Ping;
  t.cancel = Cancel;
  t.register_memory = RegisterMemory;
  t.unregister_memory = UnregisterMemory;
  t.usage = Usage;
  t.submit_list = List;
  t.stats_text = StatsText;
  t.get_extension = GetExtension;

  if (Is("slot_null")) t.submit_batch_set = nullptr;
  const void* const wrong = Is("slot_elsewhere") ? reinterpret_cast<const void*>(&close) : chosen;
  if (Is("slot_elsewhere")) memcpy(&t.event_fd, &wrong, sizeof(wrong));
  if (Is("slot_data")) memcpy(&t.close, &wrong, sizeof(wrong));
  if (Is("table_short")) t.struct_size = 112;
  if (Is("table_odd")) t.struct_size = 203;
  if (Is("name_bad")) t.name = "Mutant 1";
  if (Is("note_differs")) t.caps &= ~SIXCALL_CAP_VALUE_LENS;
  if (Is("cap_without_slot")) t.cancel = nullptr;
  if (Is("slot_without_cap")) t.caps &= ~SIXCALL_CAP_PING;
  if (Is("cap_unknown")) t.caps |= UINT64_C(1) << 40;
  if (Is("needs_unknown")) t.needs = 4;
  if (Is("table_changes")) t.open = OpenAndCount;
  if (Is("schema_broken")) t.config_schema = "{\"type\":\"object\",";
  if (Is("schema_bad_default")) t.config_schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"default\":\"x\",\"description\":\"a\"}}}";
  if (Is("schema_undocumented")) t.config_schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}";
}

__attribute__((constructor)) void Constructed() {
  const char* name = getenv("SIXCALL_MUTANT");
  if (name != nullptr) Choose(name);
  FillTable();
  if (Is("load_thread")) std::thread([] { sleep(1); }).detach();
  if (Is("load_socket")) static_cast<void>(socket(AF_INET, SOCK_STREAM, 0));
  if (Is("load_file")) static_cast<void>(open("/tmp/mutant-was-here", O_WRONLY | O_CREAT, 0600));
  if (Is("load_prints")) fprintf(stderr, "mutant: loaded\n");
  if (Is("load_slow")) usleep(300000);
  if (Is("load_crashes")) *reinterpret_cast<volatile int*>(16) = 1;
}

}  // namespace

bool Is(const char* name) { return chosen[0] != '\0' && strcmp(chosen, name) == 0; }
void Choose(const std::string& name) { snprintf(chosen, sizeof(chosen), "%s", name.c_str()); }

}  // namespace mutant

extern "C" SIXCALL_EXPORT const sixcall_api* sixcall_connector_entry_v1(const sixcall_host* host) {
  using mutant::Is;
  if (Is("entry_null")) return nullptr;
  if (Is("entry_file")) static_cast<void>(open("/tmp/mutant-was-here", O_WRONLY | O_CREAT, 0600));
  if (Is("entry_slow")) usleep(5000);
  if (Is("newer_refused") && host != nullptr && host->abi_minor > SIXCALL_ABI_MINOR) return nullptr;
  if (Is("entry_changes")) {
    static sixcall_api copies[2];
    static int calls = 0;
    copies[calls & 1] = mutant::table;
    return &copies[calls++ & 1];
  }
  return &mutant::table;
}
