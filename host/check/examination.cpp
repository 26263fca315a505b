// SPDX-License-Identifier: BSD-3-Clause
#include "host/check/examination.h"

#include <algorithm>

namespace pergola::host {

const std::vector<Examination>& examinations() {
  static const std::vector<Examination> kAll = {
      {kBuildExamination, "Is it built from its config?", examine_build},
      {kContractExamination, "Are scores and losses what the host expects?", examine_contract},
      {"gradients", "Does every parameter get a finite gradient?", examine_gradients},
      {"train_and_eval", "Does it follow train() and eval(), and change nothing in eval()?",
       examine_train_and_eval},
      {"batch_sizes", "Batches of 1, 2 and 5: the same scores for the same sample?",
       examine_batch_sizes},
      {"ragged", "Samples of different lengths: is padding ignored?", examine_ragged},
      {"same_seed", "The same seed, the same weights after training?", examine_same_seed},
      {"save_and_load", "Saved and loaded, is the next step the same to the bit?",
       examine_save_and_load},
      {"state_keys", "Do its weights keep their names?", examine_state_keys, Needs::kCpu,
       Uses::kWeightsAlone},
      {"process_state", "Do its hooks leave alone what the whole process shares?",
       examine_process_state, Needs::kGpuIfThere},
      {"nan", "Is a NaN in a field seen in the losses?", examine_nan},
      {"overfits", "Can it learn one batch by heart?", examine_overfits},
      {"memory", "Does it hold the same memory after 200 steps?", examine_memory,
       Needs::kGpuIfThere},
      {"bf16", "Do bf16 and fp32 agree?", examine_bf16},
      {"cuda", "Do the GPU and the CPU agree?", examine_cuda, Needs::kGpuIfThere},
      {"synchronisations", "How often does a step wait for the GPU?", examine_synchronisations,
       Needs::kGpuIfThere},
      {"cuda_graph", "Can a step be recorded as a CUDA graph?", examine_cuda_graph,
       Needs::kGpuIfThere},
  };
  return kAll;
}

const Examination* find_examination(std::string_view name) {
  const auto found = std::ranges::find(examinations(), name, &Examination::name);
  return found == examinations().end() ? nullptr : &*found;
}

}  // namespace pergola::host
