// SPDX-License-Identifier: BSD-3-Clause
// Where the gradients of an update's micro-batches are added up: memory that stays where it is, so
// that recorded backward passes of all of them add to the same. A parameter that gets no gradient
// in an update has none here either. Shares the parameters; training thread.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace pergola::host {

class SummedGradients {
 public:
  // As much memory as the gradients of all parameters that require one now.
  explicit SummedGradients(const std::vector<at::Tensor>& parameters);

  // Moves the gradients that are there, and elsewhere, to here. Returns why one cannot be:
  // "a gradient is sparse"; "" otherwise.
  [[nodiscard]] std::string take_over();
  // Is each gradient that is there here?
  [[nodiscard]] bool has_all() const;

  // Gives those of the chosen parameters that have no gradient one of zeros. Of all: `chosen` is
  // empty.
  void join(const std::vector<bool>& chosen = {});
  // Takes it from those that are not chosen.
  void leave(const std::vector<bool>& chosen);

  // Which parameters have a gradient.
  [[nodiscard]] std::vector<bool> joined() const;
  // Which gradients were added to since versions() was this, also by work that was recorded and has
  // not run.
  [[nodiscard]] std::vector<std::int64_t> versions() const;
  [[nodiscard]] std::vector<bool> written_since(const std::vector<std::int64_t>& versions) const;

 private:
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> sums_;  // undefined for a parameter that requires none
};

}  // namespace pergola::host
