// SPDX-License-Identifier: BSD-3-Clause
// The fixture of all tests of the program: a folder of its own with a tiny data set and a config
// for each model, in which `pergola` runs as a user would run it.
#pragma once

#include "fixtures/plugins/plugin_files.h"
#include "fixtures/temp_folder.h"
#include "integration/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace pergola::test {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

// DESIGN.md §1.
enum ExitCode : int { kDone, kUnexpected, kConfig, kPlugin, kData, kCheckpoint, kNan };

class RunTest : public ::testing::Test {
 protected:
  RunTest();

  // What the configs of all models begin with: the data set and the lengths below.
  [[nodiscard]] static const std::string& common_config();

  // `pergola WORDS`, in the test's folder. PERGOLA_TEST_PROGRAM names another program than the one
  // of this build.
  [[nodiscard]] Launch launch(const Words& words) const;
  [[nodiscard]] Result pergola(const Words& words) const;
  // `pergola train boring.toml --run-dir run MORE`. There are pythia.toml, cnn_lstm.toml,
  // visual_bert.toml, mmbt.toml, concat_bert.toml, concat_bow.toml, late_fusion.toml and
  // stopped_in.toml (of a model that is interrupted where model_config.stopped_in.split says): 12
  // updates, a log line for each, a validation every 4, a checkpoint every 3.
  [[nodiscard]] Result train(const Words& more = {}, const std::string& model = "boring") const;
  [[nodiscard]] Launch train_launch(const Words& more, const std::string& model = "boring") const;

  [[nodiscard]] std::filesystem::path path(const std::string& name) const;
  [[nodiscard]] std::string text(const std::string& name) const;  // of a file; "" without it
  [[nodiscard]] Json json(const std::string& name) const;
  void write(const std::string& name, const std::string& content) const;
  // Another file in its place, so that hard links to the old one keep what they have.
  void replace(const std::string& name, const std::string& content) const;

  // The lines of <run>/metrics.jsonl without what the clock and the machine say in them.
  [[nodiscard]] std::vector<Json> metrics(const std::string& run = "run") const;
  // The file with the weights of <run>/checkpoints/last.
  [[nodiscard]] static std::string weights(const std::string& run = "run");
  // Whether two files have the same bytes, and at least one.
  [[nodiscard]] ::testing::AssertionResult same_bytes(const std::string& one,
                                                      const std::string& other) const;
  // Waits until `ready`, or until the process has ended, or for half a minute.
  static bool wait_until(Process& process, const std::function<bool()>& ready);
  // The names of all files in a folder and below, sorted, with `/` after folders.
  [[nodiscard]] std::vector<std::string> listing(const std::string& folder) const;

  // Nothing but what a failed start explains: no checkpoint, no prediction, no temporary file.
  void expect_nothing_half_written(const std::string& run = "run") const;

 private:
  fixtures::TempFolder folder_;
};

// That a command failed with `code`, printed nothing, and said all of `parts` in one error.
void expect_error(const Result& result, ExitCode code, const Words& parts);
// Ends the test otherwise, by an exception: what would come next reads files that are not there.
void expect_success(const Result& result);

}  // namespace pergola::test
