// SPDX-License-Identifier: BSD-3-Clause
// The lock file: which builds of which plugins may be loaded with plugins.trust = "locked", by the
// SHA-256 of the file. `pergola plugins trust` writes it, and it can be committed. TOML. Owns all
// that it read; thread-safe while it is not changed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

inline constexpr std::size_t kMaxLockSize = 1U << 20U;

struct LockedPlugin {
  std::string name;
  std::string version;
  std::string sha256;  // 64 lower-case hexadecimal digits
};

class PluginLock {
 public:
  PluginLock() = default;

  // Throws Error{kPlugin}, with the place, for what is no such file: not TOML, of another format
  // version, a key that is unknown or missing, a hash that is none, a name that is there twice.
  static PluginLock parse(std::string_view text, const std::string& source);
  // The same of a file; throws when it is not there, too.
  static PluginLock read(const std::filesystem::path& path);

  // The entry of that plugin; null when there is none.
  [[nodiscard]] const LockedPlugin* find(std::string_view name) const;
  [[nodiscard]] const std::vector<LockedPlugin>& plugins() const noexcept { return plugins_; }

  // In place of the entry of that name, if there is one.
  void set(LockedPlugin plugin);
  // What parse() reads, sorted by name.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<LockedPlugin> plugins_;  // sorted by name
};

}  // namespace pergola::host
