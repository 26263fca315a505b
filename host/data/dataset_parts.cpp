// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/dataset_parts.h"

#include "pergola/error.h"
#include "pergola/rng.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace pergola::host {

void expect_known_split(const DatasetOptions& options) {
  static const std::vector<std::string> kSplits{"train", "val", "test"};
  if (std::find(kSplits.begin(), kSplits.end(), options.type) != kSplits.end()) return;
  throw Error(ErrorKind::kConfig, "data set '", options.name, "' has no split '", options.type, "'",
              did_you_mean(options.type, kSplits));
}

TypedConfig processor_in(const Config& processors, const char* key,
                         const std::filesystem::path& data_dir) {
  if (!processors.has(key)) throw processors.error(key, "is missing: name a processor");
  TypedConfig processor = processors.typed(key);
  const Value* file = processor.params.value().find("vocab_file");
  if (file == nullptr || !file->is_string() || file->as_string().empty()) return processor;
  Value params = processor.params.value();
  Value resolved((data_dir / file->as_string()).string());
  resolved.set_origin(file->origin());
  params["vocab_file"] = std::move(resolved);
  processor.params = Config(std::move(params), processor.params.path());
  return processor;
}

std::unordered_set<std::int64_t> choose_val_groups(std::vector<std::int64_t> groups, double share,
                                                   std::int64_t seed) {
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  const auto count = static_cast<std::int64_t>(groups.size());
  const auto order = permutation(count, static_cast<std::uint64_t>(seed), /*stream=*/0);
  std::unordered_set<std::int64_t> chosen;
  const std::int64_t val_count = std::llround(share * static_cast<double>(count));
  for (std::int64_t i = 0; i < val_count; ++i) {
    chosen.insert(groups[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])]);
  }
  return chosen;
}

at::Tensor scalar_of(std::int64_t value) {
  at::Tensor scalar = at::empty({}, at::kLong);
  *scalar.mutable_data_ptr<std::int64_t>() = value;
  return scalar;
}

}  // namespace pergola::host
