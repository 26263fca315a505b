// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/images.h"

#include "host/data/png.h"
#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pergola::host {
namespace {

using test::error_of;
using test::png_chunk;
using test::png_of;
using test::Rgb;
using test::TempFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

const std::vector<Rgb> kSixPixels{{1, 2, 3},    {4, 5, 6},    {7, 8, 9},
                                  {10, 11, 12}, {13, 14, 15}, {16, 17, 18}};

std::string decode_error(std::string_view bytes) {
  return error_of(ErrorKind::kData, [&] { (void)decode_png(bytes, "a.png"); });
}

TEST(DecodePngTest, GivesRowsFromTheTopOfRedGreenBlue) {
  const RgbImage image = decode_png(png_of(3, 2, kSixPixels), "a.png");
  EXPECT_EQ(image.height, 2);
  EXPECT_EQ(image.width, 3);
  EXPECT_THAT(image.pixels,
              ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18));
}

TEST(DecodePngTest, RefusesAnEmptyFile) {
  EXPECT_EQ(decode_error(""), "image a.png is empty; expected a PNG image; restore the file");
}

TEST(DecodePngTest, RefusesAFileCutAnywhereAsTruncated) {
  const std::string whole = png_of(8, 8, Rgb{9, 9, 9});
  for (std::size_t size = 1; size < whole.size(); ++size) {
    EXPECT_EQ(decode_error(std::string_view(whole).substr(0, size)),
              concat("image a.png is truncated: its ", size,
                     " bytes end before the PNG does; restore the file"));
  }
}

TEST(DecodePngTest, SaysWhatAFileThatIsNoPngIs) {
  using namespace std::string_view_literals;
  EXPECT_EQ(
      decode_error("\xff\xd8\xff\xe0 JFIF"sv),
      "image a.png is not a PNG image but a JPEG image; convert it to PNG, or restore the file");
  EXPECT_THAT(decode_error("hello, world"), HasSubstr("but text;"));
  EXPECT_THAT(decode_error("<html>404</html>"), HasSubstr("but an HTML, XML or SVG text;"));
  EXPECT_THAT(decode_error("\x00\x01\x02\x03"sv), HasSubstr("but of an unknown kind;"));
}

TEST(DecodePngTest, FindsAFlippedByteInThePixelsByTheChecksum) {
  std::string bytes = png_of(8, 8, Rgb{9, 9, 9});
  bytes[bytes.find("IDAT") + 8] ^= 1;
  EXPECT_THAT(decode_error(bytes), AllOf(HasSubstr("image a.png is damaged: libpng says '"),
                                         HasSubstr("; restore the file")));
}

TEST(DecodePngTest, SurvivesEveryFlippedByte) {
  const std::string whole = png_of(3, 2, kSixPixels);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(~bytes[at]);
    try {
      EXPECT_EQ(decode_png(bytes, "a.png").pixels, decode_png(whole, "a.png").pixels) << at;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData) << at;
    }
  }
}

TEST(DecodePngTest, RefusesAnImageOfTooManyPixelsBeforeItDecodesIt) {
  using namespace std::string_literals;
  // 0x10000 x 0x1000 = 2^28 pixels, 8 bits a channel, colour type 2 (RGB)
  const std::string header = "\x00\x01\x00\x00\x00\x00\x10\x00\x08\x02\x00\x00\x00"s;
  const std::string bytes = "\x89PNG\r\n\x1a\n"s + png_chunk("IHDR", header) +
                            png_chunk("IDAT", "?") + png_chunk("IEND", "");
  EXPECT_EQ(decode_error(bytes),
            "image a.png has 65536 x 4096 pixels, more than the 64000000 allowed; make it smaller");
}

TEST(ReadImageTest, GivesPlanesOfRedGreenBlue) {
  const TempFolder folder;
  const at::Tensor image = read_image(folder.write("a.png", png_of(3, 2, kSixPixels)));
  // The first pixel row is 1 2 3 | 4 5 6 | 7 8 9, so the red plane starts 1 4 7.
  const at::Tensor expected = at::arange(1, 19, at::kByte).view({2, 3, 3}).permute({2, 0, 1});
  EXPECT_TRUE(at::equal(image, expected)) << image;
}

TEST(ReadImageTest, NamesAFileThatIsMissing) {
  EXPECT_THAT(error_of(ErrorKind::kData, [] { (void)read_image("/nowhere/a.png"); }),
              HasSubstr("/nowhere/a.png: No such file or directory"));
}

TEST(ReadImageTest, RefusesAHugeHoleUnread) {
  const TempFolder folder;
  const auto file = folder.write("a.png", "");
  std::filesystem::resize_file(file, 200'000'000'000);
  EXPECT_THAT(error_of(ErrorKind::kData, [&] { (void)read_image(file); }),
              HasSubstr("a.png: it has 200000000000 bytes, more than the 600000000 allowed"));
}

class ReadImagesTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 20; ++i) {
      const Rgb colour{static_cast<std::uint8_t>(i), 0, 0};
      files_.push_back(folder_.write(concat(i, ".png"), png_of(2, 2, colour)));
    }
  }
  [[nodiscard]] std::string error() const {
    return error_of(ErrorKind::kData, [&] { (void)read_images(files_, /*threads=*/4); });
  }
  TempFolder folder_;
  std::vector<std::filesystem::path> files_;
};

TEST_F(ReadImagesTest, KeepsTheOrderOfTheList) {
  const at::Tensor images = read_images(files_, /*threads=*/4);
  EXPECT_EQ(images.sizes(), (at::IntArrayRef{20, 3, 2, 2}));
  EXPECT_TRUE(at::equal(images.select(1, 0).select(1, 1).select(1, 1), at::arange(20, at::kByte)));
}

TEST_F(ReadImagesTest, DoesWithoutThreadsThatTheSystemDoesNotGive) {
  enum Outcome : int { kRead, kWrong, kThrown, kMayNot };
  // Another user looks into it.
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Nobody may have no threads at all; root may always have more.
    constexpr uid_t kNobody = 65534;
    const rlimit none{0, 0};
    if (::setrlimit(RLIMIT_NPROC, &none) != 0) ::_exit(kMayNot);
    if (::geteuid() == 0 && ::setuid(kNobody) != 0) ::_exit(kMayNot);
    try {
      ::_exit(read_images(files_, /*threads=*/4).size(0) == 20 ? kRead : kWrong);
    } catch (...) {
      ::_exit(kThrown);
    }
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kMayNot) GTEST_SKIP() << "this user cannot limit itself";
  EXPECT_EQ(WEXITSTATUS(status), kRead);
}

TEST_F(ReadImagesTest, NamesTheFirstBadFileOfTheList) {
  for (int repeat = 0; repeat < 20; ++repeat) {
    folder_.write("17.png", "");
    folder_.write("5.png", "text");
    folder_.write("6.png", "");
    EXPECT_THAT(error(), HasSubstr("5.png is not a PNG image but text"));
  }
}

TEST_F(ReadImagesTest, RefusesImagesOfDifferentSizes) {
  folder_.write("3.png", png_of(2, 1, Rgb{}));
  EXPECT_THAT(error(), AllOf(HasSubstr("3.png is 2 x 1 pixels, but "),
                             EndsWith("0.png is 2 x 2; all images of a split need one size")));
}

}  // namespace
}  // namespace pergola::host
