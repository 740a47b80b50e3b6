// SPDX-License-Identifier: Apache-2.0
#ifndef SIXCALL_FS_TILES_H
#define SIXCALL_FS_TILES_H

#include "engine.h"
#include "folder.h"
#include "sixcall/connector.hpp"
#include "usage.h"

namespace fs {

/// What a tile works with.
struct Context {
  const Settings& settings;
  Folder& folder;
  Counters& counters;
  Usage& usage;
  Engine& engine;
};

/// Reads the values of a tile straight into its buffers.
void GetTile(const Context& context, sixcall::Tile& tile);
/// Stores the values of a tile straight from its buffers. Throws Error when the
/// folder has to be opened again; what is already done stays done.
void SetTile(const Context& context, sixcall::Tile& tile);

}  // namespace fs

#endif  // SIXCALL_FS_TILES_H
