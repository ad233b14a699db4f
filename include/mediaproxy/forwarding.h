/* SPDX-License-Identifier: MIT */
#ifndef MEDIAPROXY_FORWARDING_H
#define MEDIAPROXY_FORWARDING_H

/* Forwards the packets of learned flows past the daemon, in the kernel or in threads of its own.
 *
 *   create -> adopt -> (install, replace, read, remove)* -> destroy
 *
 * The daemon relays by itself whatever is not installed: a call is never lost because a back end
 * fails, it only costs more. */

#include <mediaproxy/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MP_FORWARDING "mp.forwarding/1"

/* Chosen by the host, unique for this owner over all its restarts, never reused. */
typedef uint64_t mp_flow_id;

/* One learned component (RTP or RTCP) of one stream:
 *
 *   caller_remote <-> caller_local [relay] callee_local <-> callee_remote
 */
typedef struct mp_flow {
    uint32_t    struct_size;
    uint32_t    mark;              /* packet mark, 0 for none */
    mp_flow_id  id;
    mp_endpoint caller_remote, caller_local;
    mp_endpoint callee_local, callee_remote;
    int32_t     caller_fd;         /* the bound sockets behind *_local: borrowed, never  */
    int32_t     callee_fd;         /* closed by the plugin, valid until remove() returns */
    uint32_t    orphan_timeout_ms; /* kernel state may vanish when both directions are silent this long */
    uint8_t     dscp;              /* 0..63, 255 leaves it alone */
    uint8_t     reserved[3];
} mp_flow;

/* What a flow has carried since install(). Frozen. */
typedef struct mp_flow_reading {
    mp_flow_id id;
    mp_traffic from_caller, from_callee;
    int64_t    caller_seen_ms, callee_seen_ms; /* last packet, CLOCK_BOOTTIME; -1 = the back end cannot tell */
} mp_flow_reading;

#define MP_FLOW_DELETED 0u /* someone else deleted the state */
#define MP_FLOW_FAILED  1u /* it can no longer forward       */

#define MP_SIDE_CALLER 0u
#define MP_SIDE_CALLEE 1u

/* How a back end talks to the host. Valid as long as mp_host. The host decides what is idle, from
 * readings; it answers a lost flow, later, with remove(). Late or repeated reports are ignored. [any-thread] */
typedef struct mp_flow_events {
    uint32_t struct_size;
    uint32_t reserved;
    void (*lost)(const mp_host *host, mp_flow_id id, uint32_t reason);

    /* Back ends that read the sockets: a packet from a source that is not the flow's. Copied by the host. */
    void (*stray)(const mp_host *host, mp_flow_id id, uint32_t side, const mp_endpoint *from,
                  const void *data, uint32_t size);

    /* The answer to read(), in as many pieces as it likes; `last` is 1 on the last one. */
    void (*readings)(const mp_host *host, uint64_t request, const mp_flow_reading *readings,
                     uint32_t count, uint32_t last);
} mp_flow_events;

#define MP_FORWARDING_READS_SOCKETS    1u /* the host must stop reading *_fd while a flow is installed */
#define MP_FORWARDING_OUTLIVES_PROCESS 2u /* destroy(MP_DESTROY_LEAVE) keeps flows forwarding          */

#define MP_DESTROY_REMOVE 0u
#define MP_DESTROY_LEAVE  1u

typedef struct mp_forwarding {
    uint32_t struct_size;
    uint32_t flags; /* MP_FORWARDING_* */

    /* Probe here: open the netlink socket, check the kernel, say what is missing. [core-thread, at start, may block] */
    mp_status (*create)(const mp_host *host, const mp_flow_events *events,
                        const mp_setting *settings, uint32_t setting_count,
                        void **instance, mp_error *error);

    /* Once, after create(): take over flows of this owner that a predecessor left; what is ours and not named
     * here is removed. Writes each[i]: MP_OK or why flow i must be installed anew, as a flow that no
     * predecessor left must. With count 0 the arrays are NULL. [core-thread, at start, may block] */
    mp_status (*adopt)(void *instance, const mp_flow *const *flows, uint32_t count,
                       mp_status *each, mp_flow_reading *so_far, mp_error *error);

    /* One transaction. Writes each[i]; where it is not MP_OK the host keeps relaying flow i by itself.
     * [core-thread, must not block] */
    mp_status (*install)(void *instance, const mp_flow *const *flows, uint32_t count,
                         mp_status *each, mp_error *error);

    /* The flow's endpoints moved. No packet is lost or left uncounted: what comes in between reaches the
     * sockets. Its totals go on. A flow that is not installed is refused. [core-thread, must not block] */
    mp_status (*replace)(void *instance, const mp_flow *flow, mp_flow_reading *until_now, mp_error *error);

    /* Stops flows and reports their final totals, so that no packet falls between reading and removing.
     * They are gone whatever this returns. finals[i] is that of ids[i], zeros when there is no such flow.
     * [core-thread, must not block] */
    mp_status (*remove)(void *instance, const mp_flow_id *ids, uint32_t count,
                        mp_flow_reading *finals, mp_error *error);

    /* All flows, each once; answered by events->readings(), once with `last`, also when there are no flows.
     * [core-thread, must not block] */
    mp_status (*read)(void *instance, uint64_t request, mp_error *error);

    /* Join your threads here. [core-thread, at stop] */
    void (*destroy)(void *instance, uint32_t mode);
} mp_forwarding;

#ifdef __cplusplus
}
#endif
#endif
