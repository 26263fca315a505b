// SPDX-License-Identifier: BSD-3-Clause
// Data set `image_text`: a user's own texts with images or region features, from JSON Lines files.
// configs/README.md has the rows and the config. After the constructor it is constant.
//
// The rows of a split are read and parsed once at the start, so that a row of another form does not
// end a training half way; what is kept is their text (json_lines.h). With check_rows, which costs
// some ten microseconds a row, the files that they name are looked for as well, and the processors
// of texts and answers tried. Images and features are read when a sample is asked for.
// Legend: B = batch, K = images of a row, H, W = height and width in pixels, R = max_features, D =
// width of a region's features, A = answers or classes.
#pragma once

#include "host/data/answers.h"
#include "host/data/data_folder.h"
#include "host/data/image_text_config.h"
#include "host/data/image_text_row.h"
#include "host/data/json_lines.h"
#include "pergola/component.h"
#include "pergola/dataset.h"
#include "pergola/processor.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pergola::host {

class ImageText final : public Dataset {
 public:
  [[nodiscard]] static ComponentSpec spec();
  // Throws Error{kData} that names file and line of the row that is wrong, Error{kConfig} as
  // ImageTextConfig::parse does, and for a split that is empty.
  explicit ImageText(const DatasetOptions& options);

  [[nodiscard]] std::int64_t size() const override;
  // What the processors made of the text; `image` float [3, H, W], of K > 1 images [K, 3, H, W];
  // for each feature file i `image_feature_<i>` [R, D] of feature_dtype and the group
  // `image_info_<i>` with `max_features`, how many regions of them there are; with `paired` all
  // that in the groups `img0` and `img1`, with i = 0. `targets` and `answers`, unless the split has
  // none. `row`, int64 0-d.
  [[nodiscard]] Sample get(std::int64_t index, Rng& rng) const override;
  // Those of the processors; image_height, image_width; image_feature_dim and visual_embedding_dim,
  // both D.
  [[nodiscard]] Value facts() const override;
  // {id, text, image, answer, probability, target}: id is the line's number where the row has none,
  // `image` the file, or an array of them, and `target` what is right; both only where there are
  // such. {} when the answer processor tells no `answers`.
  [[nodiscard]] std::vector<Value> format_for_prediction(const Report& report) const override;
  [[nodiscard]] at::Tensor probabilities(const at::Tensor& scores) const override;
  // The states of the processors, and how many images and features of which size a sample has.
  [[nodiscard]] Value state_dict() const override;
  [[nodiscard]] Sample sample_from(const SampleInputs& inputs, Rng& rng) const override;

 private:
  // What all rows of a split have alike.
  struct Layout {
    std::size_t images = 0;
    std::size_t features = 0;
    bool has_target = false;
  };

  // Of the files of a sample.
  using Paths = std::vector<std::filesystem::path>;

  void make_processors(const DatasetOptions& options);
  void restore(const DatasetOptions& options);
  // Parses all of lines_, makes sure that they are alike, and hands each row to `use`.
  template <class Use>
  void read_rows(const Use& use);
  void check_layout(std::int64_t row, const ImageTextRow& content) const;
  // From lines_, which are train's. `groups`: for each row, what it is about.
  void fit(std::vector<std::int64_t>& groups);
  void expect_answers() const;
  void choose_rows(const DatasetOptions& options, const std::vector<std::int64_t>& groups);
  void measure_first_row(const DatasetOptions& options);
  void check_row(std::int64_t row) const;

  // Each throws Error{kData} without the place; blame() adds it.
  [[nodiscard]] Sample make_sample(const ImageTextRow& content, const Paths& images,
                                   const Paths& features, Rng& rng) const;
  void set_text(const ImageTextRow& content, Sample& sample, Rng& rng) const;
  void set_target(const ImageTextRow& content, Sample& sample, Rng& rng) const;
  void set_images(const Paths& files, std::vector<Sample>& places, Rng& rng) const;
  void set_features(const Paths& files, std::vector<Sample>& places) const;
  [[nodiscard]] at::Tensor load_image(const std::filesystem::path& file) const;

  ImageTextConfig config_;
  JsonLines lines_;                 // of the file that the split is in
  Layout layout_;                   // of its rows
  std::vector<std::int64_t> rows_;  // of lines_; ascending
  std::optional<DataFolder> image_folder_;
  std::optional<DataFolder> feature_folder_;
  bool resize_ = true;                // images to the config's size? All have it otherwise
  std::vector<std::int64_t> widths_;  // D of each feature file of a row
  std::unique_ptr<Processor> text_processor_;
  std::unique_ptr<Processor> answer_processor_;
  std::unique_ptr<Processor> image_processor_;
  bool has_answers_ = false;  // has train targets?
  Answers answers_;
};

}  // namespace pergola::host
