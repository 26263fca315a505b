// SPDX-License-Identifier: BSD-3-Clause
// What an optimizer of the host can do besides those of plugins: leave a step out that the device
// itself finds to be one too many, as fp16's loss scaler does. Nobody waits for it then, and the
// step can be recorded. Training thread.
#pragma once

#include <ATen/core/Tensor.h>

namespace pergola::host {

class DeviceSkip {
 public:
  virtual ~DeviceSkip() = default;

  // The next step() changes neither parameters nor state where `flag`, 0-d float32 on their device,
  // is not 0 when the device comes to it. Returns whether it will; where not, it is the caller's.
  [[nodiscard]] virtual bool skip_where(const at::Tensor& flag) = 0;

 protected:
  DeviceSkip() = default;
  DeviceSkip(const DeviceSkip&) = default;
  DeviceSkip& operator=(const DeviceSkip&) = default;
};

}  // namespace pergola::host
