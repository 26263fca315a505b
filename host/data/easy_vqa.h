// SPDX-License-Identifier: BSD-3-Clause
// Data set `easy_vqa`: questions about images of one coloured shape (the PyPI package easy-vqa).
// Its folder holds {train,test}/questions.json, {train,test}/images/<number>.png and answers.txt.
// All that can be wrong with the files is found in the constructor; after it an EasyVqa is
// constant.
//
// `val` is a part of train, chosen by image: most images have about ten questions, and a model that
// has trained on some of them would be validated on pictures that it knows. So is `test` where the
// config has split_train.test; otherwise it is the published one. The vocabulary is that
// of all questions of train, whatever the split, so that one model fits all of them.
// Legend: N = images, B = batch, A = answers in the vocabulary, H, W = height and width in pixels.
#pragma once

#include "host/data/answers.h"
#include "host/data/dataset_parts.h"
#include "host/data/question_file.h"
#include "pergola/component.h"
#include "pergola/dataset.h"
#include "pergola/processor.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace pergola::host {

// dataset_config.easy_vqa (defaults: easy_vqa_defaults()), with paths resolved.
struct EasyVqaConfig {
  std::filesystem::path data_dir;  // of the set; when empty in the config, <env.data_dir>/easy_vqa
  SplitTrain split_train = {.val = 0.1};  // of train's images
  TypedConfig text_processor;             // from `question`
  TypedConfig answer_processor;           // from `answers`
  TypedConfig image_processor;            // from `image`, uint8 [3, H, W]

  // A relative vocab_file of a processor is one in data_dir.
  [[nodiscard]] static EasyVqaConfig parse(const DatasetOptions& options);
};

class EasyVqa final : public Dataset {
 public:
  [[nodiscard]] static ComponentSpec spec();
  // Reads the questions, decodes all images of the split and tries each distinct question and
  // answer. Throws Error{kData} that names the file and row of what is wrong, Error{kConfig} for a
  // split that does not exist or is empty.
  explicit EasyVqa(const DatasetOptions& options);

  [[nodiscard]] std::int64_t size() const override;
  // What the processors made, by default `text`, `text_len`, `targets` and `image`; `answers`, the
  // one that is written there (metrics of texts read it); and, int64 0-d, `question_id` (the row in
  // questions.json) and `image_id` (the number in the image's name).
  [[nodiscard]] Sample get(std::int64_t index, Rng& rng) const override;
  // Those of the processors.
  [[nodiscard]] Value facts() const override;
  // {question_id, image_id, question, image, answer, probability, target}, `image` being the file
  // and `target` what is right; {} when the answer processor tells no `answers`.
  [[nodiscard]] std::vector<Value> format_for_prediction(const Report& report) const override;
  [[nodiscard]] at::Tensor probabilities(const at::Tensor& scores) const override;
  // The states of the processors, and the images' size.
  [[nodiscard]] Value state_dict() const override;
  // Of a text and an image of the data's size, PNG or JPEG.
  [[nodiscard]] Sample sample_from(const SampleInputs& inputs, Rng& rng) const override;

 private:
  void make_processors(const DatasetOptions& options);
  void fit(const QuestionFile& train);
  void restore(const DatasetOptions& options);
  void check_texts() const;
  void choose_rows(const DatasetOptions& options);
  void load_images();
  // Turns `question`, `answers` (if there are any) and `image` into what get() returns.
  void process(Sample& sample, Rng& rng) const;
  [[nodiscard]] const QuestionRow& row_at(std::int64_t row) const {
    return file_.rows[static_cast<std::size_t>(row)];
  }

  EasyVqaConfig config_;
  QuestionFile file_;                      // of the folder that the split is in
  std::vector<std::int64_t> rows_;         // of file_; ascending
  std::vector<std::int64_t> image_slots_;  // for each of rows_: its image in images_
  at::Tensor images_N3HW_;
  std::int64_t image_height_ = 0;
  std::int64_t image_width_ = 0;
  Answers answers_;
  std::unique_ptr<Processor> text_processor_;
  std::unique_ptr<Processor> answer_processor_;
  std::unique_ptr<Processor> image_processor_;
};

}  // namespace pergola::host
