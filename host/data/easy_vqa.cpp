// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/easy_vqa.h"

#include "host/data/dataset_params.h"
#include "host/data/dataset_parts.h"
#include "host/data/defaults.h"
#include "host/data/images.h"
#include "host/data/processors.h"
#include "host/support/signals.h"
#include "pergola/error.h"
#include "pergola/registry.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <thread>
#include <unordered_map>
#include <utility>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// The keys of `processors`.
void expect_part(const DatasetOptions& options, const fs::path& data_dir, const char* part) {
  const std::string missing = missing_easy_vqa(options.name, data_dir, part);
  if (!missing.empty()) throw Error(ErrorKind::kData, missing);
}

// The file of the split's folder.
QuestionFile read_split(const DatasetOptions& options, const fs::path& data_dir,
                        const char* folder) {
  expect_part(options, data_dir, folder);
  return read_question_file(data_dir / folder / "questions.json");
}

Strings texts_of(const QuestionFile& file, const Strings& texts,
                 std::uint32_t QuestionRow::*index) {
  Strings all;
  all.reserve(file.rows.size());
  for (const QuestionRow& row : file.rows) all.push_back(texts[row.*index]);
  return all;
}

// Runs `work`, and says in its error which row it was about.
template <class Work>
void blame_row(const QuestionFile& file, std::int64_t row, const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    throw Error(error.kind(), row_name(file, row), ": ", error.what());
  }
}

}  // namespace

EasyVqaConfig EasyVqaConfig::parse(const DatasetOptions& options) {
  const Config& config = options.config;
  config.allow_only({"data_dir", "split_train", "processors"});
  EasyVqaConfig result;
  result.data_dir = config.get<std::string>("data_dir", "");
  if (result.data_dir.empty()) result.data_dir = options.data_dir / "easy_vqa";
  result.split_train = SplitTrain::parse(config.table("split_train"), result.split_train);
  const Config processors = config.table("processors");
  processors.allow_only({kTextProcessorKey, kAnswerProcessorKey, kImageProcessorKey});
  result.text_processor = processor_in(processors, kTextProcessorKey, result.data_dir);
  result.answer_processor = processor_in(processors, kAnswerProcessorKey, result.data_dir);
  result.image_processor = processor_in(processors, kImageProcessorKey, result.data_dir);
  return result;
}

ComponentSpec EasyVqa::spec() {
  return {"easy-VQA: 5,000 images of one shape, and questions with 13 answers",
          top_specs(host_dataset_params("easy_vqa"))};
}

EasyVqa::EasyVqa(const DatasetOptions& options) : config_(EasyVqaConfig::parse(options)) {
  expect_known_split(options);
  if (options.state != nullptr) {
    make_processors(options);
    restore(options);
    return;
  }
  QuestionFile train = read_split(options, config_.data_dir, "train");
  make_processors(options);
  fit(train);
  const bool has_own_file = options.type == "test" && config_.split_train.test == 0;
  file_ = has_own_file ? read_split(options, config_.data_dir, "test") : std::move(train);
  check_texts();
  choose_rows(options);
  load_images();
}

void EasyVqa::make_processors(const DatasetOptions& options) {
  const Value* vocab = config_.answer_processor.params.value().find("vocab_file");
  if (options.state == nullptr && vocab != nullptr &&
      *vocab == Value((config_.data_dir / kEasyVqaAnswers).string())) {
    expect_part(options, config_.data_dir, kEasyVqaAnswers);
  }
  text_processor_ = make_processor(options, config_.text_processor, kTextProcessorKey);
  answer_processor_ = make_processor(options, config_.answer_processor, kAnswerProcessorKey);
  image_processor_ = make_processor(options, config_.image_processor, kImageProcessorKey);
}

void EasyVqa::fit(const QuestionFile& train) {
  text_processor_->fit(texts_of(train, train.questions, &QuestionRow::question));
  answer_processor_->fit(texts_of(train, train.answers, &QuestionRow::answer));
  Rng rng(0);
  Sample sample;
  sample.set("answers", Strings{train.answers.front()});
  blame_row(train, train.first_answer_row.front(), [&] { answer_processor_->apply(sample, rng); });
  const bool single_class = sample.has("targets") && sample.tensor("targets").dim() == 0;
  answers_ = Answers(*answer_processor_, single_class);
}

void EasyVqa::restore(const DatasetOptions& options) {
  image_height_ = saved(options, "image_height").as_integer();
  image_width_ = saved(options, "image_width").as_integer();
  answers_ = Answers(*answer_processor_, saved(options, "single_class").as_boolean());
}

Value EasyVqa::state_dict() const {
  return Value::Table{{"image_height", image_height_},
                      {"image_width", image_width_},
                      {"single_class", answers_.single_class()},
                      {"processors", state_of({{kTextProcessorKey, text_processor_.get()},
                                               {kAnswerProcessorKey, answer_processor_.get()},
                                               {kImageProcessorKey, image_processor_.get()}})}};
}

