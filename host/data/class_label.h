// SPDX-License-Identifier: BSD-3-Clause
// Processor `class_label`: the one class of a sample, for losses and metrics of single classes
// (MMF's multi_class_from_file). Constant after fit(); apply() may run on any number of threads.
#pragma once

#include "pergola/component.h"
#include "pergola/processor.h"

#include <cstdint>
#include <string>
#include <unordered_map>

namespace pergola::host {

inline constexpr std::int64_t kMostClasses = 1'000'000;  // that numbers may count to

// `label` (int64 0-d) or else `answers` (one string) → `targets`, int64 0-d, the class's number,
// and `answers`, its word. Words are compared as answers are (normalize_answer).
class ClassLabelProcessor final : public Processor {
 public:
  [[nodiscard]] static ComponentSpec spec();
  explicit ClassLabelProcessor(const Config& params);

  // Without a vocab_file the classes are the distinct texts, in the order of their bytes; where all
  // are whole numbers below a million, written as "7" and not as "007", which are those of `label`,
  // 0 to the largest. Throws Error{kData} when no text says anything.
  void fit(const Strings& texts) override;
  // Throws Error{kData} for a number or word that is no class, a number where the classes are words
  // of the training split, which nobody has numbered, and for several answers.
  // REQUIRES: vocab_file, or fit() was called.
  void apply(Sample& sample, Rng& rng) const override;
  // num_final_outputs, and `answers`, the words by their numbers
  [[nodiscard]] Value facts() const override;
  // The classes' words, none before fit(), and whether `label` may be their number.
  [[nodiscard]] Value state_dict() const override;
  void load_state_dict(const Value& state) override;

 private:
  void take(Strings words);
  [[nodiscard]] std::int64_t number_of(const Sample& sample) const;

  Strings words_;
  bool takes_numbers_ = true;  // not when the classes are words that fit() has sorted
  std::unordered_map<std::string, std::int64_t> numbers_;
};

}  // namespace pergola::host
