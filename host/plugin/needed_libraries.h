// SPDX-License-Identifier: BSD-3-Clause
// The libraries that lie beside a plugin, which it finds by $ORIGIN in its run path. A plugin is
// loaded by a name in another folder (ElfFile::load_path), so they are opened before it, by the
// same rules. Main thread.
#pragma once

#include "host/plugin/elf_symbols.h"
#include "host/plugin/trust.h"

#include <filesystem>

namespace pergola::host {

// Opens those for a library at `path`, and those that they need. They stay open until the process
// ends. Throws Error{kPlugin} for one that is not trusted, or that cannot be opened; with a lock
// file for any, since it pins plugins alone.
void open_needed_libraries(const ElfSymbols& symbols, const std::filesystem::path& path,
                           const TrustPolicy& policy);

}  // namespace pergola::host
