// SPDX-License-Identifier: BSD-3-Clause
// A stream of its own for a thread's work on a GPU. One thread.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/Stream.h>

namespace pergola::host {

// As long as it lives, this thread's work goes to a stream of the device's pool, after what it has
// asked for so far; what it asks for later goes to the stream before, after that work. Neither
// waits on the CPU.
class OnStream {
 public:
  // REQUIRES: `device` is a GPU, and CUDA is loaded.
  explicit OnStream(c10::Device device);
  // The same with a stream that another one had.
  explicit OnStream(c10::Stream stream);
  OnStream(const OnStream&) = delete;
  OnStream& operator=(const OnStream&) = delete;
  ~OnStream();

  [[nodiscard]] c10::Stream stream() const noexcept { return own_; }

 private:
  c10::Stream own_;
  c10::Stream before_;
};

}  // namespace pergola::host
