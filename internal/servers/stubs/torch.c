// SPDX-License-Identifier: Apache-2.0
//
// LMCache's native clients name four libraries of torch and use nothing of them.
// Built under each of those names, this file stands for them. It also has the one
// function of a newer libstdc++ that the clients want: std::string replaces len1
// bytes at p by the len2 bytes at s, which may lie in the same string.
#include <stdlib.h>
#include <string.h>

void _ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE15_M_replace_coldEPcmPKcmm(void *self, char *p, size_t len1,
                                                                                     const char *s, size_t len2, size_t rest) {
  (void)self;
  char *copy = malloc(len2 + 1);
  if (copy == NULL) abort();
  memcpy(copy, s, len2);
  memmove(p + len2, p + len1, rest);
  memcpy(p, copy, len2);
  free(copy);
}
