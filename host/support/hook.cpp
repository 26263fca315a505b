// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/hook.h"

namespace pergola::host {
namespace {

// Newest first. Only ever grows, so that whoever reads it needs no lock.
std::atomic<const KnownPlugin*> newest_plugin = nullptr;

}  // namespace

KnownPlugin& remember_plugin(std::unique_ptr<KnownPlugin> plugin) {
  KnownPlugin* const known = plugin.release();
  known->next = newest_plugin.load();
  newest_plugin.store(known);
  return *known;
}

const KnownPlugin* plugin_of(const Hook& hook) noexcept {
  const std::string_view key = hook.type.empty() ? hook.key : hook.type;
  for (const KnownPlugin* one = newest_plugin.load(); one != nullptr; one = one->next) {
    if (!one->is_registered) continue;
    for (const auto& [kind, own_key] : one->classes) {
      if (kind == hook.kind && own_key == key) return one;
    }
  }
  return nullptr;
}

const KnownPlugin* plugin_loaded_as(std::string_view load_path) noexcept {
  for (const KnownPlugin* one = newest_plugin.load(); one != nullptr; one = one->next) {
    if (one->load_path == load_path) return one;
  }
  return nullptr;
}

}  // namespace pergola::host
