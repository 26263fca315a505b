// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/pickle_bytes.h"

#include "pergola/error.h"

#include <algorithm>

namespace pergola::host {
namespace {

constexpr std::uint64_t kWindowBytes = std::uint64_t{1} << 16;
constexpr std::size_t kMostLineBytes = 1000;

}  // namespace

void refuse_torch_file(const InputFile& file, std::string_view what) {
  throw Error(ErrorKind::kCheckpoint, file.path().string(), " is not a sound PyTorch file: ", what,
              "; use another file, or save this one again");
}

PickleBytes::PickleBytes(const InputFile& file, const ByteRange& range)
    : file_(file), end_(range.end), window_begin_(range.begin) {}

std::uint8_t PickleBytes::byte() {
  if (at_ == window_.size()) {
    window_begin_ += at_;
    at_ = 0;
    if (window_begin_ == end_) refuse("its pickle is cut off");
    window_.resize(std::min(kWindowBytes, end_ - window_begin_));
    file_.read(window_.data(), window_.size(), window_begin_);
  }
  return static_cast<std::uint8_t>(window_[at_++]);
}

std::uint64_t PickleBytes::number(int width) {
  std::uint64_t value = 0;
  for (int i = 0; i < width; ++i) value |= std::uint64_t{byte()} << (8 * i);
  return value;
}

std::string PickleBytes::text(std::uint64_t size) {
  if (size > end_ - position()) refuse("its pickle is cut off");
  std::string text;
  text.reserve(size);
  while (text.size() < size) {
    text += static_cast<char>(byte());  // fills the window
    const std::size_t count = std::min<std::size_t>(size - text.size(), window_.size() - at_);
    text.append(window_.data() + at_, count);
    at_ += count;
  }
  return text;
}

std::string PickleBytes::line() {
  std::string line;
  for (char next = static_cast<char>(byte()); next != '\n'; next = static_cast<char>(byte())) {
    line += next;
    if (line.size() > kMostLineBytes) refuse("a name in its pickle does not end");
  }
  return line;
}

void PickleBytes::refuse(std::string_view what) const {
  refuse_torch_file(file_, concat(what, " (byte ", position(), ")"));
}

void PickleBytes::refuse_foreign(std::string_view name) const {
  throw Error(ErrorKind::kCheckpoint, file_.path().string(), " holds ",
              name.substr(0, kMostLineBytes),
              ", which is no tensor or plain data, and Pergola runs no code of a file; in Python, "
              "save the weights alone: torch.save(model.state_dict(), FILE)");
}

}  // namespace pergola::host
