// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/waiting_operations.h"

#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>

namespace pergola::host {
namespace {

constexpr std::string_view kCopy = "aten::copy_";
// Those that others are made of: is_nonzero() reads a number, an index by a mask calls nonzero().
constexpr std::array<std::string_view, 9> kWaiting = {
    "aten::_local_scalar_dense", "aten::bincount",   "aten::equal",
    "aten::masked_select",       "aten::nonzero",    "aten::_unique2",
    "aten::unique_consecutive",  "aten::unique_dim", "aten::repeat_interleave"};

struct Counts {
  std::atomic<bool> of_gpu_alone = false;
  std::mutex mutex;
  std::map<std::string, std::int64_t> by_name;
};

// Never destroyed: a thread of LibTorch may still be in an operation when the process ends.
Counts& all_counts() {
  static auto* const kCounts = new Counts;
  return *kCounts;
}

// copy_(self, src, non_blocking).
bool copies_to_cpu(const at::RecordFunction& function) {
  const auto inputs = function.inputs();
  if (inputs.size() < 3 || !inputs[0].isTensor() || !inputs[1].isTensor()) return false;
  const bool waits = inputs[2].isBool() && !inputs[2].toBool();
  return waits && inputs[0].toTensor().is_cpu() && !inputs[1].toTensor().is_cpu();
}

// All in kWaiting read their first input.
bool reads_cpu(const at::RecordFunction& function) {
  const auto inputs = function.inputs();
  return !inputs.empty() && inputs[0].isTensor() && inputs[0].toTensor().is_cpu();
}

bool is_waiting(const at::RecordFunction& function) {
  const std::string_view name = function.name();
  if (name == kCopy) return copies_to_cpu(function);
  if (std::ranges::find(kWaiting, name) == kWaiting.end()) return false;
  return !all_counts().of_gpu_alone || !reads_cpu(function);
}

// One of them that this thread is in: those within it are its own affair.
struct Running : at::ObserverContext {};
thread_local bool is_in_one = false;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
  if (is_in_one || !is_waiting(function)) return nullptr;
  is_in_one = true;
  Counts& counts = all_counts();
  const std::lock_guard lock(counts.mutex);
  ++counts.by_name[function.name() == kCopy ? "copy to the CPU" : function.name()];
  return std::make_unique<Running>();
}

void end(const at::RecordFunction& /*function*/, at::ObserverContext* context) {
  if (context != nullptr) is_in_one = false;
}

}  // namespace

WaitingOperations::WaitingOperations(c10::Device device) {
  all_counts().of_gpu_alone = !device.is_cpu();
  {
    const std::lock_guard lock(all_counts().mutex);
    all_counts().by_name.clear();
  }
  handle_ = at::addGlobalCallback(at::RecordFunctionCallback(&begin, &end)
                                      .scopes({at::RecordScope::FUNCTION})
                                      .needsInputs(true));
}

WaitingOperations::~WaitingOperations() { at::removeCallback(handle_); }

std::map<std::string, std::int64_t> WaitingOperations::counts() const {
  const std::lock_guard lock(all_counts().mutex);
  return all_counts().by_name;
}

}  // namespace pergola::host
