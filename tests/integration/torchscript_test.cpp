// SPDX-License-Identifier: BSD-3-Clause
// A model from Python, trained, saved, resumed and asked by the program.
#include "integration/run_test.h"

namespace pergola::test {
namespace {

// As in plugins/torchscript/README.md, on the images of 16 x 16 of the tiny easy-VQA.
constexpr const char* kModel = R"(
model = "torchscript"
[model_config.torchscript]
file = "vqa.pt"
inputs = ["image", "text"]
losses = ["logit_bce"]
)";

class TorchScriptRunTest : public RunTest {
 protected:
  TorchScriptRunTest() {
    std::filesystem::copy_file(PERGOLA_GOLDEN_DIR "/torchscript_vqa.pt", path("vqa.pt"));
    write("from_python.toml", common_config() + kModel);
  }
};

TEST_F(TorchScriptRunTest, TrainsPredictsAndLearns) {
  expect_success(train({"training.max_updates=100", "training.log_interval=50"}, "from_python"));
  const auto rows = metrics();
  double first = 0;
  double last = 0;
  for (const Json& row : rows) {
    if (row.at("split") != "train") continue;
    last = row.at("train/total_loss");
    if (first == 0) first = last;
  }
  EXPECT_LT(last, 0.8 * first);
  EXPECT_EQ(json("run/predictions/easy_vqa_test.json").size(),
            12U);  // 6 images with 2 questions each
}

TEST_F(TorchScriptRunTest, ResumesBitForBit) {
  expect_success(train({}, "from_python"));
  expect_success(
      pergola({"train", "from_python.toml", "--run-dir", "half", "training.max_updates=6"}));
  expect_success(pergola({"train", "from_python.toml", "--run-dir", "half", "--resume"}));
  EXPECT_TRUE(same_bytes(weights(), weights("half")));
}

TEST_F(TorchScriptRunTest, AFileThatIsMissingEndsWithItsKeyAndPlace) {
  std::filesystem::remove(path("vqa.pt"));
  expect_error(train({}, "from_python"), ExitCode::kConfig,
               {"model_config.torchscript.file = \"vqa.pt\" (from_python.toml:18:",
                "cannot be read; name a file"});
}

TEST_F(TorchScriptRunTest, InputsThatDoNotFitEndWithTheMethod) {
  expect_error(train({"model_config.torchscript.inputs=[\"image\"]"}, "from_python"),
               ExitCode::kConfig,
               {"has no field for the argument 'text'; the script's method is forward(Tensor "
                "image, Tensor text)"});
}

}  // namespace
}  // namespace pergola::test
