// SPDX-License-Identifier: BSD-3-Clause
// One field of [models.<key>.fields], as field_spec.h tells what it may say. Thread-safe.
#pragma once

#include "host/plugin/field_spec.h"
#include "host/plugin/table_reader.h"

#include <string>
#include <vector>

namespace pergola::host {

// The config that an examination gives a model: keys are looked up in both.
struct ExaminedKeys {
  const Value& defaults;
  const Value& check_config;
};

// Throws Error{kPlugin}, with the place.
[[nodiscard]] FieldSpec read_field(const TableReader& reader, const std::string& name,
                                   const ExaminedKeys& keys);

// The words of `dtype`, at the index of what they stand for.
[[nodiscard]] const std::vector<std::string>& field_types();

}  // namespace pergola::host
