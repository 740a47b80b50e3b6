// SPDX-License-Identifier: Apache-2.0
#include "infinistore_rdma.h"

#include "sixcall/connector.hpp"

#ifdef SIXCALL_INFINISTORE_RDMA
#include <errno.h>
#include <infiniband/verbs.h>

#include <memory>
#include <system_error>
#endif

namespace infinistore {

namespace {

constexpr char kRefusal[] = "transport \"rdma\" is not implemented; use \"tcp\"";

#ifdef SIXCALL_INFINISTORE_RDMA

// What a data path would need first: device, port, protection domain, completion
// queue and a queue pair that is ready to be connected. Compiled, never run on a device.

[[noreturn]] void Fail(const std::string& what) {
  const int error = errno;
  throw sixcall::Error(SIXCALL_E_UNSUPPORTED, std::string(kRefusal) + " (" + what + ": " + std::generic_category().message(error) + ")", error);
}

template <class T, int (*kDestroy)(T*)>
struct Destroy {
  void operator()(T* object) const { kDestroy(object); }
};
template <class T, int (*kDestroy)(T*)>
using Owned = std::unique_ptr<T, Destroy<T, kDestroy>>;

Owned<ibv_context, &ibv_close_device> Open(const std::string& name) {
  int n = 0;
  const std::unique_ptr<ibv_device*, void (*)(ibv_device**)> list(ibv_get_device_list(&n), &ibv_free_device_list);
  if (list == nullptr || n == 0) {
    if (list != nullptr) errno = ENODEV;
    Fail("RDMA devices");
  }
  std::string seen;
  for (int i = 0; i < n; i++) {
    ibv_device* device = list.get()[i];
    const std::string found = ibv_get_device_name(device);
    if (name.empty() || found == name) {
      Owned<ibv_context, &ibv_close_device> context(ibv_open_device(device));
      if (context == nullptr) Fail("open device " + found);
      return context;
    }
    seen += (seen.empty() ? "" : ", ") + found;
  }
  throw sixcall::Error(SIXCALL_E_UNSUPPORTED, std::string(kRefusal) + " (no device \"" + name + "\", there is " + seen + ")");
}

std::string Describe(const std::string& name, const std::string& link_type) {
  constexpr uint8_t kPort = 1;
  const auto context = Open(name);
  const std::string found = ibv_get_device_name(context->device);
  ibv_port_attr port = {};
  if ((errno = ibv_query_port(context.get(), kPort, &port)) != 0) Fail("query port 1 of " + found);
  const bool ethernet = port.link_layer == IBV_LINK_LAYER_ETHERNET;
  if (ethernet != (link_type == "LINK_ETHERNET")) {
    return "device " + found + " is " + (ethernet ? "LINK_ETHERNET" : "LINK_IB") + ", link_type says " + link_type;
  }
  if (port.state != IBV_PORT_ACTIVE) return "port 1 of " + found + " is not active";
  const Owned<ibv_pd, &ibv_dealloc_pd> domain(ibv_alloc_pd(context.get()));
  if (domain == nullptr) Fail("protection domain of " + found);
  const Owned<ibv_comp_channel, &ibv_destroy_comp_channel> channel(ibv_create_comp_channel(context.get()));
  if (channel == nullptr) Fail("completion channel of " + found);
  const Owned<ibv_cq, &ibv_destroy_cq> queue(ibv_create_cq(context.get(), 256, nullptr, channel.get(), 0));
  if (queue == nullptr) Fail("completion queue of " + found);
  ibv_qp_init_attr init = {};
  init.send_cq = init.recv_cq = queue.get();
  init.qp_type = IBV_QPT_RC;
  init.cap.max_send_wr = init.cap.max_recv_wr = 128;
  init.cap.max_send_sge = init.cap.max_recv_sge = 1;
  const Owned<ibv_qp, &ibv_destroy_qp> pair(ibv_create_qp(domain.get(), &init));
  if (pair == nullptr) Fail("queue pair of " + found);
  ibv_qp_attr attr = {};
  attr.qp_state = IBV_QPS_INIT;
  attr.port_num = kPort;
  attr.qp_access_flags = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE;
  if ((errno = ibv_modify_qp(pair.get(), &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS)) != 0) {
    Fail("initialise queue pair of " + found);
  }
  return "device " + found + " could be set up";
}

#endif

}  // namespace

void RefuseRdma(const std::string& device, const std::string& link_type) {
#ifdef SIXCALL_INFINISTORE_RDMA
  throw sixcall::Error(SIXCALL_E_UNSUPPORTED, std::string(kRefusal) + " (" + Describe(device, link_type) + ")");
#else
  (void)device, (void)link_type;
  throw sixcall::Error(SIXCALL_E_UNSUPPORTED, kRefusal);
#endif
}

}  // namespace infinistore
