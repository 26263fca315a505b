// SPDX-License-Identifier: BSD-3-Clause
#include "host/device/on_stream.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <exception>

namespace pergola::host {
namespace {

void let_wait(const c10::Stream& later, const c10::Stream& earlier) {
  c10::Event done(earlier.device_type());
  done.record(earlier);
  done.block(later);
}

}  // namespace

OnStream::OnStream(c10::Device device)
    : OnStream(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device)) {}

OnStream::OnStream(c10::Stream stream)
    : own_(stream),
      before_(c10::impl::VirtualGuardImpl(stream.device_type()).exchangeStream(own_)) {
  let_wait(own_, before_);
}

OnStream::~OnStream() {
  c10::impl::VirtualGuardImpl(own_.device_type()).exchangeStream(before_);
  try {
    let_wait(before_, own_);
  } catch (const std::exception&) {
    // A device that failed has told so already, and nothing that follows on it counts.
  }
}

}  // namespace pergola::host
