// SPDX-License-Identifier: Apache-2.0
//
// Keeps a program on the loopback interface: an address that it would bind to
// all interfaces is bound to loopback. For servers that cannot be told where to
// listen. Preload it; it does not reach programs that make the system call
// themselves, as Go programs do.
//
//   cc -shared -fPIC -o libbind.so bind.c -ldl
//   LD_PRELOAD=$PWD/libbind.so server
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

typedef int (*bind_fn)(int, const struct sockaddr *, socklen_t);

int bind(int fd, const struct sockaddr *address, socklen_t len) {
  bind_fn next;
  void *symbol = dlsym(RTLD_NEXT, "bind");
  memcpy(&next, &symbol, sizeof(next));
  if (next == NULL) {
    errno = ENOSYS;
    return -1;
  }
  if (address != NULL && address->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
    struct sockaddr_in v4;
    memcpy(&v4, address, sizeof(v4));
    if (v4.sin_addr.s_addr == htonl(INADDR_ANY)) {
      v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      return next(fd, (const struct sockaddr *)&v4, sizeof(v4));
    }
  }
  if (address != NULL && address->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
    struct sockaddr_in6 v6;
    memcpy(&v6, address, sizeof(v6));
    if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) {
      // The mapped address also takes IPv4 connections, as the wildcard does. A
      // socket for IPv6 alone cannot have it.
      int only_v6 = 0;
      socklen_t size = sizeof(only_v6);
      (void)getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, &size);
      if (only_v6 || inet_pton(AF_INET6, "::ffff:127.0.0.1", &v6.sin6_addr) != 1) v6.sin6_addr = in6addr_loopback;
      return next(fd, (const struct sockaddr *)&v6, sizeof(v6));
    }
  }
  return next(fd, address, len);
}
