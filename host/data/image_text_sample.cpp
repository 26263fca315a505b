// SPDX-License-Identifier: BSD-3-Clause
// What image_text makes of a row, and of a model's scores for it.
#include "host/data/dataset_parts.h"
#include "host/data/image_text.h"
#include "host/data/images.h"
#include "host/data/npy.h"
#include "host/data/processors.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> find_all(const Strings& names, const std::optional<DataFolder>& folder) {
  std::vector<fs::path> files;
  for (const std::string& name : names) files.push_back(folder->find(name));
  return files;
}

}  // namespace

std::int64_t ImageText::size() const { return static_cast<std::int64_t>(rows_.size()); }

Sample ImageText::get(std::int64_t index, Rng& rng) const {
  PERGOLA_ASSERT(index >= 0 && index < size());
  const std::int64_t row = rows_[static_cast<std::size_t>(index)];
  const ImageTextRow content = parse_image_text_row(lines_, row);
  Sample sample;
  blame(lines_, row, [&] {
    sample = make_sample(content, find_all(content.images, image_folder_),
                         find_all(content.features, feature_folder_), rng);
  });
  sample.set("row", scalar_of(row));
  return sample;
}

Sample ImageText::sample_from(const SampleInputs& inputs, Rng& rng) const {
  expect_inputs(inputs, layout_.images, layout_.features);
  ImageTextRow content;
  content.text = inputs.text;
  return make_sample(content, inputs.images, inputs.features, rng);
}

Sample ImageText::make_sample(const ImageTextRow& content, const Paths& images,
                              const Paths& features, Rng& rng) const {
  Sample sample;
  set_text(content, sample, rng);
  set_target(content, sample, rng);
  // Where the fields of images go: the sample itself, or a group for each of two.
  std::vector<Sample> places(config_.paired ? 2 : 1);
  if (!config_.paired) std::swap(places.front(), sample);
  set_images(images, places, rng);
  set_features(features, places);
  if (!config_.paired) std::swap(places.front(), sample);
  for (std::size_t i = 0; config_.paired && i < places.size(); ++i) {
    sample.set(concat("img", i), std::make_shared<const Sample>(std::move(places[i])));
  }
  return sample;
}

void ImageText::set_text(const ImageTextRow& content, Sample& sample, Rng& rng) const {
  sample.set("question", content.text);
  text_processor_->apply(sample, rng);
  sample.erase("question");  // a string that nobody reads, and that every batch would carry
}

void ImageText::set_target(const ImageTextRow& content, Sample& sample, Rng& rng) const {
  if (content.target == ImageTextRow::Target::kNone) return;
  const auto* const soft = dynamic_cast<const VqaAnswerProcessor*>(answer_processor_.get());
  if (content.target == ImageTextRow::Target::kLabel && soft != nullptr) {
    // Number 0 of its words is <unk>, and one that it does not know would train towards nothing.
    if (content.class_number) {
      throw Error(ErrorKind::kData, "label is the number ", *content.class_number,
                  ", but the answer processor 'vqa_answer' takes words; take 'class_label', or ",
                  "write the word");
    }
    if (!soft->knows(content.answers.front())) {
      throw Error(ErrorKind::kData, "the label '", content.answers.front(),
                  "' is not in the answer vocabulary; add it there, or correct the row");
    }
  }
  if (content.class_number) sample.set("label", scalar_of(*content.class_number));
  sample.set("answers", content.class_number ? Strings{std::to_string(*content.class_number)}
                                             : content.answers);
  answer_processor_->apply(sample, rng);
  sample.erase("label");  // `targets` has it
}

at::Tensor ImageText::load_image(const std::filesystem::path& file) const {
  at::Tensor image_3HW = read_image(file);
  if (resize_) {
    return resize_image(image_3HW, config_.image_height, config_.image_width);
  }
  if (image_3HW.size(1) == config_.image_height && image_3HW.size(2) == config_.image_width) {
    return image_3HW;
  }
  throw Error(ErrorKind::kData, "image ", file.string(), " is ", image_3HW.size(2), " x ",
              image_3HW.size(1), " pixels, but the first one is ", config_.image_width, " x ",
              config_.image_height, "; set image_size, to which all are resized");
}

void ImageText::set_images(const Paths& files, std::vector<Sample>& places, Rng& rng) const {
  if (files.empty()) return;
  if (files.size() == places.size()) {
    for (std::size_t i = 0; i < places.size(); ++i) {
      places[i].set("image", load_image(files[i]));
      image_processor_->apply(places[i], rng);
    }
    return;
  }
  std::vector<at::Tensor> images;
  for (const std::filesystem::path& file : files) {
    Sample one;
    one.set("image", load_image(file));
    image_processor_->apply(one, rng);
    images.push_back(one.tensor("image"));
  }
  places.front().set("image", at::stack(images));
}

void ImageText::set_features(const Paths& files, std::vector<Sample>& places) const {
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::filesystem::path& file = files[i];
    Regions regions = read_regions(file, config_.max_features, config_.feature_type);
    if (regions.features_RD.size(1) != widths_[i]) {
      throw Error(
          ErrorKind::kData, "features ", file.string(), " are ", regions.features_RD.size(1),
          " wide, expected ", widths_[i],
          config_.feature_dim > 0 ? ", the feature_dim of the config" : " as in the first row",
          "; extract all with one detector, or set feature_dim");
    }
    Sample& place = config_.paired ? places[i] : places.front();
    const std::size_t number = config_.paired ? 0 : i;
    Sample info;
    info.set("max_features", scalar_of(regions.count));
    place.set(concat("image_feature_", number), std::move(regions.features_RD));
    place.set(concat("image_info_", number), std::make_shared<const Sample>(std::move(info)));
  }
}

Value ImageText::facts() const {
  Value::Table facts;
  const auto add = [&facts](const Value& more) {
    facts.insert(more.as_table().begin(), more.as_table().end());
  };
  add(text_processor_->facts());
  add(image_processor_->facts());
  if (has_answers_) add(answer_processor_->facts());
  if (layout_.images > 0) {
    add(Value::Table{{"image_height", config_.image_height}, {"image_width", config_.image_width}});
  }
  if (!widths_.empty()) {
    add(Value::Table{{"image_feature_dim", widths_[0]}, {"visual_embedding_dim", widths_[0]}});
  }
  return facts;
}

std::vector<Value> ImageText::format_for_prediction(const Report& report) const {
  std::vector<Value> rows = answers_.rows(report);
  if (rows.empty() || !report.batch.has("row")) return rows;  // or of sample_from()
  const at::Tensor& row_B = report.batch.tensor("row");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto row = row_B[static_cast<std::int64_t>(i)].item<std::int64_t>();
    ImageTextRow content = parse_image_text_row(lines_, row);
    rows[i]["id"] = content.id.is_null() ? Value(lines_.line_number(row)) : std::move(content.id);
    rows[i]["text"] = std::move(content.text);
    Value::Array images;
    for (const fs::path& file : find_all(content.images, image_folder_)) {
      images.emplace_back(file.string());
    }
    if (images.empty()) continue;
    rows[i]["image"] = images.size() == 1 ? images.front() : Value(std::move(images));
  }
  add_targets(report.batch, rows);
  return rows;
}

at::Tensor ImageText::probabilities(const at::Tensor& scores) const {
  return answers_.probabilities(scores);
}

}  // namespace pergola::host
