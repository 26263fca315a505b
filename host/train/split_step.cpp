// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/split_step.h"

#include "host/device/memory.h"
#include "host/model/guard.h"
#include "host/support/log.h"

#include <utility>

namespace pergola::host {

SplitStep::SplitStep(const BaseModel& model, c10::Device device, Work work)
    : splitter_(model, device), device_(device), work_(std::move(work)) {}

bool SplitStep::run(const SampleList& batch, const Place& place,
                    const std::function<void()>& whole) {
  if (place.number == 0) {
    random_ = rng_states(device_);
    kept_.clear();
  }
  kept_.push_back({batch.get_fields(batch.fields()), place.batch_idx});
  output_ = ModelOutput();
  for (bool is_anew = false;; is_anew = true) {
    std::string problem;
    try {
      if (!is_anew && !splitter_.splits(batch.batch_size())) {
        splitter_.begin_whole(batch);
        whole();
        end_of(place);
        return false;
      }
      if (!is_anew && place.number == 0) work_.restart();
      const std::size_t first = is_anew ? 0 : kept_.size() - 1;
      for (std::size_t i = first; i < kept_.size(); ++i) run_in_parts(kept_[i], place.group_size);
      end_of(place);
      return true;
    } catch (const OutOfMemory& error) {
      problem = error.what();
      if (!work_.drop_recordings() && !splitter_.halve()) throw;
    }
    make_room(problem);  // only here nothing holds the memory of what failed any more
  }
}

// Nobody needs the batches of an update once all of them are done.
void SplitStep::end_of(const Place& place) {
  if (place.number + 1 == place.group_size) kept_.clear();
}

void SplitStep::run_in_parts(const Kept& kept, std::int64_t group_size) {
  const std::int64_t samples = kept.batch.batch_size();
  std::vector<ModelOutput> outputs;
  std::vector<std::int64_t> sizes;
  splitter_.for_each_part(kept.batch, [&](const SampleList& part) {
    const std::int64_t size = part.batch_size();
    const double share = static_cast<double>(samples) / static_cast<double>(size);
    StepResult result = work_.pass(part, kept.batch_idx, share * static_cast<double>(group_size));
    sizes.push_back(size);
    outputs.push_back(join_outputs({result.output}, {size}));  // without what backward needed
    work_.take(std::move(result));
  });
  output_ = splitter_.join(kept.batch, outputs, sizes);
}

void SplitStep::make_room(const std::string& problem) {
  const std::int64_t most = splitter_.most_samples();
  log::warning("[memory] ", problem, "; ",
               most == 0 || most >= splitter_.tried()
                   ? concat("it is tried again without CUDA graphs")
                   : concat("this update is done again, and training goes on, with ", most,
                            most == 1 ? " sample" : " samples", " at a time and the same updates"),
               ", as training.on_out_of_memory = \"halve\" says");
  work_.restart();
  release_unused_memory(device_);
  set_rng_states(device_, random_);
}

}  // namespace pergola::host
