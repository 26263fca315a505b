// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/coco_file.h"

#include "host/support/files.h"
#include "host/support/json.h"
#include "pergola/error.h"

#include <nlohmann/json.hpp>

#include <string>
#include <utility>

namespace pergola::host {
namespace {

using Json = nlohmann::json;

// The file's tree without what is drawn around the objects, which is most of it.
Json parse(const std::string& text, const std::filesystem::path& path) {
  const auto keep = [](int /*depth*/, Json::parse_event_t event, const Json& parsed) {
    return event != Json::parse_event_t::key || parsed != "segmentation";
  };
  Json root = Json::parse(text, keep, /*allow_exceptions=*/false);
  if (root.is_discarded()) {
    (void)from_json(text, path.string(), ErrorKind::kData);  // says where and why
    PERGOLA_ASSERT(false);
  }
  return root;
}

// Reads the members of one element and says in its errors where it is.
class Element {
 public:
  Element(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  [[nodiscard]] std::int64_t integer(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr || !value->is_number_integer()) throw bad(key, "an integer");
    return value->get<std::int64_t>();
  }
  [[nodiscard]] double number(const char* key, double fallback) const {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number()) throw bad(key, "a number");
    return value->get<double>();
  }
  [[nodiscard]] bool flag(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return false;
    if (value->is_boolean()) return value->get<bool>();
    return integer(key) != 0;
  }
  [[nodiscard]] Box box(const char* key) const {
    const Json* value = find(key);
    Box box{};
    bool fits = value != nullptr && value->is_array() && value->size() == box.size();
    for (std::size_t i = 0; fits && i < box.size(); ++i) {
      fits = (*value)[i].is_number();
      if (fits) box[i] = (*value)[i].get<double>();
    }
    if (!fits) throw bad(key, "[x, y, width, height]");
    return box;
  }

 private:
  [[nodiscard]] const Json* find(const char* key) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
  }
  [[nodiscard]] Error bad(const char* key, const char* expected) const {
    const Json* value = find(key);
    return Error(ErrorKind::kData, where_, ".", key, " is ",
                 value == nullptr ? "missing" : value->dump(), "; expected ", expected,
                 "; restore the file");
  }

  const Json& object_;
  std::string where_;
};

// Calls `take` for each element of the file's list `key`.
template <class Take>
void for_each_element(const Json& root, const char* key, const std::filesystem::path& path,
                      const Take& take) {
  const auto list = root.is_object() ? root.find(key) : root.end();
  if (list == root.end() || !list->is_array()) {
    throw Error(ErrorKind::kData, path.string(), " has no list '", key,
                "'; expected a COCO file of instances, with images, categories and annotations");
  }
  std::size_t index = 0;
  for (const Json& element : *list) {
    take(Element(element, concat(path.string(), ": ", key, "[", index++, "]")));
  }
}

}  // namespace

CocoFile read_coco_file(const std::filesystem::path& path) {
  const Json root = parse(read_file(path, ErrorKind::kData), path);
  CocoFile file{path, {}, {}};
  for_each_element(root, "images", path,
                   [&](const Element& image) { file.images[image.integer("id")]; });
  for_each_element(root, "categories", path, [&](const Element& category) {
    file.categories.insert(category.integer("id"));
  });
  for_each_element(root, "annotations", path, [&](const Element& annotation) {
    const Box box = annotation.box("bbox");
    const TrueBox truth{annotation.integer("category_id"), box,
                        annotation.number("area", box[2] * box[3]), annotation.flag("iscrowd")};
    const auto image = file.images.find(annotation.integer("image_id"));
    if (image == file.images.end() || !file.categories.contains(truth.category)) return;
    image->second.push_back(truth);
  });
  return file;
}

}  // namespace pergola::host
