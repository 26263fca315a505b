// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/needed_libraries.h"

#include "host/support/printable.h"
#include "pergola/error.h"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// Those that were opened, by path; never destroyed, as plugins are not.
std::map<fs::path, std::unique_ptr<const ElfFile>>& opened_libraries() {
  static auto* const libraries = new std::map<fs::path, std::unique_ptr<const ElfFile>>;
  return *libraries;
}

// The file `name` in a folder of the run path that begins with $ORIGIN, which is `folder`.
std::optional<fs::path> find_beside(const std::string& name, const ElfSymbols& symbols,
                                    const fs::path& folder) {
  for (std::string_view place : symbols.run_path) {
    for (const std::string_view origin : {"$ORIGIN", "${ORIGIN}"}) {
      if (!place.starts_with(origin)) continue;
      const fs::path file =
          fs::path(folder.string() + std::string(place.substr(origin.size()))) / name;
      std::error_code ignored;
      if (fs::exists(file, ignored)) return fs::canonical(file, ignored);
    }
  }
  return std::nullopt;
}

void open(const fs::path& path, const fs::path& for_library, const TrustPolicy& policy) {
  auto& opened = opened_libraries();
  if (opened.contains(path)) return;
  const auto refuse = [&](const std::string& problem) {
    return Error(ErrorKind::kPlugin, printable(for_library.string()), " needs ",
                 printable(path.string()), ", ", problem);
  };
  if (policy.trust == Trust::kLocked) {
    throw refuse("which the lock file does not pin; link it statically");
  }
  auto file = std::make_unique<const ElfFile>(path);
  if (const std::string problem = distrust(*file, "", policy); !problem.empty()) {
    throw refuse("and " + problem);
  }
  open_needed_libraries(read_symbols(*file), path, policy);
  if (::dlopen(file->load_path().c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
    const char* text = ::dlerror();
    throw refuse(concat("which cannot be loaded: ", printable(text == nullptr ? "" : text)));
  }
  opened.emplace(path, std::move(file));
}

}  // namespace

void open_needed_libraries(const ElfSymbols& symbols, const fs::path& path,
                           const TrustPolicy& policy) {
  for (const std::string& name : symbols.needed) {
    // What the process has already is what the dynamic linker takes. The handle is never closed, as
    // none is (ADR 2).
    if (::dlopen(name.c_str(), RTLD_LAZY | RTLD_NOLOAD) != nullptr) continue;
    if (const auto beside = find_beside(name, symbols, path.parent_path())) {
      open(*beside, path, policy);
    }
  }
}

}  // namespace pergola::host