// Every question and answer is tried before training, so that a bad one does not end it half way.
void EasyVqa::check_texts() const {
  Rng rng(0);
  for (std::size_t i = 0; i < file_.questions.size(); ++i) {
    stop_if_asked();
    blame_row(file_, file_.first_question_row[i], [&] {
      Sample sample;
      sample.set("question", file_.questions[i]);
      text_processor_->apply(sample, rng);
    });
  }
  // Only the host's own processor can be asked. Another one throws for what it cannot take: what
  // its `targets` hold is not known here, and class number 0 is as good as any.
  const auto* const known = dynamic_cast<const VqaAnswerProcessor*>(answer_processor_.get());
  for (std::size_t i = 0; i < file_.answers.size(); ++i) {
    const std::string& answer = file_.answers[i];
    blame_row(file_, file_.first_answer_row[i], [&] {
      Sample sample;
      sample.set("answers", Strings{answer});
      answer_processor_->apply(sample, rng);
      if (known == nullptr || known->knows(answer)) return;
      throw Error(ErrorKind::kData, "the answer '", answer,
                  "' is not in the answer vocabulary; add it there, or correct the row");
    });
  }
}

void EasyVqa::choose_rows(const DatasetOptions& options) {
  if (options.type == "test" && config_.split_train.test == 0) {
    rows_.resize(file_.rows.size());
    std::iota(rows_.begin(), rows_.end(), 0);
  } else {
    std::vector<std::int64_t> images;
    for (const QuestionRow& row : file_.rows) images.push_back(row.image);
    rows_ = config_.split_train.rows_of(options.type, images);
  }
  if (rows_.empty()) {
    refuse_empty_split(options, config_.split_train, config_.data_dir.string(), "images");
  }
}

void EasyVqa::load_images() {
  const fs::path folder = file_.path.parent_path() / "images";
  std::vector<fs::path> files;
  std::unordered_map<std::int64_t, std::int64_t> slots;  // image number → index into files
  std::error_code error;
  for (const std::int64_t row : rows_) {
    const std::int64_t image = row_at(row).image;
    const auto [entry, is_new] = slots.try_emplace(image, static_cast<std::int64_t>(files.size()));
    image_slots_.push_back(entry->second);
    if (!is_new) continue;
    files.push_back(folder / concat(image, ".png"));
    stop_if_asked();
    if (fs::exists(files.back(), error)) continue;
    throw Error(ErrorKind::kData, row_name(file_, row), " is about image ", image,
                ", but there is ", "no file ", files.back().string(),
                "; restore the image with `tools/setup --data easy_vqa`, or remove the row");
  }
  constexpr unsigned kMostThreads = 8;
  images_N3HW_ =
      read_images(files, std::clamp(std::thread::hardware_concurrency(), 1U, kMostThreads));
  image_height_ = images_N3HW_.size(2);
  image_width_ = images_N3HW_.size(3);
}

std::int64_t EasyVqa::size() const { return static_cast<std::int64_t>(rows_.size()); }

Sample EasyVqa::get(std::int64_t index, Rng& rng) const {
  PERGOLA_ASSERT(index >= 0 && index < size());
  const std::int64_t row = rows_[static_cast<std::size_t>(index)];
  const QuestionRow& content = row_at(row);
  Sample sample;
  sample.set("question", file_.questions[content.question]);
  sample.set("answers", Strings{file_.answers[content.answer]});
  sample.set("image", images_N3HW_.select(0, image_slots_[static_cast<std::size_t>(index)]));
  sample.set("question_id", scalar_of(row));
  sample.set("image_id", scalar_of(content.image));
  blame_row(file_, row, [&] { process(sample, rng); });
  return sample;
}

void EasyVqa::process(Sample& sample, Rng& rng) const {
  text_processor_->apply(sample, rng);
  if (sample.has("answers")) answer_processor_->apply(sample, rng);
  image_processor_->apply(sample, rng);
  sample.erase("question");  // a string that nobody reads, and that every batch would carry
}

Sample EasyVqa::sample_from(const SampleInputs& inputs, Rng& rng) const {
  expect_inputs(inputs, /*images=*/1, /*features=*/0);
  const fs::path& file = inputs.images.front();
  at::Tensor image_3HW = read_image(file);
  if (image_3HW.size(1) != image_height_ || image_3HW.size(2) != image_width_) {
    throw Error(ErrorKind::kData, "image ", file.string(), " is ", image_3HW.size(2), " x ",
                image_3HW.size(1), " pixels, expected ", image_width_, " x ", image_height_,
                ", the size of those that the model was trained on; scale it to that size");
  }
  Sample sample;
  sample.set("question", inputs.text);
  sample.set("image", std::move(image_3HW));
  process(sample, rng);
  return sample;
}

Value EasyVqa::facts() const {
  Value::Table facts;
  for (const Processor* processor :
       {text_processor_.get(), answer_processor_.get(), image_processor_.get()}) {
    const Value more = processor->facts();
    facts.insert(more.as_table().begin(), more.as_table().end());
  }
  return facts;
}

std::vector<Value> EasyVqa::format_for_prediction(const Report& report) const {
  std::vector<Value> rows = answers_.rows(report);
  if (rows.empty() || !report.batch.has("question_id")) return rows;  // or of sample_from()
  const at::Tensor& ids_B = report.batch.tensor("question_id");
  const fs::path images = fs::absolute(file_.path.parent_path() / "images");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto row = ids_B[static_cast<std::int64_t>(i)].item<std::int64_t>();
    PERGOLA_ASSERT(row >= 0 && row < static_cast<std::int64_t>(file_.rows.size()));
    const QuestionRow& content = row_at(row);
    rows[i]["question_id"] = row;
    rows[i]["image_id"] = content.image;
    rows[i]["question"] = file_.questions[content.question];
    rows[i]["image"] = (images / concat(content.image, ".png")).string();
  }
  add_targets(report.batch, rows);
  return rows;
}

at::Tensor EasyVqa::probabilities(const at::Tensor& scores) const {
  return answers_.probabilities(scores);
}

}  // namespace pergola::host
