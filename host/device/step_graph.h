// SPDX-License-Identifier: BSD-3-Clause
// Work for a GPU that is recorded once and then handed to it as a whole, as often as it is wanted:
// what the CPU spends on each operation is spent once. On a GPU these are CUDA graphs
// (cuda/step_graph.cpp); tests have recorders that need none. Training thread.
//
//   const OnStream stream(device);  // recording takes a stream that is not the default
//
//   auto recorder = make_graph_recorder(device, problem);
//
//   auto work = recorder->record([&] { y = model(x); }, {x});  // nothing has run yet
//
//   work->replay({batch});    // now y is there: model(batch)
//   work->replay({another});  // model(another), in the same memory
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pergola::host {

class RecordedWork {
 public:
  RecordedWork() = default;
  RecordedWork(const RecordedWork&) = delete;
  RecordedWork& operator=(const RecordedWork&) = delete;
  virtual ~RecordedWork() = default;

  // Does the work on the thread's stream: reads and writes the memory that it had when it was
  // recorded, draws the next random numbers of the device's generator. Does not wait. `from`,
  // unless it is empty, is copied into the recording's inputs first, one each. REQUIRES: they are
  // of the same sizes, strides and types, and on the same device.
  virtual void replay(const std::vector<at::Tensor>& from) = 0;
  void replay() { replay({}); }
};

// Its recordings share the memory of what they make on the way, so their replays must not overlap.
// It outlives them.
class GraphRecorder {
 public:
  GraphRecorder() = default;
  GraphRecorder(const GraphRecorder&) = delete;
  GraphRecorder& operator=(const GraphRecorder&) = delete;
  virtual ~GraphRecorder() = default;

  // Calls `work` once; what it asks of the device is recorded, and does not run. Throws what `work`
  // throws, or an exception that says what cannot be recorded; then the device is as it was, but
  // for the CPU's random numbers, and tensors that `work` made hold no values. `inputs` are what
  // replays may be given others for: dense, without overlap.
  [[nodiscard]] virtual std::unique_ptr<RecordedWork> record(
      const std::function<void()>& work, const std::vector<at::Tensor>& inputs) = 0;
  [[nodiscard]] std::unique_ptr<RecordedWork> record(const std::function<void()>& work) {
    return record(work, {});
  }

  // Gives up the memory that recordings share, once none of them is left; later ones have another.
  virtual void release() {}

  // The same tensor, without a hold on its memory: later recordings may use that for theirs. Valid
  // as long as the recording that made it.  REQUIRES: `tensor` was made by recorded work.
  [[nodiscard]] virtual at::Tensor without_hold(const at::Tensor& tensor) = 0;

  // Updates and predictions record with it, each for itself; the first that cannot tells why, and
  // the others nothing more.
  void note_told() noexcept { is_told_ = true; }
  [[nodiscard]] bool is_told() const noexcept { return is_told_; }

 private:
  bool is_told_ = false;
};

// A recorder for a GPU; null, with the reason in `problem`, where this build has none.
// REQUIRES: CUDA is loaded.
[[nodiscard]] std::unique_ptr<GraphRecorder> make_graph_recorder(c10::Device device,
                                                                 std::string& problem);

}  // namespace pergola::host
