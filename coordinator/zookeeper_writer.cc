#include "coordinator/zookeeper_writer.h"

#include <glog/logging.h>

#include <utility>

namespace dlm::coordinator {

ZookeeperWriter::ZookeeperWriter(ZookeeperClient& client, std::string root)
    : client_(client), root_(std::move(root)) {}

void ZookeeperWriter::resume(const std::string& session) {
  session_ = session;
  in_touch_ = true;
  for (auto& [name, target] : targets_) {
    if (target.unknown) read_back(name);
  }
}

void ZookeeperWriter::pause() {
  in_touch_ = false;
}

void ZookeeperWriter::end() {
  in_touch_ = false;
  for (auto& [name, target] : targets_) {
    for (Write& write : target.writes) write.done(WriteResult::unknown);
  }
  targets_.clear();
}

void ZookeeperWriter::write(const std::string& target, std::int64_t expected, std::string data,
                            Written done) {
  if (!in_touch_) return done(WriteResult::unavailable);
  std::deque<Write>& writes = targets_[target].writes;
  writes.push_back({expected, std::move(data), std::move(done), ""});
  if (writes.size() == 1) send(target);
}

std::string ZookeeperWriter::note_path(const std::string& target) const {
  std::string name = target;
  for (char& c : name) c = c == '/' ? '-' : c;
  return root_ + "/outcomes/" + session_ + "-" + name;
}

void ZookeeperWriter::send(const std::string& name) {
  Target& target = targets_.at(name);
  Write& write = target.writes.front();
  if (!in_touch_) return finish(name, WriteResult::unavailable);
  write.number = std::to_string(++last_number_);
  std::vector<ZookeeperWrite> parts(2);
  parts[0].path = root_ + "/" + name;
  parts[0].data = write.data;
  parts[0].create = write.expected == 0;
  parts[0].version = static_cast<std::int32_t>(write.expected - 1);
  parts[1].path = note_path(name);
  parts[1].data = write.number;
  parts[1].create = parts[1].ephemeral = target.note_version == kNoNote;
  parts[1].version = target.note_version;
  client_.multi(std::move(parts), [this, name](const ZookeeperResult& result) { on_written(name, result); });
}

void ZookeeperWriter::on_written(const std::string& name, const ZookeeperResult& result) {
  auto found = targets_.find(name);
  if (found == targets_.end()) return;  // the session ended meanwhile
  Target& target = found->second;
  auto refused = [](ZookeeperCode code) {
    return code == ZookeeperCode::bad_version || code == ZookeeperCode::no_node ||
           code == ZookeeperCode::node_exists;
  };
  switch (result.code) {
    case ZookeeperCode::ok:
      ++target.note_version;  // a created node has version 0
      return finish(name, WriteResult::accepted);
    case ZookeeperCode::lost:
      target.unknown = true;  // until resume(), which always comes after this
      return;
    case ZookeeperCode::ended:
      return;  // end() answers
    default:
      break;
  }
  if (refused(result.member_codes[0])) return finish(name, WriteResult::conflict);
  if (refused(result.member_codes[1])) {  // somebody touched our note: see what is there now
    target.unknown = true;
    return read_back(name);
  }
  LOG(ERROR) << "ZooKeeper refuses to write " << root_ << "/" << name << ": " << result.text;
  finish(name, WriteResult::unavailable);
}

ZookeeperWriter::Target* ZookeeperWriter::unknown(const std::string& name) {
  auto found = targets_.find(name);
  return found != targets_.end() && found->second.unknown ? &found->second : nullptr;
}

// After sync() the read shows everything that was committed before it, on whatever server.
void ZookeeperWriter::read_back(const std::string& name) {
  client_.sync(note_path(name), [](const ZookeeperResult&) {});
  client_.get(note_path(name), false, [this, name](const ZookeeperResult& note) { on_note(name, note); });
}

void ZookeeperWriter::on_note(const std::string& name, const ZookeeperResult& note) {
  Target* target = unknown(name);
  if (target == nullptr || note.code == ZookeeperCode::lost || note.code == ZookeeperCode::ended) return;
  if (note.code == ZookeeperCode::other) {
    LOG(ERROR) << "ZooKeeper refuses to read " << note_path(name) << ": " << note.text;
    return;
  }
  target->note_version = note.code == ZookeeperCode::ok ? note.version : kNoNote;
  if (note.code == ZookeeperCode::ok && note.data == target->writes.front().number) {
    target->unknown = false;
    return finish(name, WriteResult::accepted);
  }
  fence(name);
}

void ZookeeperWriter::fence(const std::string& name) {
  auto done = [this, name](const ZookeeperResult& result) {
    Target* target = unknown(name);
    if (target == nullptr || result.code == ZookeeperCode::lost || result.code == ZookeeperCode::ended)
      return;
    if (result.code == ZookeeperCode::other) {
      LOG(ERROR) << "ZooKeeper refuses to write " << note_path(name) << ": " << result.text;
      return;
    }
    if (result.code != ZookeeperCode::ok) return read_back(name);  // the write came in just now
    target->unknown = false;
    ++target->note_version;
    finish(name, WriteResult::unavailable);
  };
  std::int32_t version = targets_.at(name).note_version;
  if (version == kNoNote) {
    client_.create(note_path(name), "none", true, done);
  } else {
    client_.set(note_path(name), "none", version, done);
  }
}

void ZookeeperWriter::finish(const std::string& name, WriteResult result) {
  Target& target = targets_.at(name);
  Written done = std::move(target.writes.front().done);
  target.writes.pop_front();
  done(result);
  if (!target.writes.empty()) send(name);
}

}  // namespace dlm::coordinator
