// SPDX-License-Identifier: BSD-3-Clause
// What a model promises with recompute. For the tests of models.
#pragma once

#include "plugins/model_testing.h"

#include <torch/csrc/autograd/function.h>
#include <torch/utils.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace pergola::test {

// Is there a node of that name in the graph of `result`?
[[nodiscard]] inline bool graph_has(const at::Tensor& result, const std::string& name) {
  std::vector<std::shared_ptr<torch::autograd::Node>> left = {result.grad_fn()};
  std::set<torch::autograd::Node*> seen;
  while (!left.empty()) {
    const std::shared_ptr<torch::autograd::Node> node = left.back();
    left.pop_back();
    if (node == nullptr || !seen.insert(node.get()).second) continue;
    if (node->name() == name) return true;
    for (const torch::autograd::Edge& edge : node->next_edges()) left.push_back(edge.function);
  }
  return false;
}

// Two alike models have the same loss and gradients, bit for bit, when one of them recomputes; and
// that one does run its parts again. `loss`: of a model in training, with dropout.
template <class Model>
void expect_recompute_changes_nothing(const std::function<std::shared_ptr<Model>()>& build,
                                      const std::function<at::Tensor(Model&)>& loss) {
  const auto train = [&](Model& model) {
    torch::manual_seed(11);
    const at::Tensor result = loss(model);
    result.backward();
    return result;
  };
  const auto plain = build();
  const auto frugal = build();
  EXPECT_TRUE(frugal->enable_recompute());
  const at::Tensor expected = train(*plain);
  const at::Tensor found = train(*frugal);
  EXPECT_FALSE(graph_has(expected, "pergola::nn::recompute"));
  EXPECT_TRUE(graph_has(found, "pergola::nn::recompute"));
  EXPECT_TRUE(found.equal(expected));
  const auto parameters = plain->named_parameters();
  for (const auto& item : frugal->named_parameters()) {
    const at::Tensor& gradient = parameters[item.key()].grad();
    ASSERT_EQ(item.value().grad().defined(), gradient.defined()) << item.key();
    if (!gradient.defined()) continue;
    EXPECT_TRUE(item.value().grad().equal(gradient)) << item.key();
  }
}

}  // namespace pergola::test
