// SPDX-License-Identifier: BSD-3-Clause
// Numbers of fields are those of tensorboard/compat/proto/{event,summary,histogram,tensor}.proto
// and tensorboard/plugins/hparams/plugin_data.proto.
#include "host/train/event_message.h"

#include "host/train/protobuf.h"

#include <cmath>

namespace pergola::host {
namespace {

namespace event {
enum Field { kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7 };
}
namespace summary {
enum Field { kValue = 1 };
}
namespace summary_value {
enum Field { kTag = 1, kSimpleValue = 2, kHisto = 5, kTensor = 8, kMetadata = 9 };
}

ProtoWriter event_at(double time, std::int64_t step) {
  ProtoWriter event;
  event.add_double(event::kWallTime, time);
  event.add_varint(event::kStep, static_cast<std::uint64_t>(step));
  return event;
}

std::string event_with(ProtoWriter event, const ProtoWriter& values) {
  event.add_message(event::kSummary, values);
  return event.bytes();
}

// A tensor of no numbers, float32 of shape [0]: the plugin reads its metadata alone, and a point
// without a value would not be kept.
ProtoWriter empty_tensor() {
  ProtoWriter dimension;
  dimension.add_varint(1, 0);  // size
  ProtoWriter shape;
  shape.add_message(2, dimension);  // dim
  ProtoWriter tensor;
  tensor.add_varint(1, 1);  // dtype: DT_FLOAT
  tensor.add_message(2, shape);
  return tensor;
}

// An event with one of HParamsPluginData's messages, which stands in the metadata of its tag.
std::string hparams_event(double time, std::string_view tag, int field,
                          const ProtoWriter& message) {
  ProtoWriter content;  // its version is 0, as is that of a message which leaves it out
  content.add_message(field, message);
  ProtoWriter plugin;
  plugin.add_string(1, "hparams");
  plugin.add_message(2, content);
  ProtoWriter metadata;
  metadata.add_message(1, plugin);
  ProtoWriter value;
  value.add_string(summary_value::kTag, tag);
  value.add_message(summary_value::kMetadata, metadata);
  value.add_message(summary_value::kTensor, empty_tensor());
  ProtoWriter values;
  values.add_message(summary::kValue, value);
  return event_with(event_at(time, /*step=*/0), values);
}

// google.protobuf.Value
ProtoWriter struct_value(const Value& value) {
  ProtoWriter result;
  switch (value.type()) {
    case Value::Type::kInteger:
      result.add_double(2, static_cast<double>(value.as_integer()));
      break;
    case Value::Type::kFloat:
      if (!std::isfinite(value.as_float())) {  // JSON, which the plugin makes of it, has none
        result.add_string(3, to_string(value));
        break;
      }
      result.add_double(2, value.as_float());
      break;
    case Value::Type::kString:
      result.add_string(3, value.as_string());
      break;
    case Value::Type::kBoolean:
      result.add_varint(4, value.as_boolean() ? 1 : 0);
      break;
    default:
      result.add_string(3, to_string(value));
      break;
  }
  return result;
}

// The tags of a Summary's values; false when it is none.
bool read_tags(std::string_view message, std::vector<std::string>& tags) {
  ProtoReader values(message);
  while (const auto value = values.next()) {
    if (value->number != summary::kValue) continue;
    ProtoReader fields(value->bytes);
    while (const auto field = fields.next()) {
      if (field->number == summary_value::kTag) tags.emplace_back(field->bytes);
    }
    if (fields.malformed()) return false;
  }
  return !values.malformed();
}

}  // namespace

std::string encode_file_version(double time) {
  ProtoWriter event = event_at(time, 0);
  event.add_string(event::kFileVersion, "brain.Event:2");
  return event.bytes();
}

std::string encode_start(double time, std::int64_t step) {
  ProtoWriter session;
  session.add_varint(1, 1);  // status: START
  ProtoWriter event = event_at(time, step);
  event.add_message(event::kSessionLog, session);
  return event.bytes();
}

std::string encode_scalars(double time, std::int64_t step,
                           const std::map<std::string, double>& numbers) {
  ProtoWriter values;
  for (const auto& [tag, number] : numbers) {
    ProtoWriter value;
    value.add_string(summary_value::kTag, tag);
    value.add_float(summary_value::kSimpleValue, static_cast<float>(number));
    values.add_message(summary::kValue, value);
  }
  return event_with(event_at(time, step), values);
}

std::string encode_histogram(double time, std::int64_t step, std::string_view tag,
                             const Histogram& histogram) {
  ProtoWriter histo;
  histo.add_double(1, histogram.min);
  histo.add_double(2, histogram.max);
  histo.add_double(3, histogram.num);
  histo.add_double(4, histogram.sum);
  histo.add_double(5, histogram.sum_squares);
  histo.add_doubles(6, histogram.limits);
  histo.add_doubles(7, histogram.counts);
  ProtoWriter value;
  value.add_string(summary_value::kTag, tag);
  value.add_message(summary_value::kHisto, histo);
  ProtoWriter values;
  values.add_message(summary::kValue, value);
  return event_with(event_at(time, step), values);
}

std::string encode_session_start(double time, const Value::Table& hparams) {
  ProtoWriter info;
  for (const auto& [name, value] : hparams) {
    ProtoWriter entry;  // of a map
    entry.add_string(1, name);
    entry.add_message(2, struct_value(value));
    info.add_message(1, entry);
  }
  info.add_double(5, time);  // start_time_secs
  return hparams_event(time, kSessionStartTag, /*field=*/3, info);
}

std::string encode_session_end(double time, SessionStatus status) {
  ProtoWriter info;
  info.add_varint(1, static_cast<std::uint64_t>(status));
  info.add_double(2, time);  // end_time_secs
  return hparams_event(time, kSessionEndTag, /*field=*/4, info);
}

std::optional<EventHead> read_event_head(std::string_view event) {
  EventHead head;
  ProtoReader fields(event);
  while (const auto field = fields.next()) {
    if (field->number == event::kStep) head.step = static_cast<std::int64_t>(field->value);
    if (field->number == event::kSummary && !read_tags(field->bytes, head.tags)) {
      return std::nullopt;
    }
  }
  return fields.malformed() ? std::nullopt : std::optional(std::move(head));
}

}  // namespace pergola::host
