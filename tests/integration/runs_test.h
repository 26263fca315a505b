// SPDX-License-Identifier: BSD-3-Clause
// The runs of configs/runs on the published data set.
#pragma once

#include "integration/run_test.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace pergola::test {

class RunsTest : public RunTest {
 protected:
  void SetUp() override {
    if (!std::filesystem::is_directory(data_dir() / "easy_vqa")) {
      GTEST_SKIP() << data_dir() << " has no easy_vqa; `tools/setup --data easy_vqa` fetches it";
    }
  }

  // `pergola train configs/runs/<model>_easy_vqa.toml MORE` on the CPU.
  [[nodiscard]] Result train(const std::string& model, const Words& more = {}) const {
    constexpr std::chrono::seconds kLimit{900};
    Words words = {"train",     PERGOLA_CONFIGS "/" + model + "_easy_vqa.toml",
                   "--run-dir", "run",
                   "--device",  "cpu"};
    words.insert(words.end(), more.begin(), more.end());
    Launch launch = RunTest::launch(words);
    launch.environment["PERGOLA_DATA_DIR"] = data_dir().string();
    return Process(launch).wait(kLimit);
  }

 private:
  // The folder where tools/setup puts the data sets (configs/defaults.toml, env.data_dir).
  [[nodiscard]] static std::filesystem::path data_dir() {
    const auto variable = [](const char* name) -> std::string {
      const char* value = std::getenv(name);
      return value == nullptr ? "" : value;
    };
    if (const std::string given = variable("PERGOLA_DATA_DIR"); !given.empty()) return given;
    const std::string cache = variable("XDG_CACHE_HOME");
    const std::filesystem::path folder(cache.empty() ? variable("HOME") + "/.cache" : cache);
    return folder / "pergola/data";
  }
};

}  // namespace pergola::test
