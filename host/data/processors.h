// SPDX-License-Identifier: BSD-3-Clause
// The host's own processors: `vocab` (questions to word numbers), `vqa_answer` (answers to soft
// targets) and `image` (bytes to floats), by the rules of MMF's mmf/datasets/processors. Each owns
// what it learnt in fit(); after that it is constant, and apply() may run on any number of threads.
// Legend: T = max_length, A = answers in the vocabulary, H, W = height and width in pixels.
#pragma once

#include "host/data/vocab.h"
#include "pergola/component.h"
#include "pergola/processor.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace pergola::host {

// `question` (string) → `text`, int64 [T], word numbers filled up with <pad> or cut, and
// `text_len`, int64 0-d, how many of them are words.
class VocabProcessor final : public Processor {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit VocabProcessor(const Config& params);

  void fit(const Strings& texts) override;
  // Throws Error{kData} for a question without words.  REQUIRES: vocab_file, or fit() was called.
  void apply(Sample& sample, Rng& rng) const override;
  // text_vocab_size
  [[nodiscard]] Value facts() const override;
  // The words.
  [[nodiscard]] Value state_dict() const override;
  void load_state_dict(const Value& state) override;

 private:
  std::int64_t max_length_;
  std::int64_t min_count_;
  std::optional<Vocab> vocab_;  // empty until fit() when it is built from texts
};

// `answers` (strings, of one or more people) → `targets`, float [A]. They are repeated in turn up
// to num_answers; an answer that c of these n people gave scores the mean, over leaving each of
// them out, of min(1, matches among the others / 3). Unknown answers score nothing,
// and so do blank ones, which are still somebody's.
class VqaAnswerProcessor final : public Processor {
 public:
  // <unk> is put before the answers of vocab_file, which are compared as all are
  // (normalize_answer), unless they have it.
  [[nodiscard]] static ComponentSpec spec();
  explicit VqaAnswerProcessor(const Config& params);

  void fit(const Strings& texts) override;
  // Throws Error{kData} for no answer or more than num_answers.  REQUIRES: as for VocabProcessor.
  void apply(Sample& sample, Rng& rng) const override;
  // num_final_outputs, and `answers`, the words by their numbers
  [[nodiscard]] Value facts() const override;
  // The answers; none before fit().
  [[nodiscard]] Value state_dict() const override;
  void load_state_dict(const Value& state) override;

  // REQUIRES of both: vocab_file, or fit() was called.
  [[nodiscard]] bool knows(const std::string& answer) const;
  [[nodiscard]] const Vocab& vocab() const;

 private:
  std::int64_t num_answers_;
  std::optional<Vocab> vocab_;
};

// `image`, uint8 [3, H, W] → float [3, H, W], (value / 255 - mean) / std.
class ImageProcessor final : public Processor {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit ImageProcessor(const Config& params);

  // Throws Error{kData} for a tensor of another type or shape.
  void apply(Sample& sample, Rng& rng) const override;

 private:
  static constexpr std::size_t kChannels = 3;
  std::array<float, kChannels> scale_;  // the result is value * scale + shift
  std::array<float, kChannels> shift_;
};

}  // namespace pergola::host
