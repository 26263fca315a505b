// SPDX-License-Identifier: BSD-3-Clause
// What the data tests share: PNG files, a tiny easy-VQA, error sentences.
#pragma once

#include "fixtures/temp_folder.h"
#include "pergola/config.h"
#include "pergola/error.h"
#include "pergola/registry.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host::test {

using Rgb = std::array<std::uint8_t, 3>;

using fixtures::TempFolder;

// The bytes of a PNG of one colour, or of these pixels, row by row.
[[nodiscard]] std::string png_of(std::uint32_t width, std::uint32_t height, Rgb colour);
[[nodiscard]] std::string png_of(std::uint32_t width, std::uint32_t height,
                                 const std::vector<Rgb>& pixels);

// A chunk of a PNG: the length of the content, the name, the content, and a checksum of the last
// two.
[[nodiscard]] std::string png_chunk(const std::string& name, const std::string& content);

// A registry with the host's own data sets and processors.
[[nodiscard]] Registry data_registry();

// Writes an easy-VQA of `train_images` + 2 images of 4 x 4 pixels, two questions each: image i is
// of the colour {i, 0, 0}, in test of {0, i, 0}.
void write_easy_vqa(const TempFolder& folder, int train_images);

// The types of multitasking.
inline constexpr const char* kIterationStrategies[] = {
    "constant", "round_robin", "random", "size_proportional", "ratios", "temperature"};

// The message of the Error that `work` throws; its kind must be `kind`.
template <class Work>
std::string error_of(ErrorKind kind, const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace pergola::host::test
