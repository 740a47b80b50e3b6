// SPDX-License-Identifier: Apache-2.0
// What goes over a connection that is up: requests out, replies in.
#include <algorithm>

#include "link.h"
#include "reply_error.h"

namespace redis {
namespace {

constexpr size_t kMaxFlight = 1024;      // requests in flight
constexpr uint64_t kLarge = 16 << 10;    // values from here on are not read through the buffer, bytes
constexpr size_t kNextHead = 64;         // enough for the end of one value and the head of the next, bytes
constexpr int kMaxReads = 64;            // before others have their turn
constexpr uint8_t kPromptRedirects = 3;  // followed at once; then servers get time to agree
constexpr uint8_t kMaxRedirects = 16;
constexpr size_t kMaxErrorText = 4096;   // bytes

}  // namespace

// ------------------------------------------------------------------ requests

void Link::Write() {
  for (;;) {
    if (writer_.empty()) Stage();
    if (writer_.empty()) return;
    const size_t gone = writer_.Send(*stream_);
    sent_ += gone;
    if (gone > 0) Progress();
    if (!writer_.empty()) return;  // the socket is full
  }
}

/// Encodes requests while there is room: in the writer, and in the window, so that
/// the server never has to keep more answers than that for us.
void Link::Stage() {
  const Settings& settings = context_.settings;
  while (!queue_.empty()) {
    Request r = queue_.front();
    if (r.task->dead) {
      queue_.pop();
      owner_.Done(r, sixcall::Status::kCancelled);
      continue;
    }
    const bool ping = r.verb == Verb::kPing;
    const size_t key = ping ? 0 : r.task->batch->key(r.index).size() + settings.prefix.size();
    r.cost = r.verb == Verb::kGet ? r.task->batch->buffer(r.index).size() : 0;
    if (!writer_.HasRoom(2 * key)) return;
    if (!flight_.empty() && (flight_.size() >= kMaxFlight || flight_bytes_ + r.cost > settings.window_bytes)) return;
    if (flight_.empty()) Progress();
    r.replies = 0;
    r.exists = r.refused = false;
    Encode(r);
    flight_.push(r);
    flight_bytes_ += r.cost;
    queue_.pop();
  }
}

void Link::Encode(Request& r) {
  const Settings& settings = context_.settings;
  if (r.asking) {
    writer_.Begin(1);
    writer_.Word("ASKING");
  }
  if (r.verb == Verb::kPing) {
    writer_.Begin(1);
    writer_.Word("PING");
    return writer_.End();
  }
  const sixcall::Key key = r.task->batch->key(r.index);
  const auto simple = [&](std::string_view name) {
    writer_.Begin(2);
    writer_.Word(name);
    writer_.Word(settings.prefix, key);
  };
  switch (r.verb) {
    case Verb::kGet: simple("GET"); break;
    case Verb::kExists: simple("EXISTS"); break;
    case Verb::kUnlink: simple("UNLINK"); break;
    case Verb::kExistsLength:  // the length alone does not tell an empty value from none
      simple("EXISTS");
      simple("STRLEN");
      break;
    case Verb::kSet:
      writer_.Begin(settings.ttl_ms == 0 ? 3 : 5);
      writer_.Word("SET");
      writer_.Word(settings.prefix, key);
      writer_.Value(r.task->batch->value(r.index));
      if (settings.ttl_ms != 0) {
        writer_.Word("PX");
        writer_.Number(settings.ttl_ms);
      }
      break;
    case Verb::kPing: break;
  }
  writer_.End();
}

void Link::Forget(const Task* task) {
  if (bulk_ == Bulk::kValue && flight_.front().task == task) {
    reader_.Abandon();
    bulk_ = Bulk::kNobody;
  }
  for (size_t i = sent_; i < flight_.size(); i++) {
    if (flight_[i].task != task || flight_[i].verb != Verb::kSet) continue;
    // Its value would still be read from the host's memory.
    return Drop(sixcall::Error(SIXCALL_E_CANCELLED, name_ + ": a store was given up while it was sent"), Why::kOurs);
  }
}

// ------------------------------------------------------------------- replies

/// How much to read beyond the value that is being read: little if a large value
/// comes next, because that goes to its place without a copy.
size_t Link::Ahead() const {
  const size_t next = reader_.in_bulk() ? 1 : 0;
  const bool small = next < flight_.size() && flight_[next].cost < kLarge;
  return small ? Reader::kCapacity : kNextHead;
}

void Link::Receive() {
  for (int i = 0; i < kMaxReads; i++) {
    bool all;
    if (reader_.Fill(*stream_, Ahead(), &all) == 0) return;
    Replies();
    if (all) return;
  }
  unread_ = true;
}

void Link::Replies() {
  for (;;) {
    const Token token = reader_.Next();
    if (token == Token::kMore) return;
    if (flight_.empty()) {
      const bool said = token == Token::kScalar;
      throw ProtocolError("bytes that nobody asked for" + (said ? ": " + std::string(reader_.text().substr(0, 80)) : ""));
    }
    OnToken(token);
  }
}

void Link::OnToken(Token token) {
  Request& r = flight_.front();
  switch (token) {
    case Token::kScalar:
      if (reader_.type() == '-') return OnErrorReply(std::string(reader_.text().substr(0, kMaxErrorText)));
      if (sent_ == 0) throw ProtocolError("an answer to a request that is not sent");
      if (reader_.type() == '+') return OnStatus(r);
      if (reader_.type() == ':') return OnNumber(r);
      return Strange("a scalar");
    case Token::kNull:
      if (sent_ == 0 || r.verb != Verb::kGet || r.replies + 1 != RepliesOf(r)) Strange("nothing");
      return Finish(sixcall::Status::kMiss);
    case Token::kBulk:
      return OnBulk(r);
    case Token::kBulkEnd:
      return OnBulkEnd();
    default:
      Strange("a list");
  }
}

void Link::Strange(const char* what) const {
  static constexpr const char* kNames[] = {"GET", "SET", "EXISTS", "EXISTS, STRLEN", "UNLINK", "PING"};
  throw ProtocolError(std::string(kNames[static_cast<int>(flight_[0].verb)]) + " is answered by " + what);
}

void Link::OnStatus(Request& r) {
  if (r.asking && r.replies == 0) {
    if (reader_.text() != "OK") Strange("a strange status to ASKING");
    r.replies++;
    return;
  }
  const bool ok = (r.verb == Verb::kSet && reader_.text() == "OK") || (r.verb == Verb::kPing && reader_.text() == "PONG");
  if (!ok) Strange("a strange status");
  Finish(sixcall::Status::kHit);
}

void Link::OnNumber(Request& r) {
  const int64_t n = reader_.number();
  const bool of_asking = r.asking && r.replies == 0;
  if (of_asking || (r.verb != Verb::kExists && r.verb != Verb::kExistsLength && r.verb != Verb::kUnlink)) Strange("a number");
  if (n < 0) Strange("a negative number");
  const bool last = r.replies + 1 == RepliesOf(r);
  if ((r.verb != Verb::kExistsLength || !last) && n > 1) Strange("a number above 1");
  if (r.verb != Verb::kExistsLength) return Finish(n == 1 ? sixcall::Status::kHit : sixcall::Status::kMiss);
  if (!last) {
    r.exists = n == 1;
    r.replies++;
    return;
  }
  if (r.refused) return React(error_text_);
  if (!r.exists) return Finish(sixcall::Status::kMiss);
  Finish({sixcall::Status::kHit, static_cast<uint64_t>(n)});
}

void Link::OnBulk(Request& r) {
  const auto n = static_cast<uint64_t>(reader_.number());
  if (reader_.type() == '!') {
    error_text_.assign(n <= kMaxErrorText ? n : 0, ' ');
    if (!error_text_.empty()) reader_.Into(reinterpret_cast<uint8_t*>(error_text_.data()));
    bulk_ = Bulk::kErrorText;
    return;
  }
  if (sent_ == 0 || reader_.type() != '$' || r.verb != Verb::kGet || r.replies + 1 != RepliesOf(r)) Strange("a string");
  bulk_len_ = n;
  if (r.task->dead) {
    bulk_ = Bulk::kNobody;
    return;
  }
  const sixcall::MutableBytes buffer = r.task->batch->buffer(r.index);
  bulk_ = n == buffer.size() ? Bulk::kValue : Bulk::kWrongSize;
  if (bulk_ == Bulk::kValue) reader_.Into(buffer.data());
}

void Link::OnBulkEnd() {
  const Bulk what = bulk_;
  bulk_ = Bulk::kNone;
  if (what == Bulk::kErrorText) return OnErrorReply(std::string(error_text_));
  if (what == Bulk::kWrongSize) Count(context_.stats.size_mismatches);
  Finish({what == Bulk::kValue ? sixcall::Status::kHit : sixcall::Status::kSize, bulk_len_});
}

/// One reply is an error; the request may have another to come.
void Link::OnErrorReply(const std::string& text) {
  Request& r = flight_.front();
  const bool last = r.replies + 1 == RepliesOf(r);
  if (sent_ == 0) {
    // The server did not like the beginning of a request, and hangs up.
    const sixcall::Error error = ToError(text, name_);
    const bool too_large = text.find("bulk length") != std::string::npos;
    FinishFailed(too_large ? sixcall::Error(SIXCALL_E_NOSPACE, error.text() + "; see proto-max-bulk-len") : error);
    throw sixcall::Error(SIXCALL_E_CONNECT, error.text());
  }
  if (last) return React(r.refused ? error_text_ : text);
  r.refused = r.verb == Verb::kExistsLength && !(r.asking && r.replies == 0);  // what follows ASKING tells the same
  error_text_ = text;
  r.replies++;
}

/// Does what the error of a request asks for.
void Link::React(const std::string& said) {
  const std::string text = said;  // it may be error_text_
  Request& r = flight_.front();
  const ReplyError e = ReadReplyError(text);
  Address where;
  switch (e.reaction) {
    case Reaction::kMoved:
    case Reaction::kAsk:
      if (context_.settings.mode != Mode::kCluster || r.redirects >= kMaxRedirects || !ParseRedirect(e.where, node_.address, &where)) break;
      Count(context_.stats.redirects);
      r.redirects++;
      r.asking = e.reaction == Reaction::kAsk;
      if (r.redirects > kPromptRedirects) {
        r.asking = false;
        owner_.Misplaced();
        return owner_.Later(Take());
      }
      return owner_.Redirected(Take(), r.asking ? -1 : e.slot, where);
    case Reaction::kTryAgain:
      if (r.redirects >= kMaxRedirects) break;
      r.redirects++;
      r.asking = false;
      return owner_.Later(Take());
    case Reaction::kWrongType:
      if (r.verb != Verb::kGet && r.verb != Verb::kExistsLength) break;
      Count(context_.stats.foreign_keys);
      return Finish(sixcall::Status::kMiss);
    case Reaction::kRefresh:
      owner_.Misplaced();
      FinishFailed(ToError(text, name_));
      // The role is asked again when the connection is made.
      if (context_.settings.mode == Mode::kSentinel) throw sixcall::Error(SIXCALL_E_CONNECT, name_ + ": " + text);
      return;
    case Reaction::kLogin:
      FinishFailed(ToError(text, name_));
      throw ToError(text, name_);
    case Reaction::kFail:
      break;
  }
  FinishFailed(ToError(text, name_));
}

/// Takes the request that has been answered out of the flight.
Request Link::Take() {
  Request r = flight_.front();
  flight_.pop();
  flight_bytes_ -= r.cost;
  if (sent_ > 0) sent_--;
  useful_ = true;
  pauses_ = 0;
  Progress();
  return r;
}

void Link::Finish(sixcall::Result result) { owner_.Done(Take(), result); }

void Link::FinishFailed(const sixcall::Error& error) { owner_.Failed(Take(), error); }

}  // namespace redis
