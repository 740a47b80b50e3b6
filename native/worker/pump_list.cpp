// SPDX-License-Identifier: Apache-2.0
// Listings: asked for by the service thread, submitted and drained by the pump.
#include "pump.h"

namespace sixcall::worker {

bool Pump::List(const std::shared_ptr<Listing>& listing, std::optional<std::chrono::steady_clock::time_point> until) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (lists_cancelled_) return false;
  new_lists_.push_back(listing);
  lists_waiting_.store(true);
  WakeSelf();
  const auto over = [&] { return listing->done || lists_cancelled_; };
  if (until) {
    changed_.wait_until(lock, *until, over);
  } else {
    changed_.wait(lock, over);
  }
  return listing->done;
}

void Pump::CancelLists() {
  const std::lock_guard<std::mutex> lock(mutex_);
  lists_cancelled_ = true;
  changed_.notify_all();
}

void Pump::SubmitLists() {
  for (;;) {
    std::shared_ptr<Listing> listing;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (new_lists_.empty()) {
        lists_waiting_.store(false);
        return;
      }
      listing = std::move(new_lists_.front());
      new_lists_.pop_front();
    }
    const uint64_t ticket = listing->batch.ticket = kListingBit | ++last_listing_;
    listings_.emplace(ticket, listing);
    const int32_t rc = Call(SIXCALL_CALL_SUBMIT | SIXCALL_OP_LIST, ticket,
                            [&] { return connection_->api().submit_list(conn_, &listing->batch, &listing->page); });
    if (rc >= 0) {
      in_flight_++;
    } else {
      listings_.erase(ticket);
      FinishListing(listing, rc);
    }
  }
}

/// Takes the completion of a listing. False: it is none.
bool Pump::TakeListing(const sixcall_completion& record) {
  const auto it = listings_.find(record.ticket);
  if (it == listings_.end()) return false;
  FinishListing(it->second, record.rc);
  listings_.erase(it);
  return true;
}

void Pump::FinishListing(const std::shared_ptr<Listing>& listing, int32_t rc) {
  const std::lock_guard<std::mutex> lock(mutex_);
  listing->rc = rc;
  listing->done = true;
  changed_.notify_all();
}

}  // namespace sixcall::worker
