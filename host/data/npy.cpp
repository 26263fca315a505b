// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/npy.h"

#include "host/support/files.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {
namespace {

using namespace std::string_view_literals;
namespace fs = std::filesystem;

constexpr std::string_view kMagic = "\x93NUMPY"sv;
constexpr std::size_t kMostHeader = 1 << 16;

struct Header {
  std::string descr;  // "<f4", or, of a structure, the whole list
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// Reads the literal of a Python dict that numpy writes,
// {'descr': '<f4', 'fortran_order': False, 'shape': (36, 2048), }, and no more of Python than that.
// Every function returns nothing, or false, where the text is something else.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  std::optional<Header> read() {
    Header header;
    bool has_descr = false;
    bool has_order = false;
    bool has_shape = false;
    if (!take("{")) return std::nullopt;
    while (!take("}")) {
      const auto key = quoted();
      if (!key || !take(":")) return std::nullopt;
      if (*key == "descr" && !has_descr) {
        has_descr = read_descr(header.descr);
        if (!has_descr) return std::nullopt;
      } else if (*key == "fortran_order" && !has_order) {
        has_order = true;
        header.fortran_order = take("True");
        if (!header.fortran_order && !take("False")) return std::nullopt;
      } else if (*key == "shape" && !has_shape) {
        has_shape = read_shape(header.shape);
        if (!has_shape) return std::nullopt;
      } else {
        return std::nullopt;
      }
      if (!take(",") && !peek('}')) return std::nullopt;
    }
    skip_spaces();
    const bool whole = text_.empty() && has_descr && has_order && has_shape;
    return whole ? std::optional(std::move(header)) : std::nullopt;
  }

 private:
  void skip_spaces() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\n')) {
      text_.remove_prefix(1);
    }
  }
  bool take(std::string_view word) {
    skip_spaces();
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  bool peek(char c) {
    skip_spaces();
    return text_.starts_with(c);
  }
  std::optional<std::string> quoted() {
    skip_spaces();
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) return std::nullopt;
    const std::size_t end = text_.find(text_.front(), 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string word(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return word;
  }
  // A word, or the list that describes a structure: only its end is looked for.
  bool read_descr(std::string& descr) {
    if (!peek('[')) {
      auto word = quoted();
      if (word) descr = *std::move(word);
      return word.has_value();
    }
    std::size_t depth = 0;
    for (std::size_t i = 0; i < text_.size(); ++i) {
      depth += text_[i] == '[' ? 1 : 0;
      depth -= text_[i] == ']' ? 1 : 0;
      if (depth > 0) continue;
      descr = text_.substr(0, i + 1);
      text_.remove_prefix(i + 1);
      return true;
    }
    return false;
  }
  bool read_shape(std::vector<std::int64_t>& shape) {
    if (!take("(")) return false;
    while (!take(")")) {
      skip_spaces();
      std::int64_t size = 0;
      const auto [end, error] = std::from_chars(text_.begin(), text_.end(), size);
      if (error != std::errc() || size < 0) return false;
      text_.remove_prefix(static_cast<std::size_t>(end - text_.begin()));
      shape.push_back(size);
      if (!take(",") && !peek(')')) return false;
    }
    return true;
  }

  std::string_view text_;
};

// Reads `size` bytes at `offset`, or as many as there are.
std::size_t read_at(int fd, void* bytes, std::size_t size, std::size_t offset,
                    const fs::path& file) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = ::pread(fd, static_cast<char*>(bytes) + done, size - done,
                                  static_cast<off_t>(offset + done));
    if (count == 0) break;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw file_error(ErrorKind::kData, "read", file, errno);
    done += static_cast<std::size_t>(count);
  }
  return done;
}

template <class... Parts>
[[noreturn]] void refuse(const fs::path& file, const Parts&... parts) {
  throw Error(ErrorKind::kData, "features ", file.string(), " ", parts...);
}

constexpr const char* kSaveAgain =
    "; save a plain array: numpy.save(path, array.astype('float32'))";

// The bytes before the header's text say how long it is.
struct Preamble {
  std::size_t header_at;
  std::size_t header_size;
};

Preamble read_preamble(int fd, const fs::path& file) {
  std::string bytes(kMagic.size() + 6, '\0');
  bytes.resize(read_at(fd, bytes.data(), bytes.size(), 0, file));
  if (!bytes.starts_with(kMagic)) {
    const char* const kind = bytes.empty()                     ? "is empty"
                             : bytes.starts_with("\x80"sv)     ? "is a Python pickle"
                             : bytes.starts_with("PK\x03\x04") ? "is a zip archive (.npz?)"
                                                               : "is of another kind";
    refuse(file, kind, ", expected an .npy file, which begins with \\x93NUMPY", kSaveAgain);
  }
  const auto byte = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i]));
  };
  if (bytes.size() < kMagic.size() + 6) {
    refuse(file, "is truncated: its ", bytes.size(), " bytes end in the header; restore the file");
  }
  const std::size_t major = byte(6);
  if (major < 1 || major > 3 || byte(7) != 0) {
    refuse(file, "is of .npy version ", major, ".", byte(7), ", expected 1.0 to 3.0", kSaveAgain);
  }
  std::size_t size = byte(8) | byte(9) << 8;
  if (major > 1) size |= byte(10) << 16 | byte(11) << 24;
  if (size > kMostHeader) {
    refuse(file, "has a header of ", size, " bytes, more than the ", kMostHeader, " allowed",
           kSaveAgain);
  }
  return {kMagic.size() + (major > 1 ? 6U : 4U), size};
}

