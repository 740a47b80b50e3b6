// SPDX-License-Identifier: Apache-2.0
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <system_error>

#include "sixcall/connector.hpp"

namespace redis {
namespace {

std::string Reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown reason";
  const char* text = ERR_reason_error_string(code);
  return text != nullptr ? text : "error " + std::to_string(code);
}

bool IsIp(const std::string& host) {
  unsigned char addr[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), addr) == 1 || inet_pton(AF_INET6, host.c_str(), addr) == 1;
}

// OpenSSL's own socket BIO writes without MSG_NOSIGNAL.
int BioRead(BIO* bio, char* out, int len) {
  BIO_clear_retry_flags(bio);
  for (;;) {
    const ssize_t n = ::recv(static_cast<Stream*>(BIO_get_data(bio))->fd(), out, static_cast<size_t>(len), 0);
    if (n >= 0) return static_cast<int>(n);
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) BIO_set_retry_read(bio);
    return -1;
  }
}
int BioWrite(BIO* bio, const char* data, int len) {
  BIO_clear_retry_flags(bio);
  for (;;) {
    const ssize_t n = ::send(static_cast<Stream*>(BIO_get_data(bio))->fd(), data, static_cast<size_t>(len), MSG_NOSIGNAL);
    if (n >= 0) return static_cast<int>(n);
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) BIO_set_retry_write(bio);
    return -1;
  }
}
long BioControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* Method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sixcall socket");
    if (m == nullptr) return m;
    BIO_meth_set_read(m, BioRead);
    BIO_meth_set_write(m, BioWrite);
    BIO_meth_set_ctrl(m, BioControl);
    return m;
  }();
  if (method == nullptr) throw sixcall::Error(SIXCALL_E_NOMEM, "tls: " + Reason());
  return method;
}

// A key that needs a pass phrase is refused; OpenSSL would ask on the terminal.
int NoPassPhrase(char*, int, int, void*) { return 0; }

constexpr size_t kRecord = 16384;  // bytes of a full TLS record

class TlsStream final : public Stream {
 public:
  TlsStream(Stream& plain, SSL* ssl) : Stream(plain.ReleaseFd(), plain.peer()), ssl_(ssl) {}
  ~TlsStream() override {
    if (shook_hands_ && !failed_ && !unwritten_) SSL_shutdown(ssl_);  // tells the server, and does not wait
    ERR_clear_error();
    SSL_free(ssl_);
  }

  bool Handshake() override {
    ERR_clear_error();
    const int r = SSL_connect(ssl_);
    write_wants_write_ = false;
    if (r == 1) return shook_hands_ = true;
    write_wants_write_ = Check(r, "tls handshake");
    return false;
  }
  size_t Read(const iovec* iov, int n) override {
    size_t total = 0;
    read_wants_write_ = false;
    for (int i = 0; i < n; i++) {
      for (size_t done = 0; done < iov[i].iov_len;) {
        size_t got = 0;
        ERR_clear_error();
        const int r = SSL_read_ex(ssl_, static_cast<char*>(iov[i].iov_base) + done, iov[i].iov_len - done, &got);
        if (r != 1) {
          if (total > 0 && !Blocked(r)) return total;  // the next call finds the same end
          read_wants_write_ = Check(r, "tls read");
          return total;
        }
        done += got;
        total += got;
      }
    }
    return total;
  }
  size_t Write(const iovec* iov, int n) override {
    size_t total = 0;
    write_wants_write_ = false;
    for (Cursor at{iov, n, 0}; at.n > 0;) {
      // Small pieces share a record. After a call that would block the same
      // pieces come again, so the record is the same too.
      size_t len = 0, sent = 0;
      const void* data = Piece(at, &len);
      ERR_clear_error();
      const int r = SSL_write_ex(ssl_, data, len, &sent);
      unwritten_ = r != 1;
      if (r != 1) {
        write_wants_write_ = Check(r, "tls write");
        return total;
      }
      at.Advance(sent);
      total += sent;
    }
    return total;
  }
  bool wants_write(bool) const override { return read_wants_write_ || write_wants_write_; }
  bool holds_unwritten() const override { return unwritten_; }

 private:
  /// A position in an array of pieces.
  struct Cursor {
    const iovec* iov;
    int n;
    size_t offset;
    void Advance(size_t bytes) {
      while (n > 0 && bytes >= iov->iov_len - offset) {
        bytes -= iov->iov_len - offset;
        offset = 0;
        iov++;
        n--;
      }
      offset += bytes;
    }
  };
  const void* Piece(const Cursor& from, size_t* len) {
    const auto* first = static_cast<const char*>(from.iov->iov_base) + from.offset;
    *len = from.iov->iov_len - from.offset;
    if (*len >= kRecord / 2 || from.n == 1) return first;
    record_.clear();
    for (Cursor at = from; at.n > 0 && record_.size() < kRecord;) {
      const size_t take = std::min(at.iov->iov_len - at.offset, kRecord - record_.size());
      record_.append(static_cast<const char*>(at.iov->iov_base) + at.offset, take);
      at.Advance(take);
    }
    *len = record_.size();
    return record_.data();
  }

