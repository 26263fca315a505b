// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/recording.h"

#include "host/device/device.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <exception>

namespace pergola::host {
namespace {

std::string sentence_of(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

}  // namespace

RecordingAttempt try_to_record(GraphRecorder& recorder, c10::Device device,
                               const std::function<void()>& work,
                               const std::vector<at::Tensor>& inputs) {
  const RngStates before = rng_states(device);
  RecordingAttempt attempt;
  try {
    attempt.work = recorder.record(work, inputs);
    const bool draws = !rng_states(device).at("cpu").equal(before.at("cpu"));
    if (!draws || device.is_cpu()) return attempt;
    attempt.problem = "it draws random numbers on the CPU";
  } catch (const std::exception& error) {
    attempt.problem = sentence_of(error);
  }
  attempt.work.reset();
  set_rng_states(device, before);
  return attempt;
}

ModelOutput copy_of(const ModelOutput& output) {
  const at::NoGradGuard no_grad;
  ModelOutput copy = output;
  if (copy.scores.defined()) copy.scores = copy.scores.clone();
  for (auto& [key, field] : copy.fields) {
    if (field.defined()) field = field.clone();
  }
  if (!copy.losses) return copy;
  for (auto& [key, loss] : *copy.losses) loss = loss.clone();
  return copy;
}

}  // namespace pergola::host
