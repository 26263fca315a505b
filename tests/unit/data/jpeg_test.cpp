// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/jpeg.h"

#include "host/data/images.h"
#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>
#include <turbojpeg.h>

#include <algorithm>
#include <vector>

namespace pergola::host {
namespace {

using test::error_of;
using test::png_of;
using test::Rgb;
using test::TempFolder;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;

enum class Colours { kRgb, kGrey, kCmyk };

// A JPEG of the best quality whose left half is of one colour and whose right half is black.
std::string jpeg_of(int width, int height, Rgb colour, Colours colours = Colours::kRgb) {
  const int pixel_size = colours == Colours::kCmyk ? 4 : 3;
  std::vector<unsigned char> pixels(static_cast<std::size_t>(width * height * pixel_size));
  for (int i = 0; i < width * height; ++i) {
    if (i % width >= width / 2) continue;
    std::copy(colour.begin(), colour.end(), pixels.begin() + i * pixel_size);
  }
  const tjhandle encoder = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const int status = tjCompress2(encoder, pixels.data(), width, 0, height,
                                 colours == Colours::kCmyk ? TJPF_CMYK : TJPF_RGB, &bytes, &size,
                                 colours == Colours::kGrey ? TJSAMP_GRAY : TJSAMP_444,
                                 /*jpegQual=*/100, TJFLAG_ACCURATEDCT);
  EXPECT_EQ(status, 0) << tjGetErrorStr2(encoder);
  std::string result(reinterpret_cast<char*>(bytes), size);
  tjFree(bytes);
  tjDestroy(encoder);
  return result;
}

std::string error(const std::string& bytes) {
  return error_of(ErrorKind::kData, [&] { (void)decode_jpeg(bytes, "a.jpg"); });
}

TEST(JpegTest, DecodesColours) {
  const RgbImage image = decode_jpeg(jpeg_of(16, 8, {200, 100, 50}), "a.jpg");
  ASSERT_EQ(image.height, 8);
  ASSERT_EQ(image.width, 16);
  ASSERT_EQ(image.pixels.size(), 16U * 8 * 3);
  // Quality 100 rounds in the DCT and in the colours, once each.
  EXPECT_NEAR(image.pixels[0], 200, 2);
  EXPECT_NEAR(image.pixels[1], 100, 2);
  EXPECT_NEAR(image.pixels[2], 50, 2);
  EXPECT_NEAR(image.pixels[15 * 3], 0, 2);
}

TEST(JpegTest, MakesGreyThreeEqualChannels) {
  const RgbImage image = decode_jpeg(jpeg_of(16, 8, {90, 90, 90}, Colours::kGrey), "a.jpg");
  EXPECT_NEAR(image.pixels[0], 90, 2);
  EXPECT_EQ(image.pixels[1], image.pixels[0]);
  EXPECT_EQ(image.pixels[2], image.pixels[0]);
}

TEST(JpegTest, RefusesCmyk) {
  EXPECT_EQ(error(jpeg_of(16, 8, {9, 9, 9}, Colours::kCmyk)),
            "image a.jpg is a JPEG of CMYK colours, expected RGB or grey; convert it to RGB");
}

TEST(JpegTest, RefusesATruncatedFile) {
  const std::string whole = jpeg_of(64, 64, {1, 200, 3});
  for (const std::size_t left : {std::size_t{3}, std::size_t{100}, whole.size() / 2 + 100}) {
    EXPECT_THAT(error(whole.substr(0, left)),
                AllOf(HasSubstr("image a.jpg is damaged: libjpeg-turbo says '"),
                      EndsWith("'; restore the file")))
        << left;
  }
}

TEST(JpegTest, RefusesMorePixelsThanAllowedBeforeMemoryIsTaken) {
  std::string bytes = jpeg_of(16, 8, {1, 2, 3});
  const std::size_t frame = bytes.find("\xff\xc0");  // then length, depth, height, width
  ASSERT_NE(frame, std::string::npos);
  bytes.replace(frame + 5, 4, "\x80\x00\x80\x00", 4);
  EXPECT_EQ(
      error(bytes),
      "image a.jpg has 32768 x 32768 pixels, more than the 64000000 allowed; make it smaller");
}

// libjpeg warns of the bytes in front of a marker, and a failure after it counts as a warning, too.
TEST(JpegTest, RefusesAHeaderThatFailsAfterAWarning) {
  std::string bytes = jpeg_of(16, 8, {1, 2, 3});
  bytes.insert(2, "junk");
  EXPECT_EQ(decode_jpeg(bytes, "a.jpg").width, 16);
  const std::size_t frame = bytes.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  EXPECT_THAT(error(bytes.substr(0, frame + 2)),
              HasSubstr("image a.jpg is damaged: libjpeg-turbo says '"));
  bytes[frame + 1] = '\xc8';  // a frame of a kind that nobody can decode
  EXPECT_THAT(error(bytes), HasSubstr("image a.jpg is damaged: libjpeg-turbo says '"));
}

// Whatever byte changes, the file is read or refused: an Error, and no crash.
TEST(JpegTest, TakesOrRefusesEveryMutation) {
  const std::string whole = jpeg_of(16, 8, {200, 100, 50});
  int refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const char byte : {'\0', '\x7f', '\xff'}) {
      std::string bytes = whole;
      bytes[i] = byte;
      try {
        const RgbImage image = decode_jpeg(bytes, "a.jpg");
        EXPECT_EQ(image.pixels.size(), static_cast<std::size_t>(image.height * image.width * 3));
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kData);
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(JpegTest, ImagesAreReadByTheirContentNotTheirName) {
  const TempFolder folder;
  const at::Tensor jpeg = read_image(folder.write("a.png", jpeg_of(16, 8, {200, 0, 0})));
  EXPECT_EQ(jpeg.sizes(), (at::IntArrayRef{3, 8, 16}));
  const at::Tensor png = read_image(folder.write("a.jpg", png_of(2, 1, Rgb{7, 8, 9})));
  EXPECT_EQ(png[2][0][1].item<int>(), 9);
}

// Halved, a column is a triangle of the four around its middle: weights 1, 3, 3, 1 of 8. At the
// border the outer one is missing, 3, 3, 1 of 7. Of 0, 0, 80, 80: 80 / 7 = 11.4 and 480 / 7 = 68.6.
TEST(ResizeImageTest, IsBilinearWithAntialias) {
  const at::Tensor row = at::tensor({0, 0, 80, 80}, at::kByte).expand({3, 1, 4}).contiguous();
  const at::Tensor half = resize_image(row, 1, 2);
  EXPECT_EQ(half.sizes(), (at::IntArrayRef{3, 1, 2}));
  EXPECT_EQ(half.scalar_type(), at::kByte);
  EXPECT_EQ(half[0][0][0].item<int>(), 11);
  EXPECT_EQ(half[2][0][1].item<int>(), 69);
  EXPECT_TRUE(at::equal(resize_image(row, 1, 4), row));
}

}  // namespace
}  // namespace pergola::host
