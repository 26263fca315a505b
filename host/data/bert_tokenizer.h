// SPDX-License-Identifier: BSD-3-Clause
// BERT's tokenizer: text to the ids of word pieces, the same ones as those of Python's `tokenizers`
// (BertWordPieceTokenizer, BertTokenizerFast). A word (bert_words.h) is cut from its front into the
// longest pieces that the vocabulary has, all but the first written with "##"; one that cannot be
// cut, or has more than 100 code points, is [UNK]. The five special tokens are kept where a text
// has them, as they are written, in the middle of a word, too.
// Owns its vocabulary and never changes: any thread may use it.
#pragma once

#include "host/data/bert_words.h"
#include "host/data/piece_trie.h"
#include "pergola/sample_list.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

class BertTokenizer {
 public:
  // In the order of kSpecialTokens.
  enum class Special { kPad, kUnknown, kFirst, kSeparator, kMask };
  static constexpr std::array<std::string_view, 5> kSpecialTokens{"[PAD]", "[UNK]", "[CLS]",
                                                                  "[SEP]", "[MASK]"};

  // A vocab.txt: one token a line, its id the line's number from 0, space behind it dropped; of
  // equal lines the last counts, an empty one has an id and no token. Throws Error{kData} for a
  // file that cannot be read, a line that is no UTF-8, and a special token that is missing.
  [[nodiscard]] static BertTokenizer read(const std::filesystem::path& vocab_file, Casing casing);
  // `name` is that of the vocabulary in messages.
  BertTokenizer(Strings tokens, Casing casing, const std::string& name);

  // The ids of `text`, without [CLS] and [SEP] around them. Bytes that are no valid UTF-8 are
  // passed over.
  [[nodiscard]] std::vector<std::int64_t> encode(std::string_view text) const;

  [[nodiscard]] std::int64_t id(Special token) const {
    return special_ids_[static_cast<std::size_t>(token)];
  }
  [[nodiscard]] bool is_special(std::int64_t id) const;
  // REQUIRES: 0 <= id < size().
  [[nodiscard]] const std::string& token(std::int64_t id) const;
  [[nodiscard]] const Strings& tokens() const noexcept { return tokens_; }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(tokens_.size()); }

 private:
  // Both append to `ids`.
  void encode_plain(std::string_view text, BertWords& words, std::vector<std::int64_t>& ids) const;
  void encode_word(std::string_view word, std::vector<std::int64_t>& ids) const;

  Strings tokens_;
  Casing casing_;
  PieceTrie pieces_;
  std::uint32_t inside_word_;  // the node of "##"
  std::array<std::int64_t, kSpecialTokens.size()> special_ids_;
};

}  // namespace pergola::host
