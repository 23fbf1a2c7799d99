// Between the core's answers and the errors that callers see.
#pragma once

#include <string>

#include "dlm/result.h"
#include "schema/operation.h"

namespace dlm::client {

Holder to_holder(const HolderInfo& info);

// Statuses that are the routers' business become what a caller can act on.
Error to_error(const Answer& answer, const std::string& resource, bool outcome_unknown);
Error make_error(Status status, const std::string& resource, const std::string& message);

}  // namespace dlm::client
