// SPDX-License-Identifier: Apache-2.0
//
// The emulated configfs-tsm as descriptors of other processes. A file that is open there is one end
// of a socket pair, with a number by which its reads and writes are told; that all have closed it,
// and what went in by a copy under another number, shows at the other end.
#pragma once

#include <cstdint>
#include <list>
#include <string>

#include "base/descriptor.h"
#include "snp/tools/notification.h"
#include "snp/tools/tsm_driver.h"

namespace vhsm::snp {

/// A call for configfs-tsm, or for the guest device.
struct TsmCall {
  Notification notification;
  std::string path;     ///< below the root, from "/" on; empty for calls on descriptors
  std::uint32_t flags;  ///< of open and unlinkat
};

class TsmServer {
 public:
  /// @param driver  outlives this object.
  explicit TsmServer(TsmDriver& driver) : driver_(driver) {}

  void answer(const TsmCall& call);

 private:
  struct Handle {
    Descriptor peer;
    FileId theirs;
    TsmDriver::OpenFile file;
  };

  void open(const TsmCall& call);
  void change_folder(const TsmCall& call, int (TsmDriver::*change)(const std::string&));
  void read(const Notification& call, Handle& handle);
  void write(const Notification& call, Handle& handle);
  void transfer(const Notification& call);
  void close_abandoned();
  void drain(Handle& handle);

  TsmDriver& driver_;
  std::list<Handle> handles_;
};

}  // namespace vhsm::snp
