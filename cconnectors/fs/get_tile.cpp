// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "stored.h"
#include "tile_source.h"

namespace fs {

namespace {

using sixcall::Status;

/// Up to here a value is read without a look at its size: a read of one byte more
/// than it has tells that too, and a call is saved. Larger values are not moved in vain.
constexpr uint64_t kBlind = 256 << 10;  // bytes

class GetSource final : public TileSource {
 public:
  GetSource(const Context& context, sixcall::Tile& tile) : TileSource(context, tile), slots_(context.engine.depth()) {}

 private:
  struct Slot {
    size_t index = 0;
    FileName name;
    Stored stored;
  };

  bool Begin(size_t i, Job& job) override {
    const sixcall::MutableBytes buffer = tile_.buffer(i);
    Slot& slot = slots_[job.slot];
    slot.index = i;
    slot.name = context_.folder.names().Of(tile_.key(i));
    const bool direct = WantDirect(buffer.data(), buffer.size(), slot.name.long_key);
    slot.stored = OpenStored(context_.folder, slot.name, direct);
    job.to_end = !slot.stored.direct && !slot.name.long_key && !buffer.empty() && buffer.size() <= kBlind;
    if (!job.to_end && slot.stored.state == Stored::State::kFound) Examine(slot.stored, slot.name, tile_.key(i));
    const bool found = slot.stored.state == Stored::State::kFound;
    if (!found || (!job.to_end && slot.stored.value_len != buffer.size())) {
      NoHit(slot);
      return false;
    }
    if (direct) Count(slot.stored.direct ? context_.counters.direct_ops : context_.counters.fallback_refused);
    job.fd = slot.stored.fd.get();
    job.direct = slot.stored.direct;
    job.data = buffer.data();
    job.len = buffer.size();
    job.first = job.direct ? 0 : context_.settings.read_ahead;
    return true;
  }

  void End(Job& job, size_t* i) override {
    Slot& slot = slots_[job.slot];
    *i = slot.index;
    if (job.error != 0 && !IsForeign(job.error)) throw SystemError("read " + std::string(slot.name.view()), job.error);
    // A read that meets a truncation may be told of its whole length, and end in zeros.
    const uint64_t file_len = job.to_end ? job.len : slot.stored.file_len;
    if (job.error == 0 && job.done == job.len && !job.longer && StillHas(slot.stored, file_len)) {
      slot.stored.fd.Close();
      tile_.Done(*i, {Status::kHit, job.len});
      return;
    }
    Examine(slot.stored, slot.name, tile_.key(*i));
    if (slot.stored.state == Stored::State::kFound && slot.stored.value_len == job.len) {
      Count(context_.counters.changed_reads);  // somebody writes into the file
      slot.stored.value_len = SIXCALL_LEN_UNKNOWN;
    }
    NoHit(slot);
  }

  /// Ends a key that is absent, or whose value has another size.
  void NoHit(Slot& slot) {
    slot.stored.fd.Close();
    if (slot.stored.state == Stored::State::kFound) {
      tile_.Done(slot.index, {Status::kSize, slot.stored.value_len});
      return;
    }
    if (slot.stored.state == Stored::State::kForeign) Count(context_.counters.foreign_files);
    tile_.Done(slot.index, Status::kMiss);
  }

  std::vector<Slot> slots_;
};

}  // namespace

void GetTile(const Context& context, sixcall::Tile& tile) {
  GetSource source(context, tile);
  context.engine.Run(source);
  source.Finish();
}

}  // namespace fs
