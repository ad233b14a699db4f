/* SPDX-License-Identifier: MIT */
#ifndef MEDIAPROXY_ACCOUNTING_H
#define MEDIAPROXY_ACCOUNTING_H

/* Takes the record of every finished session somewhere.
 *
 *   create -> open -> write -> write -> ... -> destroy
 *              ^        |
 *              +--------+  after MP_E_AGAIN, a little later, with the same records again
 *
 * The daemon keeps each record on disk until write() has it, also over a crash: a record may come
 * twice, with the same record_id. */

#include <mediaproxy/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MP_ACCOUNTING "mp.accounting/1"

/* Times are Unix time in milliseconds; -1 means "did not happen". The wall clock may have stepped
 * during a call: a session can end before it began.
 * Strings are NUL-terminated UTF-8 of any length, "" when unknown, never NULL. What is longer than a
 * column is cut, not refused: json has it whole. */

typedef struct mp_stream_record {
    uint32_t    struct_size;
    uint32_t    reserved;
    const char *media_type; /* "audio", "video", ...          */
    const char *status;     /* "closed", "rejected", ...      */
    const char *caller_codec;
    const char *callee_codec;
    int64_t     created_at; /* the offer */
    int64_t     started_at; /* the answer */
    int64_t     ended_at;
    int64_t     first_media_at;
    mp_endpoint caller_remote, caller_local;
    mp_endpoint callee_remote, callee_local;
    mp_traffic  rtp_from_caller, rtp_from_callee;
    mp_traffic  rtcp_from_caller, rtcp_from_callee;
} mp_stream_record;

typedef struct mp_session_record {
    uint32_t    struct_size;
    uint32_t    end_reason; /* MP_END_*; later hosts may know more of them */
    const char *record_id;  /* unique; the same on every retry: use it as a unique key */
    const char *call_id, *from_tag, *to_tag;
    const char *from_uri, *to_uri;
    const char *caller_user_agent, *callee_user_agent;
    const char *username;
    const char *dialog_id;
    const char *relay;       /* the relay's name */
    int64_t     started_at;  /* first answer with media, 183 included */
    int64_t     answered_at; /* first answer with a to_tag */
    int64_t     ended_at;
    const mp_stream_record *const *streams; /* pointers, so that the element may grow; NULL for none */
    uint32_t    stream_count; /* any number */
    uint32_t    reserved;
    const char *json; /* the whole record again, as the daemon's JSON */
} mp_session_record;

#define MP_END_REMOVED  0u /* the SIP proxy ended the session */
#define MP_END_TIMEOUT  1u /* media stopped                   */
#define MP_END_ICE      2u /* endpoints chose a direct path   */
#define MP_END_SHUTDOWN 3u /* the relay ended it: it stopped, or the session reached its longest time */
#define MP_END_LOST     4u /* the relay died; figures as of its last save */

typedef struct mp_accounting {
    uint32_t struct_size;
    uint32_t reserved;

    /* Reads settings; no I/O. They are valid during the call only: copy what you keep. No settings
     * are NULL and 0. A failing create() leaves no instance: destroy() is not called. [core-thread] */
    mp_status (*create)(const mp_host *host, const mp_setting *settings, uint32_t setting_count,
                        void **instance, mp_error *error);

    /* Connects, makes the table. May block. Called before the first write() and after each MP_E_AGAIN: what
     * is open already is opened anew. MP_E_AGAIN: the host calls again, later; so too when the table may
     * not be created (its definition is logged once, for a person to run). [worker-thread] */
    mp_status (*open)(void *instance, mp_error *error);

    /* Records in order, one at least. May block. records[0 .. *done) are durable when it returns. MP_OK when
     * those are all; else the status is that of records[*done]: MP_E_AGAIN keeps it queued (and open() is
     * called first), anything else parks it. *done is 0 before the call. A record that is there already, by
     * its record_id, is done. Calls for one instance never overlap, and need not come from one thread; the
     * records are valid during the call only. [worker-thread] */
    mp_status (*write)(void *instance, const mp_session_record *const *records, uint32_t count,
                       uint32_t *done, mp_error *error);

    /* The daemon stops: a blocking open() or write(), and one that begins later, returns soon, with
     * MP_E_AGAIN or, when it was done all the same, MP_OK: any other status would park a record. Does not
     * block; called any number of times. Optional. [any-thread] */
    void (*cancel)(void *instance);

    /* After the last write() returned. Must not fail. [core-thread] */
    void (*destroy)(void *instance);
} mp_accounting;

#ifdef __cplusplus
}
#endif
#endif
