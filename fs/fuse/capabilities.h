// SPDX-License-Identifier: BSD-3-Clause
// What daemon and kernel agree on at FUSE_INIT.
//
// Each capability that libfuse knows is chosen explicitly, in one table with its reason;
// libfuse's own defaults don't count. Stateless; called once a session, before any other request.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fs/fuse/libfuse.h"

namespace ingot {

inline constexpr uint32_t kMaxTransferBytes = 1 << 20;

struct Negotiated {
  bool opendir_can_be_skipped = false;  // the kernel needs neither OPENDIR nor RELEASEDIR
  bool shared_mappings = false;         // MAP_SHARED works on files opened without page cache
  bool io_uring = false;                // wanted and offered; after the handshake: in use
  bool passthrough = false;             // wanted and offered
  uint32_t protocol_minor = 0;
  std::vector<std::string> capabilities;  // names of those in force, for status
};

struct Wanted {
  bool io_uring = false;
  bool passthrough = false;
};
Negotiated Negotiate(fuse_conn_info& connection, const Wanted& wanted);

}  // namespace ingot
