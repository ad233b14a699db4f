/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes and places of ABI 1.0 as a 64-bit machine has them. What is frozen never changes; a struct
 * that may grow changes only behind its last member here. Included by a C and by a C++ file. */
#include <stddef.h>

#ifdef __cplusplus
#define CHECK_LAYOUT(condition) static_assert(condition, #condition)
#else
#define CHECK_LAYOUT(condition) _Static_assert(condition, #condition)
#endif

CHECK_LAYOUT(MP_ABI_VERSION == 0x10000);
CHECK_LAYOUT(sizeof(mp_status) == 4 && MP_OK == 0 && MP_E_AGAIN == -5);

#if UINTPTR_MAX == 0xffffffffffffffff
/* frozen */
CHECK_LAYOUT(sizeof(mp_error) == 256);
CHECK_LAYOUT(sizeof(mp_setting) == 16);
CHECK_LAYOUT(sizeof(mp_endpoint) == 20 && offsetof(mp_endpoint, port) == 2);
CHECK_LAYOUT(offsetof(mp_endpoint, address) == 4);
CHECK_LAYOUT(sizeof(mp_traffic) == 16 && offsetof(mp_traffic, bytes) == 8);
CHECK_LAYOUT(sizeof(mp_flow_reading) == 56 && offsetof(mp_flow_reading, callee_seen_ms) == 48);

/* may grow; no padding that a new member could fall into */
CHECK_LAYOUT(offsetof(mp_plugin, abi) == 0 && offsetof(mp_plugin, struct_size) == 4);
CHECK_LAYOUT(sizeof(mp_plugin) == 48 && offsetof(mp_plugin, get_interface) == 40);
CHECK_LAYOUT(sizeof(mp_host) == 72 && offsetof(mp_host, get_service) == 64);
CHECK_LAYOUT(sizeof(mp_stream_record) == 216 && offsetof(mp_stream_record, caller_remote) == 72);
CHECK_LAYOUT(offsetof(mp_stream_record, rtcp_from_callee) == 200);
CHECK_LAYOUT(sizeof(mp_session_record) == 144 && offsetof(mp_session_record, json) == 136);
CHECK_LAYOUT(offsetof(mp_session_record, streams) == 120);
CHECK_LAYOUT(sizeof(mp_accounting) == 48 && offsetof(mp_accounting, destroy) == 40);
CHECK_LAYOUT(sizeof(mp_flow) == 112 && offsetof(mp_flow, caller_fd) == 96);
CHECK_LAYOUT(offsetof(mp_flow, dscp) == 108);
CHECK_LAYOUT(sizeof(mp_flow_events) == 32 && offsetof(mp_flow_events, readings) == 24);
CHECK_LAYOUT(sizeof(mp_forwarding) == 64 && offsetof(mp_forwarding, destroy) == 56);
#endif