Header read_header(int fd, const Preamble& preamble, const fs::path& file) {
  std::string text(preamble.header_size, '\0');
  if (read_at(fd, text.data(), text.size(), preamble.header_at, file) < text.size()) {
    refuse(file, "is truncated: it ends in its header; restore the file");
  }
  const auto header = HeaderReader(text).read();
  if (!header) {
    refuse(file,
           "has a damaged header, expected {'descr': '<f4', 'fortran_order': False, 'shape': "
           "(regions, width)}",
           kSaveAgain);
  }
  return *header;
}

bool is_half(const Header& header) { return header.descr == "<f2"; }

void check(const Header& header, const fs::path& file) {
  if (header.descr.find('O') != std::string::npos) {
    refuse(file, "holds Python objects (dtype '", header.descr,
           "'), that is a pickle, and no pickle is run", kSaveAgain);
  }
  if (header.descr != "<f4" && !is_half(header)) {
    refuse(file, "has the dtype '", header.descr,
           "', expected '<f4' or '<f2' (float32 or float16, little-endian)", kSaveAgain);
  }
  if (header.fortran_order) {
    refuse(file,
           "is in Fortran order, expected C order; save it with "
           "numpy.save(path, numpy.ascontiguousarray(array))");
  }
  if (header.shape.size() != 2 || header.shape[1] < 1 || header.shape[1] > kMostWidth) {
    refuse(file, "has the shape ", at::IntArrayRef(header.shape),
           ", expected [regions, width] with a width of 1 to ", kMostWidth, kSaveAgain);
  }
}

// A sum is one pass and tells nearly always; that of large numbers may be infinite, too.
bool all_finite(const at::Tensor& x) {
  return std::isfinite(x.sum(at::kFloat).item<float>()) || x.isfinite().all().item<bool>();
}

// Between the two half precisions ATen goes number by number, which takes five times as long.
void convert(const at::Tensor& from, const at::Tensor& to) {
  const bool halves = from.scalar_type() == at::kHalf && to.scalar_type() == at::kBFloat16;
  to.copy_(halves ? from.to(at::kFloat) : from);
}

// What is not finite in the file is not finite in any type.
[[noreturn]] void refuse_numbers(const at::Tensor& read, at::ScalarType type,
                                 const fs::path& file) {
  if (!all_finite(read)) {
    refuse(file, "has a number that is nan or infinite; restore the file, or remove the row");
  }
  const bool half = type == at::kHalf;
  refuse(file, "has a number that ", half ? "float16" : "bfloat16",
         " does not hold, whose largest is ", half ? "65504" : "3.39e38",
         "; set feature_dtype = ", half ? "\"bfloat16\" or \"float32\"" : "\"float32\"");
}

// Throws unless the file is long enough; then no number of the header can ask for more memory.
void check_size(int fd, const Header& header, std::size_t begin, const fs::path& file) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) throw file_error(ErrorKind::kData, "read", file, errno);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  const std::uint64_t have = size > begin ? size - begin : 0;
  const std::uint64_t row = static_cast<std::uint64_t>(header.shape[1]) * (is_half(header) ? 2 : 4);
  if (static_cast<std::uint64_t>(header.shape[0]) <= have / row) return;
  refuse(file, "is truncated: its header says ", at::IntArrayRef(header.shape),
         " numbers, but only ", have, " bytes follow; restore the file");
}

}  // namespace

Regions read_regions(const fs::path& file, std::int64_t wanted, at::ScalarType type) {
  PERGOLA_ASSERT(wanted > 0 && wanted <= kMostRegions);
  const UniqueFd fd = open_file(file, ErrorKind::kData);
  const Preamble preamble = read_preamble(fd.get(), file);
  const Header header = read_header(fd.get(), preamble, file);
  check(header, file);
  const std::size_t begin = preamble.header_at + preamble.header_size;
  check_size(fd.get(), header, begin, file);

  const std::int64_t count = std::min(wanted, header.shape[0]);
  const std::int64_t width = header.shape[1];
  Regions result{at::empty({wanted, width}, type), count};
  const at::Tensor filled = result.features_RD.narrow(0, 0, count);
  const at::ScalarType stored = is_half(header) ? at::kHalf : at::kFloat;
  const at::Tensor read = stored == type ? filled : at::empty({count, width}, stored);
  if (read_at(fd.get(), read.data_ptr(), read.nbytes(), begin, file) < read.nbytes()) {
    refuse(file, "has become shorter while it was read; restore the file");
  }
  if (stored != type) convert(read, filled);
  if (!all_finite(filled)) refuse_numbers(read, type, file);
  result.features_RD.narrow(0, count, wanted - count).zero_();
  return result;
}

}  // namespace pergola::host
