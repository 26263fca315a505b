// SPDX-License-Identifier: BSD-3-Clause
// Where the time of a training goes. One phase runs at a time; what a scope measures inside of
// another one's is the inner one's alone, so that all phases add up to the time that has passed.
// These are times of the training thread: on a GPU, of the launches, and of the waiting for the
// device where something waits. One measurement costs two readings of the clock. Training thread.
// No LibTorch here.
//
//   const auto timed = times_.measure(Phase::kForward);
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <utility>

namespace pergola::host {

enum class Phase : std::size_t {
  kData,        // waiting for a batch, and its way to the device
  kForward,     // the model and its losses
  kBackward,    // gradients
  kOptimizer,   // clipping, the learning rate, the step
  kCallbacks,   // hooks
  kValidation,  // evaluation while training
  kCheckpoint,  // saving
  kOther,       // outside of all scopes
};

inline constexpr std::size_t kNumPhases = 8;

// "data", "forward", ...
[[nodiscard]] const char* phase_name(Phase phase) noexcept;

// Seconds of each phase.
class PhaseSeconds {
 public:
  [[nodiscard]] double operator[](Phase phase) const {
    return seconds_[static_cast<std::size_t>(phase)];
  }
  [[nodiscard]] double& operator[](Phase phase) {
    return seconds_[static_cast<std::size_t>(phase)];
  }
  [[nodiscard]] double sum() const {
    return std::accumulate(seconds_.begin(), seconds_.end(), 0.0);
  }

 private:
  std::array<double, kNumPhases> seconds_{};
};

// Told of each change of the phase, before it counts for `next`.
class PhaseObserver {
 public:
  virtual void on_phase(Phase next) noexcept = 0;

 protected:
  ~PhaseObserver() = default;
};

class PhaseTimes {
 public:
  // Measures from its construction to its end.
  class Scope {
   public:
    Scope(PhaseTimes& times, Phase phase) : times_(times), outer_(times.enter(phase)) {}
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { times_.enter(outer_); }

   private:
    PhaseTimes& times_;
    Phase outer_;
  };

  // Starts with kOther.
  PhaseTimes() = default;
  PhaseTimes(const PhaseTimes&) = delete;
  PhaseTimes& operator=(const PhaseTimes&) = delete;

  [[nodiscard]] Scope measure(Phase phase) { return {*this, phase}; }

  // Since the construction or the last restart(), to this moment.
  [[nodiscard]] PhaseSeconds totals() const;
  // The same since the last take() or restart(). What goes on is counted up to this moment, and
  // the rest of it the next time.
  [[nodiscard]] PhaseSeconds take();
  // Forgets what was measured, as at the begin of a training.
  void restart();

  // From now on `observer` is told, which is borrowed; null: nobody.
  void observe(PhaseObserver* observer) noexcept { observer_ = observer; }
  [[nodiscard]] Phase current() const noexcept { return current_; }

 private:
  using Clock = std::chrono::steady_clock;

  // Ends the phase in hand, and returns it.
  Phase enter(Phase next) {
    if (observer_ != nullptr) observer_->on_phase(next);
    const Clock::time_point now = Clock::now();
    spent_[static_cast<std::size_t>(current_)] += now - since_;
    since_ = now;
    return std::exchange(current_, next);
  }

  std::array<Clock::duration, kNumPhases> spent_{};
  PhaseSeconds taken_;  // of the totals
  Phase current_ = Phase::kOther;
  Clock::time_point since_ = Clock::now();
  PhaseObserver* observer_ = nullptr;
};

}  // namespace pergola::host
