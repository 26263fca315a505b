// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/image_text.h"

#include "host/data/dataset_params.h"
#include "host/data/dataset_parts.h"
#include "host/data/images.h"
#include "host/data/npy.h"
#include "host/support/signals.h"
#include "pergola/error.h"
#include "pergola/registry.h"

#include <ATen/ATen.h>

#include <numeric>
#include <system_error>
#include <utility>

namespace pergola::host {
namespace {

// The keys of `processors`.
constexpr std::int64_t kStopEvery = 1'000;  // rows, between looks for a stop signal

// Rows about one image are one group: a model that has trained on some of them would be validated
// on a picture that it knows. FNV-1a of the path, since a std::hash may be another one elsewhere.
std::int64_t group_of(const ImageTextRow& content) {
  const std::string& name = content.images.empty() ? content.features.front() : content.images[0];
  std::uint64_t hash = 14'695'981'039'346'656'037ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1'099'511'628'211ULL;
  return static_cast<std::int64_t>(hash);
}

void expect_file(const DatasetOptions& options, const std::filesystem::path& file,
                 const std::string& split) {
  std::error_code error;
  if (std::filesystem::exists(file, error) || error)
    return;  // what else is wrong, reading it tells
  throw Error(ErrorKind::kData, "data set '", options.name, "' has no file ", file.string(),
              "; write one JSON object a line there, or set dataset_config.", options.name,
              ".data_dir or dataset_config.", options.name, ".annotations.", split,
              " to where it is");
}

}  // namespace

ComponentSpec ImageText::spec() {
  return {
      "texts with images or region features, from JSON Lines: id, text, image, features, and "
      "label, "
      "answer or answers",
      top_specs(host_dataset_params("image_text"))};
}

ImageText::ImageText(const DatasetOptions& options) : config_(ImageTextConfig::parse(options)) {
  make_processors(options);
  if (options.state != nullptr) {
    restore(options);
    return;
  }
  expect_file(options, config_.train.annotations, "train");
  expect_file(options, config_.split.annotations, options.type);
  std::vector<std::int64_t> groups;
  lines_ = JsonLines(config_.train.annotations);
  fit(groups);
  if (config_.split.annotations != config_.train.annotations) {
    lines_ = JsonLines(config_.split.annotations);
    groups.clear();
    read_rows([&](const ImageTextRow& content) { groups.push_back(group_of(content)); });
    expect_answers();
  }
  choose_rows(options, groups);
  measure_first_row(options);
  if (!config_.check_rows) return;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if (i % kStopEvery == 0) stop_if_asked();
    check_row(rows_[i]);
  }
}

void ImageText::make_processors(const DatasetOptions& options) {
  text_processor_ = make_processor(options, config_.text_processor, kTextProcessorKey);
  answer_processor_ = make_processor(options, config_.answer_processor, kAnswerProcessorKey);
  image_processor_ = make_processor(options, config_.image_processor, kImageProcessorKey);
}

Value ImageText::state_dict() const {
  return Value::Table{{"images", static_cast<std::int64_t>(layout_.images)},
                      {"features", static_cast<std::int64_t>(layout_.features)},
                      {"image_height", config_.image_height},
                      {"image_width", config_.image_width},
                      {"feature_widths", Value::Array(widths_.begin(), widths_.end())},
                      {"has_answers", has_answers_},
                      {"single_class", answers_.single_class()},
                      {"processors", state_of({{kTextProcessorKey, text_processor_.get()},
                                               {kAnswerProcessorKey, answer_processor_.get()},
                                               {kImageProcessorKey, image_processor_.get()}})}};
}

void ImageText::restore(const DatasetOptions& options) {
  layout_.images = static_cast<std::size_t>(saved(options, "images").as_integer());
  layout_.features = static_cast<std::size_t>(saved(options, "features").as_integer());
  if (config_.image_height == 0) {
    config_.image_height = saved(options, "image_height").as_integer();
    config_.image_width = saved(options, "image_width").as_integer();
    resize_ = false;
  }
  for (const Value& width : saved(options, "feature_widths").as_array()) {
    widths_.push_back(width.as_integer());
  }
  if (widths_.size() != layout_.features) {
    throw Error(ErrorKind::kCheckpoint, "what the checkpoint has of data set '", options.name,
                "' are ", widths_.size(), " feature_widths, expected ", layout_.features,
                "; use another checkpoint");
  }
  has_answers_ = saved(options, "has_answers").as_boolean();
  if (has_answers_) {
    answers_ = Answers(*answer_processor_, saved(options, "single_class").as_boolean());
  }
}

