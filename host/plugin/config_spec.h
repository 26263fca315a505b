// SPDX-License-Identifier: BSD-3-Clause
// The `spec` table of a model, data set or component in a plugin's manifest: what the keys beside
// it mean and may be, in the words of ParamSpec.
//
//   [models.tiny.config]
//   dropout = 0.1
//   encoder = { type = "grid", params = { channels = [8, 16] } }
//   [models.tiny.spec]
//   dropout = { meaning = "share that is dropped", low = 0, high = 1 }
//   encoder.type = { meaning = "what makes regions", choices = ["grid", "patch"] }
//   encoder.params.channels = { meaning = "of each convolution", low = 1 }
//
// A member that is a table describes a key within, any other is a field of the key itself. Within a
// key whose default is an array, it describes what each table of the array holds. No state;
// thread-safe.
#pragma once

#include "host/config/config_params.h"
#include "host/plugin/table_reader.h"

#include <string>

namespace pergola::host {

inline constexpr const char* kSpecKey = "spec";

// Whose keys these are. Of a model's, 0 may stand for a fact of the data set; those of a component
// are not described within.
enum class SpecOf { kModel, kDataset, kComponent };

// All keys of `defaults`, which is behind `defaults_key` of `entry` ("config" or "params"), and
// those that `spec` adds, sorted. Of keys that it does not describe, the type of a number or a
// boolean is known. Throws Error{kPlugin}, with the place, for a field that is unknown or does not
// fit its key, a key without default and type, and a default that is not what is said of it.
[[nodiscard]] ConfigParams parse_config_spec(const TableReader& entry,
                                             const std::string& defaults_key, const Value& defaults,
                                             SpecOf of);

}  // namespace pergola::host
