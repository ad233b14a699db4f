/* SPDX-License-Identifier: MIT */
#ifndef MEDIAPROXY_PLUGIN_H
#define MEDIAPROXY_PLUGIN_H

/* A plugin is a shared object in the daemon's plugin folder. Its file is named after its kind and
 * its name, accounting_NAME.so or forwarding_NAME.so, and it exports one constant, the
 * mp_plugin at the end of this header:
 *
 *   dlopen -> mediaproxy_plugin: abi, struct_size, name checked, then the setting_keys
 *          -> get_interface(MP_ACCOUNTING or MP_FORWARDING) -> that vtable's create()
 *          -> ... -> destroy() -> dlclose
 *
 * Every function says which thread calls it:
 *   [core-thread]    the daemon's one event loop: must not block, unless it says that it may
 *   [worker-thread]  a thread of this instance: may block; never two calls at a time
 *   [any-thread]     any of them, also while another call is under way
 *
 * Arguments are borrowed for the call. Nothing is freed across the border, no C++ exception
 * crosses it. mediaproxyd-plugin(7) is the guide. */

#include <mediaproxy/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#  define MP_EXPORT __attribute__((visibility("default")))
#else
#  define MP_EXPORT
#endif

/* 1.0  first release */
#define MP_ABI_MAJOR   1
#define MP_ABI_MINOR   0
#define MP_ABI_VERSION (((uint32_t)MP_ABI_MAJOR << 16) | MP_ABI_MINOR)

typedef int32_t mp_log_level;
#define MP_LOG_ERROR   0
#define MP_LOG_WARNING 1
#define MP_LOG_INFO    2
#define MP_LOG_DEBUG   3

#define MP_FD_READ  1u
#define MP_FD_WRITE 2u

/* What the daemon does for one plugin instance. Owned by the host; valid from
 * create() until destroy() of that instance returns. Its address says which instance
 * calls: pass the pointer that create() got, never a copy of the struct. */
typedef struct mp_host {
    uint32_t    struct_size;
    uint32_t    abi;     /* MP_ABI_VERSION of the daemon    */
    const char *version; /* e.g. "1.4.0", for messages only */
    const char *owner;     /* stable id of this daemon instance: mark kernel state with it */
    const char *state_dir; /* an existing folder for what the plugin must keep, "" if none */

    /* One line, without the plugin's name and without a newline. For what is not the error of a
     * call: that goes into mp_error and the daemon logs it. [any-thread] */
    void (*log)(const struct mp_host *host, mp_log_level level, const char *message);

    /* Calls fn(user) on the core thread, soon, once; not any more once destroy() began. [any-thread] */
    void (*post)(const struct mp_host *host, void (*fn)(void *user), void *user);

    /* Level-triggered. The plugin keeps owning fd and unwatches before it closes. [core-thread] */
    mp_status (*watch_fd)(const struct mp_host *host, int fd, uint32_t events,
                          void (*fn)(void *user, uint32_t events), void *user, uint32_t *watch_id);
    void (*unwatch_fd)(const struct mp_host *host, uint32_t watch_id); /* [core-thread] */

    /* Optional host services by id, e.g. "mp.tracing/1". NULL when absent. [any-thread] */
    const void *(*get_service)(const struct mp_host *host, const char *id);
} mp_host;

/* The one exported symbol: `MP_EXPORT const mp_plugin mediaproxy_plugin = {...};`
 * A constant, so the host reads the version before it runs any plugin code. */
typedef struct mp_plugin {
    uint32_t    abi;         /* MP_ABI_VERSION. This field and the next never move. */
    uint32_t    struct_size; /* sizeof(mp_plugin) */
    const char *name;        /* "sqlite": also the name of its table in the configuration */
    const char *version;     /* of the plugin */
    const char *description; /* one line, for --list-plugins */
    const char *const *setting_keys; /* NULL-terminated; the host refuses any other key. Letters,
                                        digits, _ and -; `plugin` is the host's own */

    /* Returns the vtable for MP_ACCOUNTING, MP_FORWARDING, ..., the same one each time, or NULL for
     * an id that it does not know: compare the whole of it. [core-thread] */
    const void *(*get_interface)(const char *id);
} mp_plugin;

#define MP_PLUGIN_SYMBOL "mediaproxy_plugin"
extern MP_EXPORT const mp_plugin mediaproxy_plugin;

#ifdef __cplusplus
}
#endif
#endif