template <class Use>
void ImageText::read_rows(const Use& use) {
  for (std::int64_t row = 0; row < lines_.size(); ++row) {
    if (row % kStopEvery == 0) stop_if_asked();
    ImageTextRow content = parse_image_text_row(lines_, row);
    const bool has_target = content.target != ImageTextRow::Target::kNone;
    if (row == 0) layout_ = {content.images.size(), content.features.size(), has_target};
    check_layout(row, content);
    use(std::move(content));
  }
}

void ImageText::fit(std::vector<std::int64_t>& groups) {
  Strings texts;
  Strings answers;
  read_rows([&](ImageTextRow content) {
    groups.push_back(group_of(content));
    texts.push_back(std::move(content.text));
    if (content.class_number) answers.push_back(std::to_string(*content.class_number));
    for (std::string& answer : content.answers) answers.push_back(std::move(answer));
  });
  text_processor_->fit(texts);
  has_answers_ = layout_.has_target;
  if (!has_answers_) return;  // a model with losses of its own may learn from such rows
  answer_processor_->fit(answers);
  Rng rng(0);
  Sample sample;
  blame(lines_, 0, [&] { set_target(parse_image_text_row(lines_, 0), sample, rng); });
  const bool single_class = sample.has("targets") && sample.tensor("targets").dim() == 0;
  answers_ = Answers(*answer_processor_, single_class);
}

void ImageText::expect_answers() const {
  if (!layout_.has_target || has_answers_) return;
  throw Error(ErrorKind::kData, lines_.place(0), ": the row has a target, but those of ",
              config_.train.annotations.string(), ", from which the answers are learnt, have none",
              "; add label, answer or answers there");
}

void ImageText::choose_rows(const DatasetOptions& options,
                            const std::vector<std::int64_t>& groups) {
  const SplitTrain& parts = config_.split_train;
  if (config_.of_train && (parts.val > 0 || parts.test > 0)) {
    rows_ = parts.rows_of(options.type, groups);
  } else {
    rows_.resize(groups.size());
    std::iota(rows_.begin(), rows_.end(), 0);
  }
  if (rows_.empty()) refuse_empty_split(options, parts, lines_.file().string(), "rows");
}

void ImageText::check_layout(std::int64_t row, const ImageTextRow& content) const {
  const auto refuse = [&](const auto&... parts) {
    throw Error(ErrorKind::kData, lines_.place(row), ": the row has ", parts...);
  };
  constexpr const char* kAlike = "; all rows of a split must be alike";
  const auto check_count = [&](const char* key, std::size_t count, std::size_t first) {
    if (count != first) refuse(count, " of ", key, ", but the first row has ", first, kAlike);
    if (!config_.paired || count == 0 || count == 2) return;
    refuse(count, " of ", key,
           ", expected two, since paired = true; correct the row, or set it to false");
  };
  check_count("image", content.images.size(), layout_.images);
  check_count("features", content.features.size(), layout_.features);
  const bool has_target = content.target != ImageTextRow::Target::kNone;
  if (has_target == layout_.has_target) return;
  constexpr const char* kTargets = "label, answer and answers";
  if (has_target) refuse("one of ", kTargets, ", but the first row has none", kAlike);
  refuse("none of ", kTargets, ", but the first row has one", kAlike);
}

void ImageText::measure_first_row(const DatasetOptions& options) {
  const std::string prefix = concat("dataset_config.", options.name, ".");
  const std::string split = config_.of_train ? "train" : options.type;
  if (layout_.images > 0) image_folder_.emplace(config_.split.images, prefix + "images." + split);
  if (layout_.features > 0) {
    feature_folder_.emplace(config_.split.features, prefix + "features." + split);
  }
  const std::int64_t row = rows_.front();
  const ImageTextRow first = parse_image_text_row(lines_, row);
  blame(lines_, row, [&] {
    for (const std::string& name : first.features) {
      const at::Tensor features_RD = read_regions(feature_folder_->find(name), 1).features_RD;
      widths_.push_back(config_.feature_dim > 0 ? config_.feature_dim : features_RD.size(1));
    }
    if (config_.image_height > 0 || first.images.empty()) return;
    const at::Tensor image_3HW = read_image(image_folder_->find(first.images.front()));
    config_.image_height = image_3HW.size(1);
    config_.image_width = image_3HW.size(2);
    resize_ = false;
  });
}

void ImageText::check_row(std::int64_t row) const {
  const ImageTextRow content = parse_image_text_row(lines_, row);
  blame(lines_, row, [&] {
    Rng rng(0);
    Sample sample;
    set_text(content, sample, rng);
    set_target(content, sample, rng);
    for (const std::string& name : content.images) (void)image_folder_->find(name);
    for (const std::string& name : content.features) (void)feature_folder_->find(name);
  });
}

}  // namespace pergola::host
