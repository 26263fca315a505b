// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/images.h"

#include "fixtures/temp_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
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
  EXPECT_EQ(shelf.embed(folder.path().string()).problem, "the image cannot be read");
}

// The page is mailed, and a row may be anybody's: /home/me/passport.png is not for its readers.
TEST(ImagesTest, ImagesElsewhereAreNotShown) {
  const std::string outside = "left out: it is outside of the folders of the data and of the run";
  const fixtures::TempFolder folder;
  const std::string mine = folder.write("mine.png", kPng).string();
  folder.write("data/a.png", kPng);
  folder.write("data2/b.png", kPng);
  std::filesystem::create_symlink(mine, folder / "data/link.png");
  ImageShelf shelf({folder / "data", "", folder / "gone"});
  EXPECT_EQ(shelf.embed("a.png").problem, "");
  EXPECT_EQ(shelf.embed((folder / "data/a.png").string()).problem, "");
  EXPECT_EQ(shelf.embed((folder / "data2/../data/a.png").string()).problem, "");
  for (const std::string& name :
       {mine, std::string("../mine.png"), std::string("link.png"),
        (folder / "data2/b.png").string(), (folder / "data/../mine.png").string(),
        std::string("../data2/b.png"), std::string("/dev/zero")}) {
    EXPECT_EQ(shelf.embed(name).problem, outside) << name;
    EXPECT_EQ(shelf.embed(name).uri, "") << name;
  }
}

TEST(ImagesTest, AFolderOfImagesMayBeALink) {
  const fixtures::TempFolder folder;
  folder.write("disk/a.png", kPng);
  std::filesystem::create_directory_symlink(folder / "disk", folder / "data");
  ImageShelf shelf({folder / "data"});
  EXPECT_EQ(shelf.embed("a.png").problem, "");
  EXPECT_EQ(shelf.embed((folder / "data/a.png").string()).problem, "");
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
