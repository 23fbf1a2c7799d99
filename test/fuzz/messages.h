// Cap'n Proto messages as parts of inputs.
#pragma once

#include <capnp/serialize.h>
#include <kj/array.h>

#include <cstring>
#include <string>
#include <string_view>

#include "schema/wire/codec.h"

namespace dlm::fuzz {

// The whole words of `bytes`, aligned as a message has to be.
inline kj::Array<capnp::word> words_of(std::string_view bytes) {
  auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
  if (words.size() != 0) std::memcpy(words.begin(), bytes.data(), words.size() * sizeof(capnp::word));
  return words;
}

// A message in its flat form, of what `fill` puts into its root.
template <class Root, class Fill>
std::string message_of(Fill fill) {
  capnp::MallocMessageBuilder message;
  fill(message.initRoot<Root>());
  const kj::Array<capnp::word> words = capnp::messageToFlatArray(message);
  return std::string(wire::as_text(words.asPtr().asBytes()));
}

}  // namespace dlm::fuzz
