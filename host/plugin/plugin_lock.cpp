// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/plugin_lock.h"

#include "host/config/toml.h"
#include "host/plugin/table_reader.h"
#include "host/support/files.h"
#include "host/support/printable.h"
#include "pergola/error.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::int64_t kFormatVersion = 1;
constexpr std::string_view kHead =
    "# Which plugins plugins.trust = \"locked\" loads. Written by `pergola plugins trust`.\n";

bool is_sha256(std::string_view text) {
  constexpr std::size_t kDigits = 64;
  return text.size() == kDigits &&
         std::ranges::all_of(text, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

Value parse_text(std::string_view text, const std::string& source) {
  try {
    return parse_toml(text, source, ErrorKind::kPlugin);
  } catch (const Error& error) {  // it quotes the text as it is
    throw Error(ErrorKind::kPlugin, printable(error.what()));
  }
}

void check_format_version(const TableReader& reader) {
  const Value* version = reader.find("format_version");
  if (version == nullptr) reader.fail("it has no format_version, so it is no lock file");
  if (*version == Value(kFormatVersion)) return;
  reader.fail_in("format_version",
                 concat("is ", to_string(*version), "; this host reads ", kFormatVersion,
                        ", so write it anew with `pergola plugins trust`"));
}

}  // namespace

PluginLock PluginLock::parse(std::string_view text, const std::string& source) {
  const Value root = parse_text(text, source);
  const TableReader reader(root, "", source);
  check_format_version(reader);
  reader.allow_only({"format_version", "plugin"});
  PluginLock lock;
  for (const TableReader& entry : reader.tables("plugin")) {
    entry.allow_only({"name", "version", "sha256"});
    LockedPlugin plugin{entry.text("name"), entry.text("version"), entry.text("sha256")};
    entry.require_key(plugin.name, "the plugin's name");
    if (!is_sha256(plugin.sha256)) {
      entry.fail_in("sha256",
                    concat("is '", plugin.sha256, "', not 64 lower-case hexadecimal digits"));
    }
    if (lock.find(plugin.name) != nullptr) {
      entry.fail_in("name", concat("is '", plugin.name, "', which is there twice"));
    }
    lock.set(std::move(plugin));
  }
  return lock;
}

PluginLock PluginLock::read(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) {
    throw Error(ErrorKind::kPlugin, "there is no lock file ", path.string(),
                "; write it with `pergola plugins trust --lock-file ", path.string(),
                "`, or name another with plugins.lock_file");
  }
  return parse(read_file(path, ErrorKind::kPlugin, kMaxLockSize), path.string());
}

const LockedPlugin* PluginLock::find(std::string_view name) const {
  const auto found = std::ranges::find(plugins_, name, &LockedPlugin::name);
  return found == plugins_.end() ? nullptr : &*found;
}

void PluginLock::set(LockedPlugin plugin) {
  const auto at = std::ranges::lower_bound(plugins_, plugin.name, {}, &LockedPlugin::name);
  if (at != plugins_.end() && at->name == plugin.name) {
    *at = std::move(plugin);
  } else {
    plugins_.insert(at, std::move(plugin));
  }
}

// By hand, since to_toml writes tables in arrays inline, and a diff is to show whole entries.
std::string PluginLock::text() const {
  std::string text(kHead);
  text += concat("format_version = ", kFormatVersion, "\n");
  for (const LockedPlugin& plugin : plugins_) {
    text += concat("\n[[plugin]]\nname = \"", plugin.name, "\"\nversion = \"", plugin.version,
                   "\"\nsha256 = \"", plugin.sha256, "\"\n");
  }
  return text;
}

}  // namespace pergola::host
