// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/digest.h"

#include <algorithm>
#include <utility>

namespace pergola::host {

DigestWriter::DigestWriter(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}

void DigestWriter::write(std::string_view bytes) {
  // In pieces, so that the hash finds each one in the processor's cache.
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  while (!bytes.empty()) {
    const auto piece = bytes.substr(0, kPiece);
    hash_.update(piece.data(), piece.size());
    write_all(fd_, piece, path_);
    size_ += piece.size();
    bytes.remove_prefix(piece.size());
  }
}

FileDigest DigestWriter::digest() const { return {size_, hash_.digest()}; }

}  // namespace pergola::host
