// What ZooKeeper would keep of a cluster, as text: its id, the ring and the groups' records, a line of JSON
// each behind a name and a version. For an in-memory coordinator that goes on where another one ended. Pure.
#pragma once

#include <string>
#include <string_view>

#include "coordinator/coordinator.h"

namespace dlm::coordinator {

std::string to_text(const ClusterView& view);
// Fills cluster, ring and groups of `view`. False, and why in `error`, when it is not such a text.
bool parse_text(std::string_view text, ClusterView& view, std::string& error);

}  // namespace dlm::coordinator
