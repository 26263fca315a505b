// SPDX-License-Identifier: BSD-3-Clause
// A Processor turns raw fields of a sample (`question`, `answers`, `image`) into what a model reads
// (`text`, `targets`, `image`); chosen in the config under dataset_config.<dataset>.processors.
#pragma once

#include "pergola/config.h"
#include "pergola/rng.h"
#include "pergola/sample_list.h"

namespace pergola {

class PERGOLA_API Processor {
 public:
  Processor();
  Processor(const Processor&) = delete;
  Processor& operator=(const Processor&) = delete;
  virtual ~Processor();

  // Called once with every text of the training split that the processor will meet, before the
  // first apply(): vocabularies are built here. Throws Error{kData} for texts that it cannot take.
  // [main-thread & once]
  virtual void fit(const Strings& texts);

  // Works in place. `rng` is a function of (seed, epoch, sample): the only source of randomness.
  // Throws Error{kData} for a sample it cannot take.  [any thread, at the same time]
  virtual void apply(Sample& sample, Rng& rng) const = 0;

  // What a model may need to know before it is built, as a table: `text_vocab_size`,
  // `num_final_outputs`, ...; merged over all processors of a data set.  [main-thread & fitted]
  [[nodiscard]] virtual Value facts() const;

  // What fit() learnt and what was read from vocab_file, as a value that JSON can hold: checkpoints
  // have it. By default null: the params say it all. Who overrides fit() overrides both of these.
  // [main-thread & fitted]
  [[nodiscard]] virtual Value state_dict() const;

  // In place of fit(), what state_dict() gave, on a processor with the same params but a vocab_file
  // of "". Throws Error{kCheckpoint} for a state of another form.  [main-thread & once]
  virtual void load_state_dict(const Value& state);
};

}  // namespace pergola