  bool Blocked(int r) {
    const int why = SSL_get_error(ssl_, r);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
  }
  /// Returns when the call would only have to wait: true for room to write, false
  /// for bytes to read. Else throws.
  bool Check(int r, const char* what) {
    const int why = SSL_get_error(ssl_, r);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return why == SSL_ERROR_WANT_WRITE;
    failed_ = true;
    const int error = errno;
    if (why == SSL_ERROR_ZERO_RETURN || (why == SSL_ERROR_SYSCALL && ERR_peek_error() == 0)) {
      const std::string text = why == SSL_ERROR_SYSCALL && error != 0 ? ": " + std::generic_category().message(error) : "";
      throw sixcall::Error(SIXCALL_E_CONNECT, peer() + ": " + what + ": the server closed the connection" + text);
    }
    std::string text = Reason();
    const long verified = SSL_get_verify_result(ssl_);
    if (!shook_hands_ && verified != X509_V_OK) text += std::string(" (") + X509_verify_cert_error_string(verified) + "); see tls_ca_file and tls_server_name";
    const bool ours = !shook_hands_ && text.find("alert") != std::string::npos;
    throw sixcall::Error(SIXCALL_E_CONNECT, peer() + ": " + what + ": " + text + (ours ? "; does the server want tls_cert_file and tls_key_file?" : ""));
  }

  SSL* ssl_;
  std::string record_;
  bool shook_hands_ = false, failed_ = false, unwritten_ = false;
  bool read_wants_write_ = false, write_wants_write_ = false;
};

}  // namespace

struct TlsContext::Impl {
  TlsSettings settings;
  SSL_CTX* ctx = nullptr;
  ~Impl() { SSL_CTX_free(ctx); }
};

TlsContext::TlsContext(const TlsSettings& settings) : impl_(std::make_unique<Impl>()) {
  const auto bad = [](const char* key, const std::string& file) {
    return sixcall::Error(SIXCALL_E_CONFIG, std::string("config key \"") + key + "\": \"" + file + "\" cannot be used: " + Reason() + "; want a PEM file");
  };
  ERR_clear_error();
  impl_->settings = settings;
  SSL_CTX* ctx = impl_->ctx = SSL_CTX_new(TLS_client_method());
  if (ctx == nullptr) throw sixcall::Error(SIXCALL_E_NOMEM, "tls: " + Reason());
  SSL_CTX_set_default_passwd_cb(ctx, NoPassPhrase);
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(ctx, settings.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!settings.ca_file.empty()) {
    if (SSL_CTX_load_verify_file(ctx, settings.ca_file.c_str()) != 1) throw bad("tls_ca_file", settings.ca_file);
  } else if (settings.verify && SSL_CTX_set_default_verify_paths(ctx) != 1) {
    throw sixcall::Error(SIXCALL_E_CONFIG, "the system has no certificates: " + Reason() + "; set tls_ca_file");
  }
  if (!settings.cert_file.empty()) {
    if (SSL_CTX_use_certificate_chain_file(ctx, settings.cert_file.c_str()) != 1) throw bad("tls_cert_file", settings.cert_file);
    if (SSL_CTX_use_PrivateKey_file(ctx, settings.key_file.c_str(), SSL_FILETYPE_PEM) != 1) throw bad("tls_key_file", settings.key_file);
    if (SSL_CTX_check_private_key(ctx) != 1) throw bad("tls_key_file", settings.key_file);
  }
  Method();
}

TlsContext::~TlsContext() = default;

std::unique_ptr<Stream> TlsContext::Wrap(std::unique_ptr<Stream> plain, const std::string& host) const {
  SSL* ssl = SSL_new(impl_->ctx);
  BIO* bio = ssl == nullptr ? nullptr : BIO_new(Method());
  if (bio == nullptr) {
    SSL_free(ssl);
    throw sixcall::Error(SIXCALL_E_NOMEM, "tls: " + Reason());
  }
  SSL_set_bio(ssl, bio, bio);
  auto stream = std::make_unique<TlsStream>(*plain, ssl);
  BIO_set_data(bio, static_cast<Stream*>(stream.get()));
  BIO_set_init(bio, 1);
  const std::string& name = impl_->settings.server_name.empty() ? host : impl_->settings.server_name;
  const bool ip = IsIp(name);
  bool ok = ip || SSL_set_tlsext_host_name(ssl, name.c_str()) == 1;
  if (ok && impl_->settings.verify) {
    ok = ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) == 1 : SSL_set1_host(ssl, name.c_str()) == 1;
  }
  if (!ok) throw sixcall::Error(SIXCALL_E_CONFIG, "tls: \"" + name + "\" cannot be the name of a server: " + Reason());
  return stream;
}

}  // namespace redis
