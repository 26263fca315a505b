// SPDX-License-Identifier: BSD-3-Clause
// Whose code may run: plugins.trust. Asked of the open file, so that the answer is about what is
// loaded afterwards. Thread-safe.
#pragma once

#include "host/plugin/elf_sections.h"
#include "host/plugin/plugin_lock.h"

#include <filesystem>
#include <string>

namespace pergola::host {

enum class Trust {
  kOwner,   // file and folders are this user's or root's, and nobody else can write them
  kLocked,  // the file's SHA-256 is in the lock file, whoever owns it
  kAny,     // whatever is found
};

struct TrustPolicy {
  Trust trust = Trust::kOwner;
  PluginLock lock;             // of kLocked
  std::string lock_file = {};  // for messages
};

// That of plugins.trust = "locked". Throws Error{kPlugin} as PluginLock::read does, and
// for a lock file that others can write.
[[nodiscard]] TrustPolicy locked_policy(const std::filesystem::path& lock_file);

// Why a file may not be loaded, as a sentence with a next step; "" when it may. `name`: the
// plugin's in its manifest, which is where the lock is asked; "" when it has none.
[[nodiscard]] std::string distrust(const ElfFile& file, const std::string& name,
                                   const TrustPolicy& policy);

// Who else than this user and root could change what is at `path`, or put something else there, as
// the end of a sentence; "" when nobody could.
[[nodiscard]] std::string others_who_write(const std::filesystem::path& path);

}  // namespace pergola::host
