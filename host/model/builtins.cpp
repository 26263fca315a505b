// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/builtins.h"

#include "host/model/losses/binary.h"
#include "host/model/losses/classes.h"
#include "host/model/losses/divergence.h"
#include "host/model/losses/embeddings.h"
#include "host/model/losses/multi.h"
#include "host/model/losses/similarity.h"
#include "host/model/metrics/accuracy.h"
#include "host/model/metrics/answer_metrics.h"
#include "host/model/metrics/bleu.h"
#include "host/model/metrics/curves.h"
#include "host/model/metrics/detection_mean_ap.h"
#include "host/model/metrics/f1.h"
#include "host/model/metrics/ranking.h"
#include "host/model/metrics/retrieval.h"
#include "host/model/optimizers/adafactor.h"
#include "host/model/optimizers/adagrad.h"
#include "host/model/optimizers/adam.h"
#include "host/model/optimizers/lamb.h"
#include "host/model/optimizers/mmf_adam_w.h"
#include "host/model/optimizers/sgd.h"
#include "host/model/schedulers/one_cycle.h"
#include "host/model/schedulers/plateau.h"
#include "host/model/schedulers/steps.h"
#include "host/model/schedulers/warmup.h"
#include "pergola/plugin.h"

namespace pergola::host {
std::vector<Announcement> builtin_model_parts() {
  using namespace detail;
  return {loss_node<LogitBce>("logit_bce"),
          loss_node<TripleLogitBce>("triple_logit_bce"),
          loss_node<Bce>("bce"),
          loss_node<AttentionSupervision>("attention_supervision"),
          loss_node<M4cDecodingBceWithMask>("m4c_decoding_bce_with_mask"),
          loss_node<CrossEntropy>("cross_entropy"),
          loss_node<NllLoss>("nll_loss"),
          loss_node<SoftLabelCrossEntropy>("soft_label_cross_entropy"),
          loss_node<LabelSmoothingCrossEntropy>("label_smoothing_cross_entropy"),
          loss_node<CaptionCrossEntropy>("caption_cross_entropy"),
          loss_node<WeightedSoftmax>("weighted_softmax"),
          loss_node<SoftmaxKldiv>("softmax_kldiv"),
          loss_node<Wrong>("wrong"),
          loss_node<BceKlCombined>("bce_kl_combined"),
          loss_node<BceKl>("bce_kl"),
          loss_node<Mse>("mse"),
          loss_node<CosineEmbedding>("cos_emb_loss"),
          loss_node<InBatchHinge>("in_batch_hinge"),
          loss_node<Contrastive>("contrastive_loss"),
          loss_node<MultiSimilarity>("ms_loss"),
          loss_node<RefinerMs>("refiner_ms"),
          loss_node<RefinerContrastive>("refiner_contrastive_loss"),
          loss_node<Multi>("multi"),
          metric_node<Accuracy>("accuracy"),
          metric_node<TopkAccuracy>("topk_accuracy"),
          metric_node<VqaAccuracy>("vqa_accuracy"),
          metric_node<VqaEvalAiAccuracy>("vqa_evalai_accuracy"),
          metric_node<TextVqaAccuracy>("textvqa_accuracy"),
          metric_node<StVqaAnls>("stvqa_anls"),
          metric_node<StVqaAccuracy>("stvqa_accuracy"),
          metric_node<StVqaAccuracy>("ocrvqa_accuracy"),
          metric_node<CaptionBleu4>("caption_bleu4"),
          metric_node<DetectionMeanAp>("detection_mean_ap"),
          metric_node<Ranking<kRecallAt1>>(kRecallAt1.key),
          metric_node<Ranking<kRecallAt5>>(kRecallAt5.key),
          metric_node<Ranking<kRecallAt10>>(kRecallAt10.key),
          metric_node<Ranking<kMeanRank>>(kMeanRank.key),
          metric_node<Ranking<kMeanReciprocalRank>>(kMeanReciprocalRank.key),
          metric_node<Retrieval<kTextAtK>>(kTextAtK.key),
          metric_node<Retrieval<kTextAt1>>(kTextAt1.key),
          metric_node<Retrieval<kTextAt5>>(kTextAt5.key),
          metric_node<Retrieval<kTextAt10>>(kTextAt10.key),
          metric_node<Retrieval<kImageAt1>>(kImageAt1.key),
          metric_node<Retrieval<kImageAt5>>(kImageAt5.key),
          metric_node<Retrieval<kImageAt10>>(kImageAt10.key),
          metric_node<F1<kF1>>(kF1.key),
          metric_node<F1<kMacroF1>>(kMacroF1.key),
          metric_node<F1<kMicroF1>>(kMicroF1.key),
          metric_node<F1<kBinaryF1>>(kBinaryF1.key),
          metric_node<F1<kLabelsF1>>(kLabelsF1.key),
          metric_node<F1<kLabelsMicroF1>>(kLabelsMicroF1.key),
          metric_node<F1<kLabelsMacroF1>>(kLabelsMacroF1.key),
          metric_node<F1<kF1All>>(kF1All.key),
          metric_node<F1<kBinaryF1All>>(kBinaryF1All.key),
          metric_node<F1<kMacroF1All>>(kMacroF1All.key),
          metric_node<F1<kMicroF1All>>(kMicroF1All.key),
          metric_node<Curve<kRocAuc>>(kRocAuc.key),
          metric_node<Curve<kMacroRocAuc>>(kMacroRocAuc.key),
          metric_node<Curve<kMicroRocAuc>>(kMicroRocAuc.key),
          metric_node<Curve<kAp>>(kAp.key),
          metric_node<Curve<kMacroAp>>(kMacroAp.key),
          metric_node<Curve<kMicroAp>>(kMicroAp.key),
          metric_node<Curve<kBinaryAp>>(kBinaryAp.key),
          metric_node<Curve<kRecallAtPrecision>>(kRecallAtPrecision.key),
          optimizer_node<Sgd>("sgd"),
          optimizer_node<Adam>("adam"),
          optimizer_node<AdamW>("adamw"),
          optimizer_node<Adamax>("adamax"),
          optimizer_node<Nadam>("nadam"),
          optimizer_node<Adagrad>("adagrad"),
          optimizer_node<RmsProp>("rmsprop"),
          optimizer_node<Lamb>("lamb"),
          optimizer_node<Adafactor>("adafactor"),
          optimizer_node<MmfAdamW>("adam_w"),
          optimizer_node<MmfAdamWSkip>("adam_w_skip_params_with_zero_grad"),
          scheduler_node<StepsScheduler>("pythia"),
          scheduler_node<MultiStepScheduler>("multi_step"),
          scheduler_node<WarmupLinearScheduler>("warmup_linear"),
          scheduler_node<WarmupCosineScheduler>("warmup_cosine"),
          scheduler_node<CosineWithRestartsScheduler>("cosine_with_restarts"),
          scheduler_node<PolynomialScheduler>("polynomial"),
          scheduler_node<ConstantScheduler>("constant"),
          scheduler_node<StepScheduler>("step"),
          scheduler_node<ExponentialScheduler>("exponential"),
          scheduler_node<OneCycleScheduler>("one_cycle"),
          scheduler_node<PlateauScheduler>("reduce_on_plateau")};
}

}  // namespace pergola::host
