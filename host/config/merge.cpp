// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/merge.h"

namespace pergola::host {
namespace {

bool changes_type(const Value& base, const Value& overlay) {
  const Value* old_type = base.find("type");
  const Value* new_type = overlay.find("type");
  return old_type != nullptr && new_type != nullptr && !(*old_type == *new_type);
}

}  // namespace

void merge(Value& base, const Value& overlay) {
  if (!base.is_table() || !overlay.is_table()) {
    base = overlay;
    return;
  }
  if (changes_type(base, overlay)) base.as_table().erase("params");
  for (const auto& [key, value] : overlay.as_table()) merge(base[key], value);
  if (!overlay.origin().empty()) base.set_origin(overlay.origin());
}

void set_origins(Value& value, const std::string& origin) {
  value.set_origin(origin);
  if (value.is_array()) {
    for (Value& item : value.as_array()) set_origins(item, origin);
  } else if (value.is_table()) {
    for (auto& [key, item] : value.as_table()) set_origins(item, origin);
  }
}

}  // namespace pergola::host
