// SPDX-License-Identifier: BSD-3-Clause
// The examinations of a model, which `pergola plugins check` runs, each in a process of its own. An
// Error or exception that leaves one is a failure with that text. To add one: a function in the
// file of its kind, and a line in examination.cpp.
#pragma once

#include "host/check/finding.h"
#include "host/check/subject.h"

#include <string_view>
#include <vector>

namespace pergola::host {

// Where an examination may run.
enum class Needs { kCpu, kGpuIfThere };
// What it does with the model: without a batch it can be run where forward() fails.
enum class Uses { kBatches, kWeightsAlone };

struct Examination {
  const char* name;
  const char* question;  // what is asked, for `plugins check --list`
  Finding (*run)(const Subject& subject);
  Needs needs = Needs::kCpu;
  Uses uses = Uses::kBatches;
};

// The first one: where it fails, no other can be run.
inline constexpr const char* kBuildExamination = "build";
// Where it fails, none that uses batches can.
inline constexpr const char* kContractExamination = "contract";

// In the order in which they are run: what others rest on comes first.
[[nodiscard]] const std::vector<Examination>& examinations();
// Null when there is none of that name.
[[nodiscard]] const Examination* find_examination(std::string_view name);

// examine_outputs.cpp
Finding examine_build(const Subject& subject);
Finding examine_contract(const Subject& subject);
Finding examine_batch_sizes(const Subject& subject);
Finding examine_ragged(const Subject& subject);
Finding examine_nan(const Subject& subject);
// examine_training.cpp
Finding examine_gradients(const Subject& subject);
Finding examine_same_seed(const Subject& subject);
Finding examine_overfits(const Subject& subject);
Finding examine_memory(const Subject& subject);
// examine_state.cpp
Finding examine_train_and_eval(const Subject& subject);
Finding examine_save_and_load(const Subject& subject);
Finding examine_state_keys(const Subject& subject);
Finding examine_process_state(const Subject& subject);
// examine_devices.cpp
Finding examine_bf16(const Subject& subject);
Finding examine_cuda(const Subject& subject);
Finding examine_synchronisations(const Subject& subject);
Finding examine_cuda_graph(const Subject& subject);

}  // namespace pergola::host
