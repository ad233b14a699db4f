/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An accounting plugin that is right but for what the build defines otherwise (meson.build). */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <mediaproxy/accounting.h>

#ifndef BAD_ABI
#define BAD_ABI MP_ABI_VERSION
#endif
#ifndef BAD_STRUCT_SIZE
#define BAD_STRUCT_SIZE sizeof(mp_plugin)
#endif
#ifndef BAD_NAME
#define BAD_NAME "good"
#endif
#ifndef BAD_KEYS
#define BAD_KEYS setting_keys
#endif
#ifndef BAD_VTABLE_SIZE
#define BAD_VTABLE_SIZE sizeof(mp_accounting)
#endif
#ifndef BAD_WRITE
#define BAD_WRITE write_records
#endif
#ifndef BAD_INTERFACE
#define BAD_INTERFACE (&accounting)
#endif
#ifndef BAD_CREATE_STATUS
#define BAD_CREATE_STATUS MP_OK
#endif

/* Not static: a build may leave any of these unused. The version script keeps them inside. */
mp_status create(const mp_host *host, const mp_setting *settings, uint32_t setting_count,
                        void **instance, mp_error *error)
{
    (void)host, (void)settings, (void)setting_count;
    *instance = NULL;
    snprintf(error->message, sizeof error->message, "the moon is in the wrong phase");
    return BAD_CREATE_STATUS;
}

mp_status open_nothing(void *instance, mp_error *error)
{
    (void)instance, (void)error;
    return MP_OK;
}

mp_status write_records(void *instance, const mp_session_record *const *records,
                               uint32_t count, uint32_t *done, mp_error *error)
{
    (void)instance, (void)records, (void)error;
    *done = count;
    return MP_OK;
}

void destroy(void *instance)
{
    (void)instance;
}

const mp_accounting accounting = {
    BAD_VTABLE_SIZE, 0, create, open_nothing, BAD_WRITE, NULL, destroy,
};

static const void *get_interface(const char *id)
{
    return strcmp(id, MP_ACCOUNTING) == 0 ? BAD_INTERFACE : NULL;
}

const char *const setting_keys[] = {"colour", "password", NULL};

MP_EXPORT const mp_plugin mediaproxy_plugin = {
    BAD_ABI, BAD_STRUCT_SIZE, BAD_NAME, "0.1", "a plugin of the tests", BAD_KEYS, get_interface,
};
