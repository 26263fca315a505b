// SPDX-License-Identifier: BSD-3-Clause
// The losses of small runs, update by update, beside those that are written down in tests/golden.
#include "integration/run_test.h"

#include <cmath>
#include <fstream>
#include <sstream>

namespace pergola::test {
namespace {

class GoldenTest : public RunTest, public ::testing::WithParamInterface<const char*> {
 protected:
  // One loss for each update.
  [[nodiscard]] std::vector<double> trained_losses() const {
    std::vector<double> losses;
    for (const Json& row : metrics()) {
      if (row.at("split") == "train") losses.push_back(row.at("train/total_loss"));
    }
    return losses;
  }

  [[nodiscard]] static std::vector<double> golden_losses() {
    std::ifstream file(std::string(PERGOLA_GOLDEN_DIR) + "/" + GetParam() + "_losses.txt");
    std::vector<double> losses;
    for (double loss = 0; file >> loss;) losses.push_back(loss);
    return losses;
  }
};
INSTANTIATE_TEST_SUITE_P(Models, GoldenTest, ::testing::Values("pythia", "cnn_lstm"),
                         [](const auto& param) { return std::string(param.param); });

TEST_P(GoldenTest, LossesAreThoseOfTheDayTheyWereWrittenDown) {
  expect_success(train({"run_type=train", "training.max_updates=24"}, GetParam()));
  const std::vector<double> found = trained_losses();
  const std::vector<double> golden = golden_losses();
  std::ostringstream text;
  for (const double loss : found) text << loss << '\n';
  ASSERT_EQ(found.size(), golden.size()) << "found:\n" << text.str();
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], golden[i], 1e-4 * std::abs(golden[i]) + 1e-5)
        << "at update " << i + 1 << "; found:\n"
        << text.str();
  }
}

}  // namespace
}  // namespace pergola::test
