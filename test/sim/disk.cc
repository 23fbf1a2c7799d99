#include "test/sim/disk.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "server/storage/frames.h"

namespace dlm::sim {

using server::File;
using server::Folder;
using server::kSectorBytes;

namespace {

void put(std::string& to, std::uint64_t offset, std::string_view bytes) {
  if (to.size() < offset + bytes.size()) to.resize(offset + bytes.size(), '\0');
  to.replace(offset, bytes.size(), bytes);
}

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::system_category(), what);
}

}  // namespace

class Disk::OpenFile final : public File {
 public:
  OpenFile(Disk& disk, std::string path, std::shared_ptr<FileData> data)
      : disk_(disk), path_(std::move(path)), data_(std::move(data)) {}

  std::uint64_t size_bytes() override { return data_->content.size(); }
  std::string read(std::uint64_t offset, std::size_t size) override {
    return offset >= data_->content.size() ? std::string() : data_->content.substr(offset, size);
  }
  void write(std::uint64_t offset, std::string_view bytes) override {
    if (disk_.full_) fail(ENOSPC, "can't write " + path_);
    ++disk_.writes_;
    const bool strays = disk_.misdirect_ && data_->content.size() > offset + 2 * bytes.size();
    if (strays) {
      disk_.misdirect_ = false;
      disk_.damage_ = "a write to " + path_ + " at " + std::to_string(offset) + " went astray";
      offset += bytes.size();
    }
    put(data_->content, offset, bytes);
    data_->unsafe.push_back({offset, std::string(bytes)});
  }
  void sync() override {
    if (disk_.full_) fail(EIO, "can't sync " + path_);
    ++disk_.syncs_;
    for (const FileData::Unsafe& write : data_->unsafe) put(data_->safe, write.offset, write.bytes);
    data_->unsafe.clear();
  }

 private:
  Disk& disk_;
  std::string path_;
  std::shared_ptr<FileData> data_;
};

class Disk::OpenFolder final : public Folder {
 public:
  OpenFolder(Disk& disk, std::string path, FolderData& data)
      : disk_(disk), path_(std::move(path)), data_(data) {}

  std::vector<std::string> list() override {
    std::vector<std::string> names;
    for (const auto& [name, file] : data_.names) names.push_back(name);
    return names;
  }
  std::unique_ptr<Folder> folder(const std::string& name) override {
    std::unique_ptr<FolderData>& inner = data_.folders[name];
    if (!inner) inner = std::make_unique<FolderData>();
    return std::make_unique<OpenFolder>(disk_, describe(name), *inner);
  }
  bool has_folder(const std::string& name) override { return data_.folders.contains(name); }
  std::unique_ptr<File> open(const std::string& name) override {
    auto found = data_.names.find(name);
    if (found == data_.names.end()) fail(ENOENT, "can't open " + describe(name));
    return std::make_unique<OpenFile>(disk_, describe(name), found->second);
  }
  std::unique_ptr<File> create(const std::string& name) override {
    if (disk_.full_) fail(ENOSPC, "can't make " + describe(name));
    auto data = std::make_shared<FileData>();
    data_.names[name] = data;
    changed();
    return std::make_unique<OpenFile>(disk_, describe(name), std::move(data));
  }
  void rename(const std::string& from, const std::string& to) override {
    auto found = data_.names.extract(from);
    data_.names[to] = std::move(found.mapped());
    changed();
  }
  void remove(const std::string& name) override {
    data_.names.erase(name);
    changed();
  }
  void sync() override {
    if (disk_.full_) fail(EIO, "can't sync " + path_);
    data_.safe = data_.names;
    data_.steps.clear();
  }
  std::string describe(const std::string& name) const override {
    return name.empty() ? path_ : path_ + "/" + name;
  }

 private:
  void changed() { data_.steps.push_back(data_.names); }

  Disk& disk_;
  std::string path_;
  FolderData& data_;
};

Disk::Disk() = default;
Disk::~Disk() = default;

std::unique_ptr<Folder> Disk::root() {
  return std::make_unique<OpenFolder>(*this, "data", root_);
}

bool Disk::empty() const {
  return root_.names.empty() && root_.folders.empty();
}

void Disk::wipe() {
  root_ = FolderData();
  damage_.clear();
  full_ = misdirect_ = false;
}

// --- faults ----------------------------------------------------------------------------------------------

void Disk::lose_power(Random& random) {
  misdirect_ = false;
  lose_power(root_, random);
}

// Names change in their order, as in a journal; what was written to a file in any, each sector for itself.
void Disk::lose_power(FolderData& folder, Random& random) {
  const std::size_t kept = random.below(folder.steps.size() + 1);
  folder.names = kept == 0 ? folder.safe : folder.steps[kept - 1];
  folder.safe = folder.names;
  folder.steps.clear();
  for (auto& [name, file] : folder.names) {
    const std::uint64_t mood = random.below(4);
    for (const FileData::Unsafe& write : file->unsafe) {
      for (std::size_t at = 0; at < write.bytes.size(); at += kSectorBytes) {
        const bool stays = mood == 0 || (mood >= 2 && random.one_in(2));
        if (stays) put(file->safe, write.offset + at, std::string_view(write.bytes).substr(at, kSectorBytes));
      }
    }
    file->unsafe.clear();
    file->content = file->safe;
  }
  for (auto& [name, inner] : folder.folders) lose_power(*inner, random);
}

void Disk::lose_process() {
  misdirect_ = false;
  lose_process(root_);
}

void Disk::lose_process(FolderData& folder) {
  folder.safe = folder.names;
  folder.steps.clear();
  for (auto& [name, file] : folder.names) {
    file->safe = file->content;
    file->unsafe.clear();
  }
  for (auto& [name, inner] : folder.folders) lose_process(*inner);
}

void Disk::collect(FolderData& folder, const std::string& path,
                   std::vector<std::pair<std::string, FileData*>>& files) {
  for (auto& [name, file] : folder.names)
    if (name.starts_with("log-") || (name.starts_with("snapshot-") && !name.ends_with(".new")))
      files.emplace_back(path + "/" + name, file.get());
  for (auto& [name, inner] : folder.folders) collect(*inner, path + "/" + name, files);
}

bool Disk::flip_a_bit(Random& random) {
  std::vector<std::pair<std::string, FileData*>> files;
  collect(root_, "data", files);
  if (files.empty()) return false;
  auto& [path, file] = files[random.below(files.size())];
  std::vector<std::size_t> written;  // sectors
  static const std::string kZeros(kSectorBytes, '\0');
  for (std::size_t at = 0; at < file->safe.size(); at += kSectorBytes)
    if (file->safe.compare(at, kSectorBytes, kZeros) != 0) written.push_back(at);
  if (written.empty()) return false;
  const std::size_t at = written[random.below(written.size())] + random.below(kSectorBytes);
  if (at >= file->safe.size()) return false;
  const auto bit = static_cast<char>(1U << random.below(8));
  file->safe[at] = static_cast<char>(file->safe[at] ^ bit);
  file->content[at] = static_cast<char>(file->content[at] ^ bit);
  damage_ = "a bit of " + path + " flipped at " + std::to_string(at);
  return true;
}

}  // namespace dlm::sim
