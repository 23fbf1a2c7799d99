// `dlm-server check DIR`: verifies a data folder and prints what is in it.
#pragma once

namespace dlm::server {

// The arguments from "check" on. The exit code: 0 when the folder is sound.
int run_check(int argc, char** argv);

}  // namespace dlm::server
