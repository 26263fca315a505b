// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/suggest.h"

#include <gtest/gtest.h>

namespace pergola {
namespace {

TEST(SuggestTest, FindsTheClosestName) {
  EXPECT_EQ(closest("pytia", {"pythia", "cnn_lstm"}), "pythia");
  EXPECT_EQ(closest("acuracy", {"accuracy", "vqa_accuracy"}), "accuracy");
  EXPECT_EQ(closest("adma", {"adam", "adamw"}), "adam");  // a swap of neighbours is one step
}

TEST(SuggestTest, OffersNothingWhenAllIsFar) {
  EXPECT_EQ(closest("resnet", {"pythia", "cnn_lstm"}), "");
  EXPECT_EQ(closest("x", {}), "");
  EXPECT_EQ(closest(std::string(100000, 'a'), {std::string(100000, 'b')}), "");
}

TEST(SuggestTest, WithoutANearOneAllAreListed) {
  EXPECT_EQ(did_you_mean("pytia", {"pythia"}), "; did you mean 'pythia'?");
  EXPECT_EQ(did_you_mean("resnet", {"pythia", "cnn_lstm"}), "; known are pythia, cnn_lstm");
  EXPECT_EQ(did_you_mean("x", {}), "");
}

}  // namespace
}  // namespace pergola
