// SPDX-License-Identifier: BSD-3-Clause
// Tests that ask `pergola predict --checkpoint` for the answer to one sample.
#pragma once

#include "host/support/hash.h"
#include "integration/run_test.h"

#include <functional>

namespace pergola::test {

namespace fs = std::filesystem;

inline constexpr double kTolerance = 1e-6;  // a batch of one is not summed as a batch of eight is

class PredictTest : public RunTest {
 protected:
  // The answer to one sample, from the checkpoint in `carried`.
  [[nodiscard]] Result ask(const Words& words, const std::string& checkpoint = "carried") const {
    Words all = {"predict", "--checkpoint", checkpoint};
    all.insert(all.end(), words.begin(), words.end());
    return pergola(all);
  }
  [[nodiscard]] Json answer(const Words& words, const std::string& checkpoint = "carried") const {
    const Result result = ask(words, checkpoint);
    expect_success(result);
    return Json::parse(result.out);
  }
  // Trains, takes the checkpoint of the predictions elsewhere, and leaves nothing of the data but
  // what moved to `asked`.
  void train_and_carry(const std::string& model, const Words& more = {}) const {
    expect_success(train(more, model));
    fs::rename(path("run/checkpoints/best"), path("carried"));
    fs::rename(path("run/predictions"), path("predictions"));
    fs::rename(path("data"), path("asked"));
    fs::remove_all(path("run"));
  }
  // state.json as `change` makes it, with a manifest that fits.
  void change_state(const std::function<void(Json& state)>& change) const {
    Json state = json("carried/state.json");
    change(state);
    replace_in_checkpoint("carried", "state.json", state.dump());
  }
  // Another content of a checkpoint's file, with a manifest that fits.
  void replace_in_checkpoint(const std::string& folder, const std::string& file,
                             const std::string& content) const {
    const std::string name = folder + "/" + file;
    replace(name, content);
    Json manifest = json(folder + "/MANIFEST.json");
    manifest["files"][file] = {{"size", content.size()},
                               {"xxh3_128", host::xxh3_file(path(name), ErrorKind::kCheckpoint)}};
    replace(folder + "/MANIFEST.json", manifest.dump(2) + "\n");
  }
};

// What the answer says of itself: the first of `top` is it, and none is more probable.
inline void expect_same_answer(const Json& found, const Json& row) {
  EXPECT_EQ(found.at("answer"), row.at("answer"));
  EXPECT_NEAR(found.at("probability").get<double>(), row.at("probability").get<double>(),
              kTolerance);
  EXPECT_EQ(found.at("top").at(0).at("answer"), row.at("answer"));
  EXPECT_EQ(found.at("top").at(0).at("probability"), found.at("probability"));
  for (const Json& other : found.at("top")) {
    EXPECT_LE(other.at("probability"), found.at("probability"));
  }
}

}  // namespace pergola::test
