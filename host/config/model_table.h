// SPDX-License-Identifier: BSD-3-Clause
// `model = {type = "name", pretrained = "path"}`, a model that begins with weights of another
// training, as the two keys that it is short for. No state; thread-safe.
#pragma once

#include "host/config/overrides.h"
#include "pergola/value.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace pergola::host {

// What a checkpoint says of its model.
struct SavedModel {
  std::filesystem::path checkpoint;  // where the weights are
  std::string name;
  Value config;  // model_config.<name>, a table
};
// `run_dir`: the run's own folder, which says the same when it is there and `path` is gone. Throws
// Error for a path that is no checkpoint of Pergola.
using SavedModelReader = std::function<SavedModel(const std::filesystem::path& path,
                                                  const std::filesystem::path& run_dir)>;

// Where `model` of `root`, all layers in one, is a table: takes it out of both layers, and puts
// under `user` the name as `model` and the path as `checkpoint.pretrained`. Without a type the path
// is a checkpoint: `read` says which model it is of, and that model's config comes with the two.
// Throws Error{kConfig} for other keys and types, where checkpoint.pretrained is set as well, and
// without a type when there is no `read`.
void expand_model_table(const Value& root, const SavedModelReader& read, Value& user,
                        std::vector<Override>& overrides);

}  // namespace pergola::host
