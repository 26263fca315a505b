// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/saved_checkpoints.h"

#include "fixtures/temp_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// A checkpoint as the manifest describes it: 5 bytes of weights, 3 of the trainer, 2 of state.
class SavedCheckpointsTest : public ::testing::Test {
 protected:
  SavedCheckpointsTest() {
    write("model.safetensors", "12345");
    write("trainer.safetensors", "123");
    write("state.json", "{}");
    write("MANIFEST.json",
          R"({"files":{"model.safetensors":{"size":5},"trainer.safetensors":{"size":3},)"
          R"("state.json":{"size":2}},"format_version":1})");
  }
  void write(const std::string& name, const std::string& content) const {
    folder_.write("last/" + name, content);
  }
  [[nodiscard]] std::string problem() const {
    return list_checkpoints(folder_.path()).list.at(0).problem;
  }
  fixtures::TempFolder folder_;
};

TEST_F(SavedCheckpointsTest, AllFilesOfTheirSizesAreComplete) {
  write("notes.txt", "somebody's");
  EXPECT_EQ(problem(), "");
}

TEST_F(SavedCheckpointsTest, AFileThatIsCutIsNamed) {
  write("model.safetensors", "1234");
  EXPECT_EQ(problem(), "damaged: model.safetensors has 4 bytes, expected 5");
}

TEST_F(SavedCheckpointsTest, AFileThatIsMissingIsNamed) {
  fs::remove(folder_ / "last/state.json");
  EXPECT_EQ(problem(), "damaged: it has no state.json");
}

TEST_F(SavedCheckpointsTest, AManifestThatIsDamagedIsSaid) {
  for (const char* text : {"", "[]", "{", "{\"files\":[]}", "{\"files\":{\"state.json\":1}}"}) {
    write("MANIFEST.json", text);
    EXPECT_TRUE(problem().starts_with("damaged: its MANIFEST.json ")) << text << ": " << problem();
  }
  write("MANIFEST.json", R"({"files":{"model.safetensors":{"size":-1}}})");
  EXPECT_EQ(problem(), "damaged: its MANIFEST.json has no size of model.safetensors");
}

TEST_F(SavedCheckpointsTest, OneWithoutAManifestWasNotFinished) {
  fs::remove(folder_ / "last/MANIFEST.json");
  EXPECT_EQ(problem(), "not finished: it has no MANIFEST.json");
}

}  // namespace
}  // namespace pergola::host
