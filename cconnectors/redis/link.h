// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_REDIS_LINK_H
#define SIXCALL_REDIS_LINK_H

#include <cstdint>
#include <memory>
#include <string>

#include "handshake.h"
#include "request.h"
#include "resp_reader.h"
#include "resp_value.h"
#include "resp_writer.h"
#include "ring.h"
#include "settings.h"
#include "stats.h"
#include "stream.h"
#include "topology.h"

namespace redis {

class Link;

/// What a link needs from the worker that drives it. Called on its thread.
class LinkOwner {
 public:
  virtual ~LinkOwner() = default;
  virtual void Done(const Request& request, sixcall::Result result) = 0;
  virtual void Failed(const Request& request, const sixcall::Error& error) = 0;
  /// The connection was lost under a request that may be sent again.
  virtual void Again(const Request& request) = 0;
  /// As Again, after a pause: the servers do not agree about who serves it.
  virtual void Later(const Request& request) = 0;
  /// The server sent the request elsewhere; slot is -1 when only this request goes.
  virtual void Redirected(const Request& request, int slot, const Address& where) = 0;
  /// The servers are not where they were believed to be.
  virtual void Misplaced() = 0;
  virtual void Watch(Link& link, int fd, bool writable, bool first) = 0;
  virtual uint64_t now() const = 0;  // ns
  /// A random time from half of ns to ns.
  virtual uint64_t Jitter(uint64_t ns) = 0;
};

/// One connection to one server, and the requests on it. Never blocks. A request
/// that is sent stays in step with its reply, come what may: the connection is
/// dropped as soon as that cannot be known.
class Link {
 public:
  /// Shared by all links; outlives them.
  struct Context {
    const Settings& settings;
    const TlsContext* tls;  // or NULL
    Stats& stats;
    const sixcall::Log& log;
  };

  Link(const Context& context, LinkOwner& owner, const Node& node);
  ~Link();

  const Node& node() const { return node_; }

  /// Queues a request, or fails it at once while the server is known to be away.
  void Send(const Request& request);
  /// Sends what is queued, as far as the window and the socket allow.
  void Pump();

  void OnEvent();
  /// When OnTime wants to be called, ns.
  uint64_t next_time() const;
  void OnTime();
  /// Whether OnEvent has more to do without another event.
  bool unread() const { return unread_; }

  /// A task has died: from here on its memory is not touched.
  void Forget(const Task* task);

  /// No new requests will come: ends when the last is answered.
  void Retire();
  bool gone() const { return state_ == State::kGone; }
  bool up() const { return state_ == State::kUp; }

  bool dirty = false;  // the owner's note that Pump is due

 private:
  enum class State { kDown, kConnecting, kTls, kGreeting, kUp, kGone };
  enum class Why { kLost, kBroken, kStalled, kOurs };

  void Connect();
  void OnConnected();
  void Greet();
  void Greeted();
  void Receive();
  void Replies();
  void Settle(Ring<Request>& flight, size_t sent, const sixcall::Error& error, Why why);
  void Drop(const sixcall::Error& error, Why why);
  void FailQueue(const sixcall::Error& error);

  template <class F>
  void Guarded(F&& fn);
  void Write();
  void Stage();
  void Encode(Request& request);
  size_t Ahead() const;
  void Leave();
  void WatchAgain();
  void Progress() { progress_ns_ = owner_.now(); }

  // Replies to the first request in flight.
  void OnToken(Token token);
  void OnStatus(Request& request);
  void OnNumber(Request& request);
  void OnBulk(Request& request);
  void OnBulkEnd();
  void OnErrorReply(const std::string& text);
  void React(const std::string& text);
  void Finish(sixcall::Result result);
  void FinishFailed(const sixcall::Error& error);
  Request Take();
  [[noreturn]] void Strange(const char* what) const;

  const Context& context_;
  LinkOwner& owner_;
  const Node node_;
  const std::string name_;

  State state_ = State::kDown;
  std::unique_ptr<Stream> stream_;
  size_t endpoint_ = 0;         // of node_, the one to try next
  size_t endpoints_tried_ = 0;  // in this attempt
  uint64_t until_ns_ = 0;       // kDown: when to try again; connecting: when to give up
  uint32_t failures_ = 0;       // attempts in a row that did not get through; requests fail at once
  uint32_t pauses_ = 0;         // in a row, each twice as long as the one before
  sixcall::Error last_error_;
  bool useful_ = false;         // something was answered on this connection
  bool retired_ = false;
  bool no_hello_ = false;       // the server hung up at HELLO
  uint64_t up_since_ns_ = 0;

  std::unique_ptr<Handshake> handshake_;
  ValueBuilder builder_;
  std::string greeting_;        // what is not sent of it

  Ring<Request> queue_;         // not encoded
  Ring<Request> flight_;        // encoded; the first of them are sent
  size_t sent_ = 0;             // of flight_
  uint64_t flight_bytes_ = 0;   // that their replies may bring
  uint64_t progress_ns_ = 0;    // when something was last sent or answered whole
  Reader reader_;
  Writer writer_;
  bool watches_write_ = false;
  bool unread_ = false;

  enum class Bulk : uint8_t { kNone, kValue, kWrongSize, kErrorText, kNobody };
  Bulk bulk_ = Bulk::kNone;     // what the string is that is being read
  uint64_t bulk_len_ = 0;
  std::string error_text_;
};

}  // namespace redis

#endif  // SIXCALL_REDIS_LINK_H
