// SPDX-License-Identifier: Apache-2.0
//
// Where vhsmd listens, and how a listening socket comes from its predecessor.
// Source: unix(7), SCM_RIGHTS.
#pragma once

#include <string>

#include "base/descriptor.h"
#include "base/result.h"
#include "keystore/daemon/message.h"

namespace vhsm::keystore {

/// Binds and listens; takes the place of a socket that nobody serves, so that at no moment there
/// is none. Mode 0666: who may do what is decided by who connects.
/// @errors kIo; kInUse when somebody serves it.
Result<Descriptor> listen_at(const std::string& path);

/// Sends `answer` and with its first byte `descriptor`.  @errors kIo.
Status send_with_descriptor(int socket, const Message& answer, int descriptor);

/// What a running vhsmd gives a successor.
class Predecessor {
 public:
  /// @errors kNoDaemon when nobody serves `path`.
  static Result<Predecessor> connect(const std::string& path);
  /// The names of its keys.  @errors kNotGranted, kNoDaemon.
  Result<std::vector<std::string>> key_names();
  /// Its listening socket; it takes no more clients from now on.
  /// @errors kNotGranted, kNoDaemon.
  Result<Descriptor> take_over();

 private:
  explicit Predecessor(Descriptor socket) noexcept : socket_(std::move(socket)) {}
  Result<Reply> ask(Ask ask, Descriptor* beside);

  Descriptor socket_;
};

}  // namespace vhsm::keystore
