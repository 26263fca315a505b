// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/registration.h"

#include "host/data/bbox_processor.h"
#include "host/data/bert_processors.h"
#include "host/data/class_label.h"
#include "host/data/easy_vqa.h"
#include "host/data/image_text.h"
#include "host/data/processors.h"
#include "pergola/plugin.h"

namespace pergola::host {
const std::vector<Announcement>& builtin_data() {
  static const std::vector<Announcement> table{
      detail::dataset_node<EasyVqa>("easy_vqa"),
      detail::dataset_node<ImageText>("image_text"),
      detail::processor_node<VocabProcessor>("vocab"),
      detail::processor_node<VqaAnswerProcessor>("vqa_answer"),
      detail::processor_node<ClassLabelProcessor>("class_label"),
      detail::processor_node<ImageProcessor>("image"),
      detail::processor_node<BertTokenizerProcessor>("bert_tokenizer"),
      detail::processor_node<MaskedTokenProcessor>("masked_token"),
      detail::processor_node<TransformerBboxProcessor>("transformer_bbox"),
  };
  return table;
}

}  // namespace pergola::host
