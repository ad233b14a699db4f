/* SPDX-License-Identifier: MIT */
#ifndef MEDIAPROXY_TYPES_H
#define MEDIAPROXY_TYPES_H

/* The types that every plugin interface uses. Start at plugin.h. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* True when the struct that `p` points at is long enough to contain `member`. */
#define MP_HAS(p, member) /* in a vtable, check for NULL too */ \
    ((p)->struct_size >= (uint32_t)((const char *)(&(p)->member + 1) - (const char *)(p)))

/* A struct that starts with struct_size may grow at its end: it is only ever passed
 * by pointer, its creator sets struct_size, and its user asks MP_HAS before touching
 * a member newer than 1.0. Every other struct here is frozen for ABI major 1. */

/* Results. 0 is success, failures are negative; treat an unknown one as MP_E_FAILED. */
typedef int32_t mp_status;
#define MP_OK               0
#define MP_E_FAILED      (-1) /* anything else; see the message                         */
#define MP_E_INVALID     (-2) /* a setting or an argument is wrong; retrying is useless */
#define MP_E_UNSUPPORTED (-3) /* this kernel, family or backend cannot do it            */
#define MP_E_DENIED      (-4) /* a privilege is missing, e.g. CAP_NET_ADMIN             */
#define MP_E_AGAIN       (-5) /* temporary; the host may call again later               */

/* Where a failing call explains itself. The caller owns it; the callee writes a
 * NUL-terminated UTF-8 sentence without a newline, cut to fit at a character, not in
 * one. What it holds before the call means nothing. Never NULL. */
typedef struct mp_error {
    char message[256];
} mp_error;

/* One `key = value` of the plugin's own TOML table, value in canonical text. An array is the
 * key repeated. A secret may stand in a file: `password_file` arrives as `password`. */
typedef struct mp_setting {
    const char *key;
    const char *value;
} mp_setting;

/* A UDP endpoint. `port` is in host order, `address` in network order
 * (4 bytes used when family is 4). family 0 means "not known". */
typedef struct mp_endpoint {
    uint8_t  family; /* 0, 4 or 6 */
    uint8_t  reserved;
    uint16_t port;
    uint8_t  address[16];
} mp_endpoint;

typedef struct mp_traffic {
    uint64_t packets;
    uint64_t bytes; /* whole IP packets, as the kernel counts them: IP header + UDP header + payload */
} mp_traffic;

#ifdef __cplusplus
}
#endif
#endif
