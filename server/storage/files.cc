#include "server/storage/files.h"

#include <algorithm>

namespace dlm::server {

std::optional<std::string> read_file(Folder& folder, const std::string& name) {
  const std::vector<std::string> names = folder.list();
  if (std::find(names.begin(), names.end(), name) == names.end()) return std::nullopt;
  const std::unique_ptr<File> file = folder.open(name);
  return file->read(0, file->size_bytes());
}

void replace_file(Folder& folder, const std::string& name, std::string_view text) {
  const std::string unfinished = name + ".new";
  const std::unique_ptr<File> file = folder.create(unfinished);
  file->write(0, text);
  file->sync();
  folder.rename(unfinished, name);
  folder.sync();
}

}  // namespace dlm::server
