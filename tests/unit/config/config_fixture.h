// SPDX-License-Identifier: BSD-3-Clause
// What the tests of whole configs share: files in a folder, and plugins that are made up.
#pragma once

#include "fixtures/temp_folder.h"
#include "host/config/resolve.h"
#include "host/config/toml.h"
#include "pergola/suggest.h"
#include "unit/support/error_of.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

class ConfigFixture : public ::testing::Test {
 protected:
  // Writes run.toml: a model and a data set, then `text`.
  void write_run(std::string_view text) {
    folder_.write("run.toml", "model = \"pythia\"\ndataset = \"easy_vqa\"\n" + std::string(text));
  }
  [[nodiscard]] std::string path(std::string_view name) const { return (folder_ / name).string(); }

  // The models pythia and cnn_lstm and the data set easy_vqa.
  [[nodiscard]] static DefaultsProvider provider() {
    DefaultsProvider provider;
    provider.model_defaults = [](const std::string& name) -> std::optional<Value> {
      if (name == "pythia") {
        return parse_toml(
            "hidden_dim = 256\nencoder = {type = \"grid\", params = {size = 4}}\n"
            "losses = [\"logit_bce\"]",
            "pythia.so");
      }
      if (name == "cnn_lstm") return parse_toml("hidden_dim = 128", "cnn_lstm.so");
      return std::nullopt;
    };
    provider.dataset_defaults = [](const std::string& name) -> std::optional<Value> {
      if (name != "easy_vqa") return std::nullopt;
      return parse_toml("max_words = 8", "easy_vqa defaults");
    };
    provider.model_hint = [](const std::string& name) {
      return did_you_mean(name, {"cnn_lstm", "pythia"});
    };
    provider.dataset_hint = [](const std::string& name) {
      return did_you_mean(name, {"easy_vqa"});
    };
    return provider;
  }

  // run.toml, resolved.
  [[nodiscard]] Config resolve(const std::vector<std::string>& overrides = {}) const {
    return resolve_config(folder_ / "run.toml", parse_overrides(overrides), provider()).root;
  }
  // What resolving run.toml complains about.
  [[nodiscard]] std::string complaint(const std::vector<std::string>& overrides = {}) const {
    return test::error_of([&] { (void)resolve(overrides); });
  }

  fixtures::TempFolder folder_;
};

}  // namespace pergola::host
