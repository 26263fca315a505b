// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/anomaly.h"

#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <mutex>
#include <string_view>
#include <utility>

namespace pergola::host {
namespace {

constexpr auto kKind = c10::DebugInfoKind::PRODUCER_INFO;

// Around each node of a backward pass, beside the node's own record.
constexpr std::string_view kEngine = "autograd::engine::";

bool has_nan(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.layout() != at::kStrided || tensor.numel() == 0) return false;
  if (!at::isFloatingType(tensor.scalar_type())) return false;
  return tensor.isnan().any().item<bool>();
}

bool has_nan(const at::IValue& value) {
  if (value.isTensor()) return has_nan(value.toTensor());
  if (!value.isTensorList()) return false;
  for (const at::Tensor& tensor : value.toTensorVector()) {
    if (has_nan(tensor)) return true;
  }
  return false;
}

template <class Values>
bool any_nan(const Values& values) {
  const at::NoGradGuard no_grad;
  const at::DisableRecordFunctionGuard unwatched;
  for (const at::IValue& value : values) {
    if (has_nan(value)) return true;
  }
  return false;
}

// Memory that nobody has written yet may hold anything.
bool makes_memory(std::string_view operation) {
  return operation.find("empty") != std::string_view::npos || operation == "aten::resize_";
}

// What a record remembers from its start to its end.
struct Record : at::ObserverContext {
  std::string node_before;
};

}  // namespace

// A DebugInfo, because LibTorch hands these on to the threads of its backward passes.
struct AnomalyWatch::Findings : c10::DebugInfoBase {
  std::mutex mutex;
  std::string node;   // the node of the backward pass that runs; "" in the forward pass
  std::string first;  // the first operation whose result has a NaN
  bool in_gradient = false;

  static Findings* current() {
    return static_cast<Findings*>(c10::ThreadLocalDebugInfo::get(kKind));
  }
  void note(const std::string& what) {
    if (first.empty()) first = what;
  }

  // Operations inside of an operation are not watched: some make a NaN and replace it.
  std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
    if (std::string_view(function.name()).starts_with(kEngine)) return nullptr;
    auto record = std::make_unique<Record>();
    if (function.scope() == at::RecordScope::FUNCTION) {
      at::enableRecordFunction(false);
      return record;
    }
    const bool nan = any_nan(function.inputs());
    const std::lock_guard<std::mutex> lock(mutex);
    record->node_before = std::exchange(node, function.name());
    if (!nan) return record;
    note(concat("what the backward pass hands to ", node));
    in_gradient = in_gradient || node.ends_with("AccumulateGrad");
    return record;
  }

  void end(const at::RecordFunction& function, Record& record) {
    if (function.scope() != at::RecordScope::FUNCTION) {
      const std::lock_guard<std::mutex> lock(mutex);
      node = std::move(record.node_before);
      return;
    }
    at::enableRecordFunction(true);
    if (makes_memory(function.name()) || !any_nan(function.outputs())) return;
    const std::lock_guard<std::mutex> lock(mutex);
    note(node.empty() ? std::string(function.name()) : concat(function.name(), " in ", node));
  }
};

AnomalyWatch::AnomalyWatch(bool enabled) {
  if (!enabled) return;
  findings_ = std::make_shared<Findings>();
  c10::ThreadLocalDebugInfo::_push(kKind, findings_);
  handle_ = at::addThreadLocalCallback(
      at::RecordFunctionCallback(
          [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
            Findings* findings = Findings::current();
            return findings == nullptr ? nullptr : findings->begin(function);
          },
          [](const at::RecordFunction& function, at::ObserverContext* record) {
            if (record == nullptr) return;
            Findings::current()->end(function, static_cast<Record&>(*record));
          })
          .needsInputs(true)
          .needsOutputs(true)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
}

AnomalyWatch::~AnomalyWatch() {
  if (!findings_) return;
  at::removeCallback(handle_);
  c10::ThreadLocalDebugInfo::_pop(kKind);
}

std::string AnomalyWatch::check(bool found, const std::string& where) {
  const std::string first = std::exchange(findings_->first, "");
  findings_->in_gradient = false;
  if (!found) return "";
  return concat(where, " made a NaN; the first operation with one in its result is ",
                first.empty() ? "not known to LibTorch's dispatcher" : first,
                " (training.detect_anomaly)");
}

void AnomalyWatch::forget() {
  if (findings_) static_cast<void>(check(/*found=*/false, ""));
}

std::string AnomalyWatch::check_forward(const at::Tensor& loss, const std::string& where) {
  return findings_ ? check(any_nan(std::vector<at::IValue>{loss}), where) : "";
}

std::string AnomalyWatch::check_backward(const std::string& where) {
  return findings_ ? check(findings_->in_gradient, where) : "";
}

}  // namespace pergola::host
