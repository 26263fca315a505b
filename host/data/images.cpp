// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/images.h"

#include "host/data/jpeg.h"
#include "host/data/png.h"
#include "host/support/files.h"
#include "host/support/signals.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

namespace pergola::host {
namespace {

constexpr std::int64_t kChannels = 3;
constexpr std::int64_t kMostBytes = 16'000'000'000;

// [H, W, 3] pixels to [3, H, W].
void write_planes(const RgbImage& image, std::uint8_t* planes) {
  const std::int64_t size = image.height * image.width;
  const std::uint8_t* pixel = image.pixels.data();
  for (std::int64_t i = 0; i < size; ++i, pixel += kChannels) {
    planes[i] = pixel[0];
    planes[size + i] = pixel[1];
    planes[2 * size + i] = pixel[2];
  }
}

// Calls work(0) ... work(count - 1) on some threads, and throws what the lowest failing one threw.
template <class Work>
void for_each_index(std::int64_t count, std::int64_t threads, const Work& work) {
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::int64_t failed_at = count;
  std::exception_ptr failure;
  // Indices are taken in order, so each one below a failing one is taken, and done, before the end.
  const auto run = [&]() noexcept {
    while (!failed) {
      const std::int64_t index = next++;
      if (index >= count) return;
      try {
        work(index);
      } catch (...) {
        const std::lock_guard lock(mutex);
        failed = true;
        if (index < failed_at) {
          failed_at = index;
          failure = std::current_exception();
        }
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    try {
      for (std::int64_t i = 1; i < std::min(threads, count); ++i) helpers.emplace_back(run);
    } catch (const std::system_error&) {
      // The system gives no more threads: those that started do all of the work.
    }
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

at::Tensor read_image(const std::filesystem::path& file) {
  const std::string bytes = read_file(file, ErrorKind::kData, kMostImageBytes);
  const RgbImage image = is_jpeg(bytes) ? decode_jpeg(bytes, file) : decode_png(bytes, file);
  at::Tensor planes_3HW = at::empty({kChannels, image.height, image.width}, at::kByte);
  write_planes(image, planes_3HW.mutable_data_ptr<std::uint8_t>());
  return planes_3HW;
}

at::Tensor resize_image(const at::Tensor& image_3HW, std::int64_t height, std::int64_t width) {
  PERGOLA_ASSERT(image_3HW.dim() == 3 && height > 0 && width > 0);
  if (image_3HW.size(1) == height && image_3HW.size(2) == width) return image_3HW;
  return at::_upsample_bilinear2d_aa(image_3HW.unsqueeze(0), {height, width},
                                     /*align_corners=*/false)
      .squeeze(0);
}

at::Tensor read_images(const std::vector<std::filesystem::path>& files, std::int64_t threads) {
  PERGOLA_ASSERT(!files.empty() && threads > 0);
  const auto count = static_cast<std::int64_t>(files.size());
  const RgbImage first = read_png(files.front());
  const std::int64_t image_size = kChannels * first.height * first.width;
  if (image_size > kMostBytes / count) {
    throw Error(ErrorKind::kData, count, " images of ", first.width, " x ", first.height,
                " pixels, such as ", files.front().string(), ", need more than the ", kMostBytes,
                " bytes of memory allowed; make them smaller");
  }
  at::Tensor images_N3HW = at::empty({count, kChannels, first.height, first.width}, at::kByte);
  auto* const planes = images_N3HW.mutable_data_ptr<std::uint8_t>();
  for_each_index(count, threads, [&](std::int64_t i) {
    stop_if_asked();
    const std::filesystem::path& file = files[static_cast<std::size_t>(i)];
    const RgbImage image = read_png(file);
    if (image.height != first.height || image.width != first.width) {
      throw Error(ErrorKind::kData, "image ", file.string(), " is ", image.width, " x ",
                  image.height, " pixels, but ", files.front().string(), " is ", first.width, " x ",
                  first.height, "; all images of a split need one size");
    }
    write_planes(image, planes + i * image_size);
  });
  return images_N3HW;
}

}  // namespace pergola::host
