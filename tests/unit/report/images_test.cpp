// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/images.h"

#include "fixtures/temp_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace pergola::host {
namespace {

const std::string kPng = "\x89PNG\r\n\x1a\n";

// The examples of RFC 4648, section 10.
TEST(ImagesTest, Base64IsThatOfTheStandard) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xff\xff\xfe"), "///+");
}

TEST(ImagesTest, PngAndJpegAreEmbeddedAsTheyAre) {
  const fixtures::TempFolder folder;
  folder.write("a.png", kPng + "x");
  folder.write("b.bin", "\xff\xd8\xff!");
  ImageShelf shelf({folder.path()});
  EXPECT_EQ(shelf.embed("a.png").uri, "data:image/png;base64," + base64(kPng + "x"));
  EXPECT_EQ(shelf.embed((folder / "b.bin").string()).uri, "data:image/jpeg;base64,/9j/IQ==");
}

// Whoever wrote the row: no other file gets into a page.
TEST(ImagesTest, WhatIsNoImageIsSaidAndNotShown) {
  const fixtures::TempFolder folder;
  folder.write("secret.txt", "secret");
  folder.write("large.png", kPng + std::string(1'000'000, 'x'));
  ImageShelf shelf({folder.path()});
  EXPECT_EQ(shelf.embed("secret.txt").problem, "neither PNG nor JPEG");
  EXPECT_EQ(shelf.embed("large.png").problem, "left out: 1 MB");
  EXPECT_EQ(shelf.embed("gone.png").problem, "the image is not there any more");
  EXPECT_EQ(shelf.embed("").problem, "the image is not there any more");
  EXPECT_EQ(shelf.embed("/dev/zero").problem, "the image cannot be read");
  EXPECT_EQ(shelf.embed(folder.path().string()).problem, "the image cannot be read");
}

// Three million bytes in all: three of 900,000, and no fourth.
TEST(ImagesTest, APageHasRoomForSomeMegabytes) {
  const fixtures::TempFolder folder;
  folder.write("a.png", kPng + std::string(900'000 - kPng.size(), 'x'));
  ImageShelf shelf({folder.path()});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(shelf.embed("a.png").problem, "");
  EXPECT_EQ(shelf.embed("a.png").problem, "left out: the page is full");
}

}  // namespace
}  // namespace pergola::host
