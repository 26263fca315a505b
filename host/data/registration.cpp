// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/registration.h"

#include "host/data/easy_vqa.h"
#include "host/data/processors.h"
#include "pergola/plugin.h"

namespace pergola::host {
namespace {

template <class Class>
Announcement processor(const char* key) {
  const ProcessorFactory factory = &detail::make_from_config<Class, std::unique_ptr<Processor>>;
  return detail::node(Kind::kProcessor, key, factory);
}

template <class Class>
Announcement dataset(const char* key) {
  const DatasetFactory factory = &detail::make_dataset<Class>;
  return detail::node(Kind::kDataset, key, factory);
}

}  // namespace

const std::vector<Announcement>& builtin_data() {
  static const std::vector<Announcement> table{
      dataset<EasyVqa>("easy_vqa"),
      processor<VocabProcessor>("vocab"),
      processor<VqaAnswerProcessor>("vqa_answer"),
      processor<ImageProcessor>("image"),
  };
  return table;
}

}  // namespace pergola::host
