// The files that storage needs, and nothing more of a file system. Implemented on a real one by
// posix_files.h, and by the simulator, which loses, tears and damages what was not made safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dlm::server {

// All of it throws std::system_error, whose text names the file, when the disk fails or is full.
class File {
 public:
  virtual ~File() = default;
  virtual std::uint64_t size_bytes() = 0;
  // Shorter at the end of the file.
  virtual std::string read(std::uint64_t offset, std::size_t size) = 0;
  // Seen by reads at once, and after a crash of the machine only if sync() has returned since.
  virtual void write(std::uint64_t offset, std::string_view bytes) = 0;
  virtual void sync() = 0;
};

class Folder {
 public:
  virtual ~Folder() = default;
  virtual std::vector<std::string> list() = 0;  // names of files, sorted
  // Another folder in it, made if it is missing.
  virtual std::unique_ptr<Folder> folder(const std::string& name) = 0;
  virtual bool has_folder(const std::string& name) = 0;
  virtual std::unique_ptr<File> open(const std::string& name) = 0;
  virtual std::unique_ptr<File> create(const std::string& name) = 0;        // empty, also if there was one
  virtual void rename(const std::string& from, const std::string& to) = 0;  // `to` is replaced
  virtual void remove(const std::string& name) = 0;
  // Makes what was created, renamed and removed safe.
  virtual void sync() = 0;
  virtual std::string describe(const std::string& name) const = 0;  // the whole path, for people
};

// All of a file; none: there is no such file.
std::optional<std::string> read_file(Folder& folder, const std::string& name);
// Safe when it returns; at any time there is the old file or the new one.
void replace_file(Folder& folder, const std::string& name, std::string_view text);

}  // namespace dlm::server
