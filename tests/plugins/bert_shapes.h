// SPDX-License-Identifier: BSD-3-Clause
// The keys and shapes that the state dict of a model around a BERT has in MMF. For such models'
// tests.
#pragma once

#include "pergola/base_model.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pergola::test {

// In the order of the state dict. Of the sizes of a BERT:
class BertShapes {
 public:
  using Shape = std::vector<std::int64_t>;

  BertShapes(std::int64_t words, std::int64_t positions, std::int64_t width, std::int64_t inner)
      : words_(words), positions_(positions), width_(width), inner_(inner) {}

  void add(const std::string& key, const Shape& shape) { shapes_.emplace_back(key, shape); }
  void add_linear(const std::string& name, std::int64_t out, std::int64_t in) {
    add(name + ".weight", {out, in});
    add(name + ".bias", {out});
  }
  void add_norm(const std::string& name) {
    add(name + ".weight", {width_});
    add(name + ".bias", {width_});
  }
  void add_embeddings(const std::string& name) {
    add(name + ".position_ids", {1, positions_});
    add(name + ".word_embeddings.weight", {words_, width_});
    add(name + ".position_embeddings.weight", {positions_, width_});
    add(name + ".token_type_embeddings.weight", {2, width_});
    add_norm(name + ".LayerNorm");
  }
  void add_layers(const std::string& name, int count) {
    for (int i = 0; i < count; ++i) {
      const std::string layer = concat(name, ".layer.", i, ".");
      for (const char* part : {"attention.self.query", "attention.self.key", "attention.self.value",
                               "attention.output.dense"}) {
        add_linear(layer + part, width_, width_);
      }
      add_norm(layer + "attention.output.LayerNorm");
      add_linear(layer + "intermediate.dense", inner_, width_);
      add_linear(layer + "output.dense", width_, inner_);
      add_norm(layer + "output.LayerNorm");
    }
  }
  // MMF's head of two layers.
  void add_classifier(const std::string& name, std::int64_t answers) {
    add_linear(name + ".0.dense", width_, width_);
    add_norm(name + ".0.LayerNorm");
    add_linear(name + ".1", answers, width_);
  }

  [[nodiscard]] const std::vector<std::pair<std::string, Shape>>& shapes() const { return shapes_; }

 private:
  const std::int64_t words_, positions_, width_, inner_;
  std::vector<std::pair<std::string, Shape>> shapes_;
};

[[nodiscard]] inline std::vector<std::pair<std::string, BertShapes::Shape>> shapes_of(
    const BaseModel& model) {
  std::vector<std::pair<std::string, BertShapes::Shape>> shapes;
  for (const auto& [key, tensor] : state_dict(model))
    shapes.emplace_back(key, tensor.sizes().vec());
  return shapes;
}

}  // namespace pergola::test
