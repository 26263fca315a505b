// SPDX-License-Identifier: BSD-3-Clause
// training.detect_anomaly: finds the operation that made the first NaN, in the forward pass as in
// the backward pass. Each operation's results are read, so training is several times slower and
// waits for the device all the time. Training thread.
//
//   AnomalyWatch watch(options.detect_anomaly);
//   watch.forget();
//   forward, loss;   found = watch.check_forward(loss, "training_step()");
//   loss.backward(); found = watch.check_backward("the backward pass");
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

namespace pergola::host {

class AnomalyWatch {
 public:
  // Watches this thread, and the backward passes that it starts, as long as it lives, if `enabled`.
  explicit AnomalyWatch(bool enabled);
  ~AnomalyWatch();
  AnomalyWatch(const AnomalyWatch&) = delete;
  AnomalyWatch& operator=(const AnomalyWatch&) = delete;

  // What comes next is not to be blamed for what was seen so far.
  void forget();
  // "<where> made a NaN; ...", with the first operation since the last check whose result has one,
  // when `loss` is NaN; empty when it is not. A NaN that does not reach the loss is none: masks
  // make them.
  [[nodiscard]] std::string check_forward(const at::Tensor& loss, const std::string& where);
  // The same when a gradient of a parameter is NaN. Not for scaled losses: their overflows are the
  // scaler's.
  [[nodiscard]] std::string check_backward(const std::string& where);

 private:
  struct Findings;
  std::string check(bool found, const std::string& where);

  std::shared_ptr<Findings> findings_;  // null: not enabled; shared with LibTorch's callback
  std::uint64_t handle_ = 0;
};

}  // namespace pergola::host
