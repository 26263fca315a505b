// SPDX-License-Identifier: BSD-3-Clause
// A tiny data set of easy-VQA's form, written for one test.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace pergola::test {

inline constexpr int kTrainImages = 24;
inline constexpr int kTestImages = 6;
inline constexpr int kQuestionsPerImage = 2;

// <folder>/{train,test}/{questions.json,images/<n>.png} and answers.txt: images of 16 x 16 pixels
// in red, green or blue by turns, each with the questions "what color is the shape?" and "is the
// shape red?"; 5 answers.
void write_easy_vqa(const std::filesystem::path& folder);

}  // namespace pergola::test
