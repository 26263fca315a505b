// SPDX-License-Identifier: BSD-3-Clause
// Verbs of the losses' tests: losses made by the registry, as a run makes them; an example of what
// each is given; and gradients by differences.
#pragma once

#include "host/model/builtins.h"
#include "pergola/error.h"
#include "pergola/loss.h"
#include "pergola/registry.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace pergola::host::loss_test {

using Tensors = std::map<std::string, at::Tensor>;

// A loss with its params, and what it is given.
struct Given {
  std::string loss;
  Value::Table params;
  Tensors output;  // what the model returned: "scores", and fields by their names
  Tensors batch;   // a field of the group `info` as "info.<name>"
};

inline const Registry& losses() {
  static const Registry registry = [] {
    at::set_num_threads(1);  // threads that wait for each other help no tensor of this size
    Registry made;
    made.publish(builtin_model_parts(), "host");
    return made;
  }();
  return registry;
}

inline std::shared_ptr<Loss> make_loss(const std::string& key, Value::Table params = {}) {
  return losses().make_loss(
      {key, Config(std::move(params), "losses[0].params"), Config(), "losses[0]"});
}

inline SampleList batch_of(const Given& given) {
  constexpr std::string_view kInfo = "info.";
  SampleList batch;
  auto info = std::make_shared<SampleList>();
  for (const auto& [name, tensor] : given.batch) {
    if (name.rfind(kInfo, 0) == 0) {
      info->add_field(name.substr(kInfo.size()), tensor);
    } else {
      batch.add_field(name, tensor);
    }
  }
  if (!info->fields().empty()) batch.add_field("info", std::shared_ptr<const SampleList>(info));
  return batch;
}

inline ModelOutput output_of(const Given& given) {
  ModelOutput output;
  output.fields = given.output;
  const auto scores = output.fields.extract("scores");
  if (!scores.empty()) output.scores = scores.mapped();
  return output;
}

inline LossMap compute(const Given& given) {
  return make_loss(given.loss, given.params)->compute(batch_of(given), output_of(given));
}

// The sum of the means, which is what is differentiated.
inline at::Tensor total(const Given& given) { return total_loss(compute(given)); }

inline double value(const Given& given) { return total(given).item<double>(); }

inline double value(const std::string& loss, const at::Tensor& scores, const at::Tensor& targets,
                    Value::Table params = {}) {
  return value({loss, std::move(params), {{"scores", scores}}, {{"targets", targets}}});
}

// The message of the Error{kind} that the loss must end with.
inline std::string error_of(const Given& given, ErrorKind kind = ErrorKind::kData) {
  try {
    static_cast<void>(compute(given));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "(no error)";
}

// The same with each floating tensor that the model returned changed.
inline Given with_output(Given given, const std::function<at::Tensor(const at::Tensor&)>& change) {
  for (auto& [name, tensor] : given.output) tensor = change(tensor);
  return given;
}

// The same with the model's tensors as leaves of their own that require a gradient.
inline Given leaves_of(const Given& given) {
  return with_output(given, [](const at::Tensor& t) {
    return t.detach().clone(at::MemoryFormat::Contiguous).requires_grad_(true);
  });
}

// Something that a loss may be given, in double precision; every row of it counts.
// REQUIRES: `key` is a loss of the host.
[[nodiscard]] Given example(const std::string& key, std::int64_t batch_size = 4);

// Compares the gradients of total(given), of all that the model returned, with central differences.
// REQUIRES: the model's tensors are in double precision.
void expect_gradients(const Given& given);

// Compares the derivative of those gradients in a random direction with central differences.
// REQUIRES: the model's tensors are in double precision.
void expect_second_gradients(const Given& given);

}  // namespace pergola::host::loss_test
