// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/registration.h"

#include "host/data/easy_vqa.h"
#include "host/data/processors.h"
#include "pergola/plugin.h"

namespace pergola::host {
const std::vector<Announcement>& builtin_data() {
  static const std::vector<Announcement> table{
      detail::dataset_node<EasyVqa>("easy_vqa"),
      detail::processor_node<VocabProcessor>("vocab"),
      detail::processor_node<VqaAnswerProcessor>("vqa_answer"),
      detail::processor_node<ImageProcessor>("image"),
  };
  return table;
}

}  // namespace pergola::host
