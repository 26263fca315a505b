// SPDX-License-Identifier: BSD-3-Clause
// The processors of BERT's texts: `masked_token` and `bert_tokenizer`, after MMF's
// mmf/datasets/processors/bert_processors.py. They differ in the default of mask_probability. MMF's
// second copy of the tokens, `text`, is not made. Constant after the constructor: any thread may
// apply them.
// Legend: T = max_seq_length.
#pragma once

#include "host/data/bert_tokenizer.h"
#include "pergola/component.h"
#include "pergola/processor.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace pergola::host {

// A text, `text_a`, `text` or `question` (the first that is there; strings are joined by spaces),
// and perhaps another one, `text_b`, as [CLS] a [SEP] b [SEP], the longer one cut until that has no
// more than T tokens. Adds, all but `tokens` int64 [T]:
//   input_ids     filled up with [PAD]
//   input_mask    1 for tokens, 0 for what is filled up
//   segment_ids   1 for b and the [SEP] behind it, else 0
//   lm_label_ids  the id of a token that was chosen for masking, else -1
//   tokens        strings, those of input_ids without [PAD]
// Each token is chosen with mask_probability, by the sample's Rng, but for the special ones, also
// where they are in the text or stand for an unknown word. Of the chosen, 80 % become [MASK], 10 %
// any token of the vocabulary, and 10 % stay.
class MaskedTokenProcessor : public Processor {
 public:
  [[nodiscard]] static ComponentSpec spec();
  // Throws Error{kData} for a vocabulary that BertTokenizer::read refuses.
  explicit MaskedTokenProcessor(const Config& params);

  // Throws Error{kConfig} when no vocab_file is named: nothing is learnt from texts.
  void fit(const Strings& texts) override;
  // Throws Error{kData} for a sample without text.  REQUIRES: vocab_file, or load_state_dict().
  void apply(Sample& sample, Rng& rng) const override;
  // text_vocab_size
  [[nodiscard]] Value facts() const override;
  // The tokens by their ids.
  [[nodiscard]] Value state_dict() const override;
  void load_state_dict(const Value& state) override;

 private:
  using Ids = std::vector<std::int64_t>;

  // Chooses tokens to predict and changes them; their ids, or -1.
  Ids mask(Ids& ids, Rng& rng) const;
  [[nodiscard]] const BertTokenizer& tokenizer() const;

  Config params_;
  std::optional<BertTokenizer> tokenizer_;  // empty without a vocab_file, until load_state_dict()
  std::int64_t max_seq_length_;
  double mask_probability_;
};

// The same, without masking unless it is asked for.
class BertTokenizerProcessor final : public MaskedTokenProcessor {
 public:
  [[nodiscard]] static ComponentSpec spec();
  using MaskedTokenProcessor::MaskedTokenProcessor;
};

// Cuts the longer one, the second when they are equally long, at its end, until both together have
// no more than `most`.
void truncate_pair(std::vector<std::int64_t>& a, std::vector<std::int64_t>& b, std::size_t most);

}  // namespace pergola::host
