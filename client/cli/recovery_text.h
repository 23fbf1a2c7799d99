// What `dlm admin recover` tells before it asks, and after. Nothing here reads or writes anywhere.
#pragma once

#include <string>

#include "schema/report.h"

namespace dlm::cli {

// What is known of the group, and, when it may be begun anew, what each choice costs.
std::string recovery_text(const RecoveryReport& report);
// When it was done; one line.
std::string recovered_text(const RecoveryReport& report);

}  // namespace dlm::cli
