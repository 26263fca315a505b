// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/bert_tokenizer.h"

#include "host/support/files.h"
#include "pergola/error.h"

#include <utf8proc.h>

#include <algorithm>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::size_t kMostCodes = 100;  // of a word that is not [UNK]

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    utf8proc_int32_t code = 0;
    const utf8proc_ssize_t size =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                         static_cast<utf8proc_ssize_t>(text.size()), &code);
    if (size < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

Strings read_lines(const std::filesystem::path& file) {
  constexpr std::uintmax_t kMostBytes = 100'000'000;
  const std::string content = read_file(file, ErrorKind::kData, kMostBytes);
  Strings lines;
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    std::string_view line = std::string_view(content).substr(begin, end - begin);
    begin = end + 1;
    line = line.substr(0, line.find_last_not_of(" \t\r\v\f") + 1);
    if (!is_utf8(line)) {
      throw Error(ErrorKind::kData, "vocabulary ", file.string(), ":", lines.size() + 1,
                  " is no valid UTF-8; restore the vocab.txt that came with the weights");
    }
    lines.emplace_back(line);
  }
  return lines;
}

}  // namespace

BertTokenizer BertTokenizer::read(const std::filesystem::path& vocab_file, Casing casing) {
  return {read_lines(vocab_file), casing, vocab_file.string()};
}

BertTokenizer::BertTokenizer(Strings tokens, Casing casing, const std::string& name)
    : tokens_(std::move(tokens)),
      casing_(casing),
      pieces_(std::vector<std::string_view>(tokens_.begin(), tokens_.end())),
      inside_word_(pieces_.find("##")),
      special_ids_{} {
  for (std::size_t i = 0; i < kSpecialTokens.size(); ++i) {
    const std::string_view token = kSpecialTokens[i];
    const PieceTrie::Match match = pieces_.longest(PieceTrie::kRoot, token);
    if (match.size != token.size()) {
      throw Error(ErrorKind::kData, "vocabulary ", name, " has no line '", token,
                  "'; expected [PAD], [UNK], [CLS], [SEP] and [MASK], each on a line of its own; ",
                  "give the vocab.txt that came with the weights");
    }
    special_ids_[i] = match.id;
  }
}

std::vector<std::int64_t> BertTokenizer::encode(std::string_view text) const {
  std::vector<std::int64_t> ids;
  BertWords words;
  std::size_t plain = 0;  // where what is not encoded yet begins
  std::size_t at = text.find('[');
  while (at != std::string_view::npos) {
    const auto* const special =
        std::find_if(kSpecialTokens.begin(), kSpecialTokens.end(),
                     [&](std::string_view token) { return text.substr(at).starts_with(token); });
    if (special == kSpecialTokens.end()) {
      at = text.find('[', at + 1);
      continue;
    }
    encode_plain(text.substr(plain, at - plain), words, ids);
    ids.push_back(special_ids_[static_cast<std::size_t>(special - kSpecialTokens.begin())]);
    plain = at + special->size();
    at = text.find('[', plain);
  }
  encode_plain(text.substr(plain), words, ids);
  return ids;
}

void BertTokenizer::encode_plain(std::string_view text, BertWords& words,
                                 std::vector<std::int64_t>& ids) const {
  split_bert_words(text, casing_, words);
  std::string_view left = words.letters;
  for (const BertWords::Extent& extent : words.extents) {
    if (extent.codes > kMostCodes)
      ids.push_back(id(Special::kUnknown));
    else
      encode_word(left.substr(0, extent.bytes), ids);
    left.remove_prefix(extent.bytes);
  }
}

void BertTokenizer::encode_word(std::string_view word, std::vector<std::int64_t>& ids) const {
  const std::size_t before = ids.size();
  std::uint32_t node = PieceTrie::kRoot;
  while (!word.empty()) {
    const PieceTrie::Match piece = pieces_.longest(node, word);
    if (piece.id == PieceTrie::kNoId) {
      ids.resize(before);
      ids.push_back(id(Special::kUnknown));
      return;
    }
    ids.push_back(piece.id);
    word.remove_prefix(piece.size);
    node = inside_word_;
  }
}

bool BertTokenizer::is_special(std::int64_t id) const {
  return std::find(special_ids_.begin(), special_ids_.end(), id) != special_ids_.end();
}

const std::string& BertTokenizer::token(std::int64_t id) const {
  PERGOLA_ASSERT(id >= 0 && id < size());
  return tokens_[static_cast<std::size_t>(id)];
}

}  // namespace pergola::host
