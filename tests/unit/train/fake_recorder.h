// SPDX-License-Identifier: BSD-3-Clause
// A recorder without a GPU: what it records runs at once, and a replay calls it again. So tests see
// which numbers, hooks and messages come out, but not whether memory stays where it is.
#pragma once

#include "host/device/step_graph.h"
#include "host/train/batch_tensors.h"
#include "pergola/error.h"

#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

namespace pergola::host {

class FakeRecorder final : public GraphRecorder {
 public:
  std::unique_ptr<RecordedWork> record(const std::function<void()>& work,
                                       const std::vector<at::Tensor>& inputs) override {
    if (failing.contains(++asked)) {
      throw std::runtime_error("CUDA error: not while a stream is capturing\nand a stack trace");
    }
    work();
    ++recorded;
    return std::make_unique<Work>(*this, work, inputs);
  }
  at::Tensor without_hold(const at::Tensor& tensor) override { return tensor; }

  std::set<int> failing;  // the numbers of the recordings that fail, from 1 on
  int asked = 0;
  int recorded = 0;
  int replayed = 0;

 private:
  class Work final : public RecordedWork {
   public:
    Work(FakeRecorder& recorder, std::function<void()> work, std::vector<at::Tensor> inputs)
        : recorder_(recorder), work_(std::move(work)), inputs_(std::move(inputs)) {}
    void replay(const std::vector<at::Tensor>& from) override {
      PERGOLA_ASSERT(from.empty() || from.size() == inputs_.size());
      ++recorder_.replayed;
      if (std::exchange(is_first_, false)) return;
      if (!from.empty()) copy_tensors(from, inputs_);
      work_();
    }

   private:
    FakeRecorder& recorder_;
    std::function<void()> work_;
    std::vector<at::Tensor> inputs_;
    bool is_first_ = true;  // it has run already
  };
};

}  // namespace pergola::host
