// The file in which an in-memory coordinator keeps what ZooKeeper would: the cluster's id, the ring and the
// groups' records, a line of JSON each, behind a name and a version.
#pragma once

#include <string>

#include "coordinator/coordinator.h"

namespace dlm::coordinator {

// Fills cluster, ring and groups of `view`. False: there is no such file. Throws std::runtime_error, in one
// line, when it can't be read or is not what was written.
bool read_hub_file(const std::string& path, ClusterView& view);
// Safe when it returns; replaces the file as a whole. Throws std::system_error.
void write_hub_file(const std::string& path, const ClusterView& view);

}  // namespace dlm::coordinator
