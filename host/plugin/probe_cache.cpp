// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/probe_cache.h"

#include "host/plugin/trust.h"
#include "host/support/files.h"
#include "host/support/hash.h"
#include "host/support/json.h"
#include "host/support/log.h"
#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/value.h"

#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::int64_t kCacheFormat = 1;
constexpr std::uintmax_t kMostCacheBytes = 8U << 20U;

// An absolute path, as the XDG rules have it; otherwise "".
std::filesystem::path folder_in(const char* variable) {
  const char* value = ::secure_getenv(variable);
  const std::filesystem::path folder(value == nullptr ? "" : value);
  return folder.is_absolute() ? folder : std::filesystem::path();
}

Value to_value(const ProbedFile& file, const std::string& host) {
  return Value::Table{{"device", static_cast<std::int64_t>(file.identity.device)},
                      {"inode", static_cast<std::int64_t>(file.identity.inode)},
                      {"size", file.identity.size},
                      {"modified_ns", file.identity.modified_ns},
                      {"sha256", file.sha256},
                      {"path", file.path},
                      {"problem", file.problem},
                      {"host", host}};
}

const Value& member(const Value& table, const char* key) {
  const auto found = table.as_table().find(key);
  if (found != table.as_table().end()) return found->second;
  throw Error(ErrorKind::kPlugin, "an entry has no ", key);
}

ProbedFile to_file(const Value& entry) {
  return {{static_cast<dev_t>(member(entry, "device").as_integer()),
           static_cast<ino_t>(member(entry, "inode").as_integer()),
           member(entry, "size").as_integer(), member(entry, "modified_ns").as_integer()},
          member(entry, "sha256").as_string(),
          member(entry, "path").as_string(),
          member(entry, "problem").as_string()};
}

// Who else could write the file, or put one there; "" when nobody can.
std::string who_else_writes(const std::filesystem::path& file) {
  for (std::filesystem::path place = file; place.has_relative_path(); place = place.parent_path()) {
    std::error_code error;
    if (std::filesystem::exists(place, error)) return others_who_write(place);
  }
  return "";
}

int add_library(dl_phdr_info* info, std::size_t /*size*/, void* lines) {
  const std::string name = info->dlpi_name;
  const auto identity = identify(name.empty() ? "/proc/self/exe" : name);
  if (!identity) return 0;  // the kernel's own
  *static_cast<std::string*>(lines) +=
      concat(name, ' ', identity->device, ' ', identity->inode, ' ', identity->size, ' ',
             identity->modified_ns, '\n');
  return 0;
}

}  // namespace

std::filesystem::path default_probe_cache() {
  const std::filesystem::path home = folder_in("HOME");
  std::filesystem::path caches = folder_in("XDG_CACHE_HOME");
  if (caches.empty() && !home.empty()) caches = home / ".cache";
  return caches.empty() ? caches : caches / "pergola" / "plugin_probes.json";
}

std::string identity_of_host() {
  // Once: what is opened later, such as plugins, is not what the program begins with.
  static const std::string kIdentity = [] {
    std::string lines;
    ::dl_iterate_phdr(&add_library, &lines);
    return sha256(lines);
  }();
  return kIdentity;
}

ProbeCache::ProbeCache(std::filesystem::path file, std::string host)
    : path_(std::move(file)), host_(std::move(host)) {
  if (path_.empty()) return;
  try {
    read();
  } catch (const std::exception& error) {
    entries_.clear();
    log::debug("[plugin] what was known of plugins in ", path_.string(),
               " is not used: ", error.what());
  }
}

void ProbeCache::read() {
  if (const std::string others = who_else_writes(path_); !others.empty()) {
    log::debug("[plugin] ", path_.string(), " is neither read nor written: ", others);
    path_.clear();
    return;
  }
  std::error_code error;
  if (!std::filesystem::exists(path_, error)) return;
  entries_ = parse(read_file(path_, ErrorKind::kPlugin, kMostCacheBytes), path_.string());
}

std::vector<ProbeCache::Entry> ProbeCache::parse(const std::string& text,
                                                 const std::string& source) {
  const Value root = from_json(text, source, ErrorKind::kPlugin);
  if (member(root, "format_version") != Value(kCacheFormat)) {
    throw Error(ErrorKind::kPlugin, "it has another format");
  }
  std::vector<Entry> entries;
  for (const Value& entry : member(root, "plugins").as_array()) {
    entries.push_back({to_file(entry), member(entry, "host").as_string()});
  }
  return entries;
}

const ProbedFile* ProbeCache::find(const FileIdentity& identity) const {
  const auto found = std::find_if(entries_.rbegin(), entries_.rend(), [&](const Entry& entry) {
    return entry.file.identity == identity && entry.host == host_;
  });
  return found == entries_.rend() ? nullptr : &found->file;
}

const ProbedFile* ProbeCache::find_content(std::string_view sha256) const {
  if (sha256.empty()) return nullptr;
  const auto found = std::find_if(entries_.rbegin(), entries_.rend(), [&](const Entry& entry) {
    return entry.file.sha256 == sha256 && entry.host == host_;
  });
  return found == entries_.rend() ? nullptr : &found->file;
}

void ProbeCache::add(ProbedFile file) {
  std::erase_if(entries_, [&](const Entry& entry) {
    const bool is_same =
        entry.file.path == file.path || entry.file.identity.same_file(file.identity);
    return is_same && entry.host == host_;
  });
  entries_.push_back({std::move(file), host_});
  changed_ = true;
}

void ProbeCache::save() noexcept {
  if (!changed_ || path_.empty()) return;
  changed_ = false;
  try {
    write();
  } catch (const std::exception& error) {
    log::debug("[plugin] what was learnt of plugins is not kept: ", error.what());
  }
}

void ProbeCache::write() const {
  Value::Array plugins;
  const std::size_t kept = std::min(entries_.size(), kMostFiles);
  for (auto entry = entries_.end() - static_cast<std::ptrdiff_t>(kept); entry != entries_.end();
       ++entry) {
    plugins.push_back(to_value(entry->file, entry->host));
  }
  const Value root =
      Value::Table{{"format_version", kCacheFormat}, {"plugins", std::move(plugins)}};
  make_directories(path_.parent_path(), ErrorKind::kPlugin);
  write_file_atomic(path_, to_json(root) + '\n', ErrorKind::kPlugin);
}

}  // namespace pergola::host
