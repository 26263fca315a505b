// SPDX-License-Identifier: BSD-3-Clause
// A batch in two files, so that somebody can look at it: tensors as safetensors, the rest as JSON.
// Training thread.
#pragma once

#include "pergola/sample_list.h"
#include "pergola/state_dict.h"
#include "pergola/value.h"

#include <filesystem>
#include <string>

namespace pergola::host {

// The tensors of all fields, by the field's name. Those of a group have the group's name and a dot
// in front, those of a list their number behind ("box.0"), a packed field has ".values" and
// ".offsets".
[[nodiscard]] StateDict tensors_of(const SampleList& batch);

// The strings and lists of strings of all fields, under the same names.
[[nodiscard]] Value strings_of(const SampleList& batch);

// Writes <stem>.safetensors, and <stem>.json with `facts`, "dataset", "split" and "strings". Each
// file is whole or not there; the folder is made. Waits for the device that the batch is on.
// Throws Error{kCheckpoint}.  REQUIRES: facts is a table.
void save_batch(const std::filesystem::path& stem, const SampleList& batch, Value facts);

}  // namespace pergola::host
