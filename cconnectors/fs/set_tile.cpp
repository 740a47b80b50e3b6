// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "stored.h"
#include "temp_file.h"
#include "tile_source.h"
#include "trailer.h"

namespace fs {

namespace {

using sixcall::Status;

void WriteAll(int fd, const std::string& bytes, uint64_t at) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw SystemError("write the key of a value", n < 0 ? errno : EIO);
    done += static_cast<size_t>(n);
  }
}

class SetSource final : public TileSource {
 public:
  SetSource(const Context& context, sixcall::Tile& tile) : TileSource(context, tile), slots_(context.engine.depth()) {}

  /// With fsync "full": puts the new names on the device, one call per folder, and
  /// only then reports the keys.
  void SyncNames() {
    std::sort(published_.begin(), published_.end());
    for (size_t from = 0; from < published_.size();) {
      const size_t shard = published_[from].first;
      Count(context_.counters.syncs);
      const int error = fsync(context_.folder.shard(shard)) != 0 ? errno : 0;
      for (; from < published_.size() && published_[from].first == shard; from++) {
        const size_t i = published_[from].second;
        if (error == 0) {
          tile_.Done(i, Status::kHit);
        } else {
          tile_.Fail(i, SystemError("fsync base_path", error));
        }
      }
    }
  }

 private:
  struct Slot {
    size_t index = 0;
    FileName name;
    TempFile file;
    int64_t file_len = 0;  // bytes, with the trailer
  };

  bool Begin(size_t i, Job& job) override {
    const sixcall::Bytes value = tile_.value(i);
    Slot& slot = slots_[job.slot];
    slot.index = i;
    slot.name = context_.folder.names().Of(tile_.key(i));
    if (!context_.settings.replace && IsKept(slot.name, i)) return false;
    const bool wanted = WantDirect(value.data(), value.size(), slot.name.long_key);
    bool direct = wanted;
    slot.file = TempFile(context_.folder, context_.folder.ShardOf(slot.name), &direct);
    if (wanted) Count(direct ? context_.counters.direct_ops : context_.counters.fallback_refused);
    slot.file_len = static_cast<int64_t>(value.size());
    job.fd = slot.file.fd();
    job.write = true;
    job.direct = direct;
    job.sync = context_.settings.fsync != Fsync::kNone;
    job.data = const_cast<uint8_t*>(value.data());  // only read, as write is set
    job.len = value.size();
    if (slot.name.long_key) {
      const std::string trailer = MakeTrailer(tile_.key(i));
      WriteAll(job.fd, trailer, job.len);
      slot.file_len += static_cast<int64_t>(trailer.size());
    }
    return true;
  }

  /// A value of this size is there and stays.
  bool IsKept(const FileName& name, size_t i) {
    const Stored stored = FindStored(context_.folder, name, tile_.key(i));
    if (stored.state != Stored::State::kFound || stored.value_len != tile_.value(i).size()) return false;
    Count(context_.counters.kept);
    tile_.Done(i, Status::kHit);
    return true;
  }

  void End(Job& job, size_t* i) override {
    Slot& slot = slots_[job.slot];
    *i = slot.index;
    TempFile file = std::move(slot.file);  // discarded at the end unless it is published
    if (job.error != 0) throw SystemError("write " + std::string(slot.name.view()), job.error);
    const int64_t replaced = file.Publish(slot.name);
    if (replaced >= 0) Count(context_.counters.replaced);
    context_.usage.Stored(slot.file_len, replaced);
    if (context_.settings.fsync == Fsync::kFull) {
      published_.emplace_back(context_.folder.ShardOf(slot.name), *i);
    } else {
      tile_.Done(*i, Status::kHit);
    }
  }

  std::vector<Slot> slots_;
  std::vector<std::pair<size_t, size_t>> published_;  // shard and index of keys that are not reported yet
};

}  // namespace

void SetTile(const Context& context, sixcall::Tile& tile) {
  SetSource source(context, tile);
  context.engine.Run(source);
  source.SyncNames();
  source.Finish();
}

}  // namespace fs
