// SPDX-License-Identifier: BSD-3-Clause
// tiny_easy_vqa FOLDER: writes a data set of easy-VQA's form with 30 images, for tests in bash.
#include "integration/easy_vqa_files.h"

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: tiny_easy_vqa FOLDER\n", stderr);
    return 2;
  }
  try {
    pergola::test::write_easy_vqa(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tiny_easy_vqa: %s\n", error.what());
    return 1;
  }
  return 0;
}
