// SPDX-License-Identifier: Apache-2.0
// sixcall-worker runs one connector library in a process of its own. PROTOCOL.md
// says how it talks to its host.
#include <getopt.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>

#include "byhand.h"
#include "channel.h"
#include "control.h"
#include "crash.h"
#include "sixcall/connector.h"

namespace {

using namespace sixcall::worker;

constexpr const char* kUsage =
    R"(usage: sixcall-worker --control-fd N
       sixcall-worker --library PATH [--params JSON] [--exercise] [--timeout-ms N]

Runs one connector library in a process of its own.

  --control-fd N    serve the host at the other end of descriptor N, a Unix socket
                    of type SOCK_SEQPACKET; hosts start it that way
  --library PATH    load and open this library without a host, and say what it is
  --params JSON     its configuration, one object, default {}; {"$env": ...} and
                    {"$file": ...} are the host's business and not resolved here
  --exercise        store, find, read and remove some values
  --timeout-ms N    for open, close and each batch, default 60000
  --version         print the versions of program, protocol and ABI
  --help            print this

By hand nothing is hardened and no signal handler installed:
  valgrind sixcall-worker --library ./libsixcall_x.so --exercise
  gdb --args sixcall-worker --library ./libsixcall_x.so --exercise

Exit codes: 0 closed; 1 by hand: the library failed; 2 wrong arguments; 3 the host
sent what is no message; 4 the host is gone; 5 the library broke the contract and
cannot go on; 6 the library called exit(). A crash ends it by its signal.
)";

/// The number in text, or -1.
long Number(const char* text, long most) {
  char* end = nullptr;
  const long n = std::strtol(text, &end, 10);
  return *text != '\0' && *end == '\0' && n >= 0 && n <= most ? n : -1;
}

int Wrong(const char* what, const char* value) {
  std::fprintf(stderr, "sixcall-worker: %s%s; --help says more\n", what, value);
  return kExitUsage;
}

bool IsSeqpacket(int fd) {
  int type = 0, family = 0;
  socklen_t len = sizeof(type);
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0) return false;
  len = sizeof(family);
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 && type == SOCK_SEQPACKET && family == AF_UNIX;
}

}  // namespace

int main(int argc, char** argv) {
  static const option kOptions[] = {{"control-fd", required_argument, nullptr, 'c'}, {"library", required_argument, nullptr, 'l'},
                                    {"params", required_argument, nullptr, 'p'},     {"exercise", no_argument, nullptr, 'e'},
                                    {"timeout-ms", required_argument, nullptr, 't'}, {"version", no_argument, nullptr, 'v'},
                                    {"help", no_argument, nullptr, 'h'},             {nullptr, 0, nullptr, 0}};
  long control_fd = -1;
  HandOptions hand;
  bool only_by_hand = false;
  for (int c; (c = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    switch (c) {
      case 'c':
        if ((control_fd = Number(optarg, 1 << 20)) <= 2) return Wrong("--control-fd wants a descriptor above 2, got ", optarg);
        break;
      case 'l': hand.library = optarg; break;
      case 'p': hand.params = optarg, only_by_hand = true; break;
      case 'e': hand.exercise = only_by_hand = true; break;
      case 't': {
        const long ms = Number(optarg, 24 * 3600 * 1000);
        if (ms <= 0) return Wrong("--timeout-ms wants milliseconds, at least 1, got ", optarg);
        hand.timeout_ms = static_cast<uint32_t>(ms), only_by_hand = true;
        break;
      }
      case 'v':
        std::printf("sixcall-worker %s\nprotocol %u.%u\nabi %d.%d\n", SIXCALL_WORKER_VERSION, kProtocolMajor, kProtocolMinor, SIXCALL_ABI_MAJOR, SIXCALL_ABI_MINOR);
        return kExitOk;
      case 'h': std::fputs(kUsage, stdout); return kExitOk;
      default: return Wrong("wrong arguments", "");
    }
  }
  if (optind < argc) return Wrong("unknown argument ", argv[optind]);
  if ((control_fd >= 0) == !hand.library.empty()) return Wrong("want either --control-fd or --library", "");
  if (control_fd < 0) return RunByHand(hand);
  if (only_by_hand) return Wrong("--params, --exercise and --timeout-ms belong to --library", "");
  if (!IsSeqpacket(static_cast<int>(control_fd))) return Wrong("--control-fd is no Unix socket of type SOCK_SEQPACKET", "");
  ServeHost(static_cast<int>(control_fd));
}
