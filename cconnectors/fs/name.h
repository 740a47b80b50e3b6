// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_NAME_H
#define SIXCALL_FS_NAME_H

#include <cstdint>
#include <string>
#include <string_view>

namespace fs {

/// Whose names the files have.
enum class Layout {
  kFs,        ///< LMCache's L2 adapter "fs": model@0xRANK@group@hash[@salt].data
  kFsNative,  ///< its "fs_native": the same, but a negative rank is 0x-RANK and not -0xRANK
  kRemote,    ///< its remote connector "fs://": the key's text, "/" written as "-SEP-"
};

/// 64-bit FNV-1a.
uint64_t Hash(std::string_view bytes);

/// The name of a file, without a folder. Never empty, "." or "..", never with '/' or NUL.
struct FileName {
  char text[256];
  uint32_t size = 0;
  bool long_key = false;  ///< the name is a hash: the key is stored in the file, see trailer.h

  const char* c_str() const { return text; }
  std::string_view view() const { return {text, size}; }
};

/// Turns keys into file names and back. Different keys have different names, and
/// where the name of a long key is a hash the file tells which key it is of.
///
/// A key in the form of LMCache has LMCache's name wherever that name belongs to
/// no other key. '-', '%' and NUL are written as %2D, %25 and %00 in texts for
/// which it would: "a-SEP-b" is not "a/b" here. Except in kRemote, a key of another
/// form is named %key-..., with bytes other than letters, digits, '.', '_' and '-'
/// as %XX. Names over the limit become %long- and the 128-bit FNV-1a of the key.
///
/// Immutable; safe for concurrent use.
class Names {
 public:
  /// limit is what the file system allows for a name, in bytes; at most 255 are used.
  explicit Names(Layout layout, uint32_t limit = 255) : layout_(layout), limit_(limit < 255 ? limit : 255) {}

  FileName Of(std::string_view key) const;

  enum class Kind {
    kForeign,  ///< not a name that Of returns
    kKey,      ///< *key is its key
    kLong,     ///< its key is in the file
  };
  /// What a name in the folder is.
  Kind Parse(std::string_view name, std::string* key) const;

 private:
  Layout layout_;
  uint32_t limit_;
};

}  // namespace fs

#endif  // SIXCALL_FS_NAME_H
