#include "coordinator/core/group_config.h"

#include <algorithm>
#include <charconv>

#include "coordinator/core/json_fields.h"
#include "schema/limits.h"

namespace dlm::coordinator {

std::string to_string(const MemberName& member) {
  return member ? member.server + "#" + std::to_string(member.incarnation) : std::string();
}

bool valid_server_id(std::string_view id) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
  };
  return !id.empty() && id.size() <= 64 && id != "." && id != ".." &&
         std::all_of(id.begin(), id.end(), allowed);
}

bool parse_member(std::string_view text, MemberName& out) {
  std::size_t hash = text.find('#');
  if (hash == std::string_view::npos || !valid_server_id(text.substr(0, hash))) return false;
  std::string_view digits = text.substr(hash + 1);
  if (digits.empty() || (digits.size() > 1 && digits.front() == '0')) return false;
  std::uint64_t incarnation = 0;
  auto [stopped, error] = std::from_chars(digits.data(), digits.data() + digits.size(), incarnation);
  if (error != std::errc() || stopped != digits.data() + digits.size()) return false;
  out = MemberName{std::string(text.substr(0, hash)), incarnation};
  return true;
}

bool GroupConfig::has(const MemberName& member) const {
  return std::find(in_sync.begin(), in_sync.end(), member) != in_sync.end();
}

TotalLoss total_loss(const GroupConfig& config, const std::vector<MemberName>& alive) {
  TotalLoss loss;
  for (const MemberName& member : config.in_sync) {
    if (std::find(alive.begin(), alive.end(), member) != alive.end()) return {};
    const bool is_back = std::any_of(alive.begin(), alive.end(), [&](const MemberName& other) {
      return other.server == member.server && other.incarnation > member.incarnation;
    });
    if (!is_back) loss.missing.push_back(member.server);
  }
  loss.lost = !config.in_sync.empty();
  return loss;
}

std::string describe(const TotalLoss& loss, const GroupConfig& config) {
  if (!loss.lost) return {};
  std::string text = "all replicas were lost (";
  for (const MemberName& member : config.in_sync) text += (text.back() == '(' ? "" : " ") + to_string(member);
  text += "), ";
  if (loss.missing.empty()) return text + "it begins anew";
  for (const std::string& server : loss.missing)
    text += (&server == &loss.missing.front() ? "" : " and ") + server;
  return text + " must come back";
}

std::uint32_t lease_step_ms(std::uint32_t lease_ms, std::uint32_t limit_ms) {
  std::uint64_t step_ms = kSessionTtlMsDefault;
  while (step_ms < lease_ms) step_ms *= 2;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(step_ms, limit_ms));
}

std::string to_json(const GroupConfig& config) {
  std::string json = "{\"epoch\":" + std::to_string(config.epoch.value) +
                     ",\"primary\":" + json_quoted(to_string(config.primary)) + ",\"inSync\":[";
  for (const MemberName& member : config.in_sync) {
    if (json.back() != '[') json += ',';
    json += json_quoted(to_string(member));
  }
  json +=
      "],\"era\":" + std::to_string(config.era) + ",\"leaseMsMax\":" + std::to_string(config.lease_ms_max) +
      ",\"recovering\":" + (config.recovering ? "true" : "false") +
      ",\"ringDone\":" + std::to_string(config.ring_done) + ",\"author\":" + json_quoted(config.author) + "}";
  return json;
}

bool parse_json(std::string_view json, GroupConfig& out, std::string& error) {
  JsonFields fields(
      json, {"epoch", "primary", "inSync", "era", "leaseMsMax", "recovering", "ringDone", "author"}, error);
  GroupConfig config;
  config.epoch = Epoch(fields.number("epoch", 1));
  config.era = fields.number("era", 1, kEraMax);
  config.lease_ms_max = static_cast<std::uint32_t>(fields.number("leaseMsMax", 0, UINT32_MAX));
  config.recovering = fields.flag("recovering");
  config.ring_done = fields.number("ringDone");
  config.author = fields.text("author");
  std::string primary = fields.text("primary");
  if (!primary.empty() && !parse_member(primary, config.primary)) {
    fields.fail("primary", "must be a member such as \"s1#42\"");
  }
  for (const boost::json::value& value : fields.list("inSync")) {
    MemberName member;
    const boost::json::string* text = value.if_string();
    if (text == nullptr || !parse_member(std::string_view(text->data(), text->size()), member)) {
      fields.fail("inSync", "must be a list of members such as \"s1#42\"");
      break;
    }
    if (config.has(member)) fields.fail("inSync", "names " + to_string(member) + " twice");
    config.in_sync.push_back(std::move(member));
  }
  if (config.primary && !config.has(config.primary)) fields.fail("primary", "is not in inSync");
  if (fields.ok()) out = std::move(config);
  return fields.ok();
}

}  // namespace dlm::coordinator
