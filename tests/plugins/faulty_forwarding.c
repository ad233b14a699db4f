/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A forwarding plugin that forwards nothing and is right but for one thing: the FAULT that the build
 * names (meson.build). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mediaproxy/forwarding.h>

#define MOST_FLOWS 64

struct table {
    const mp_host *host;
    const mp_flow_events *events;
    mp_flow_reading flows[MOST_FLOWS];
    int fds[MOST_FLOWS];
    uint32_t count;
};

/* Of all instances, where they should be each one's own. */
static struct table *shared;

static int has_fault(const char *name)
{
    return strcmp(FAULT, name) == 0;
}

static mp_status fail(mp_error *error, mp_status status, const char *sentence)
{
    snprintf(error->message, sizeof error->message, "%s", sentence);
    return status;
}

static mp_status create(const mp_host *host, const mp_flow_events *events,
                        const mp_setting *settings, uint32_t setting_count, void **instance,
                        mp_error *error)
{
    struct table *self;
    (void)settings;

    if (has_fault("may_not"))
        return fail(error, MP_E_DENIED, "needs CAP_NET_ADMIN");
    if (has_fault("fails"))
        return fail(error, MP_E_FAILED, "no idea");
    if (setting_count > 0)
        return fail(error, MP_E_INVALID, "there are no settings");
    self = has_fault("shares_its_flows") && shared != NULL ? shared : calloc(1, sizeof *self);
    shared = self;
    self->host = host;
    self->events = events;
    *instance = self;
    return MP_OK;
}

static mp_flow_reading reading_of(mp_flow_id id)
{
    const mp_flow_reading reading = {id, {0, 0}, {0, 0}, -1, -1};
    return reading;
}

static uint32_t find(const struct table *self, mp_flow_id id)
{
    uint32_t i = 0;
    while (i < self->count && self->flows[i].id != id)
        ++i;
    return i;
}

static mp_status adopt(void *instance, const mp_flow *const *flows, uint32_t count,
                       mp_status *each, mp_flow_reading *so_far, mp_error *error)
{
    struct table *self = instance;
    (void)error;

    if (has_fault("needs_a_flow_to_adopt") && flows[0]->struct_size == 0)
        return MP_E_FAILED;
    for (uint32_t i = 0; i < count; ++i) {
        so_far[i] = reading_of(flows[i]->id);
        each[i] = has_fault("adopts_anything") ? MP_OK : MP_E_UNSUPPORTED;
    }
    (void)self;
    return MP_OK;
}

static mp_status install(void *instance, const mp_flow *const *flows, uint32_t count,
                         mp_status *each, mp_error *error)
{
    struct table *self = instance;

    for (uint32_t i = 0; i < count; ++i) {
        if (self->count == MOST_FLOWS) {
            each[i] = fail(error, MP_E_FAILED, "the table is full");
            continue;
        }
        if (has_fault("forgets_each") && i > 0)
            break;
        each[i] = has_fault("odd_each") ? 7 : MP_OK;
        self->fds[self->count] = flows[i]->caller_fd;
        self->flows[self->count++] = reading_of(flows[i]->id);
    }
    if (has_fault("writes_past_each"))
        each[count] = MP_OK;
    return MP_OK;
}

static mp_status replace(void *instance, const mp_flow *flow, mp_flow_reading *until_now,
                         mp_error *error)
{
    struct table *self = instance;

    *until_now = reading_of(has_fault("replaces_another") ? flow->id + 1 : flow->id);
    if (find(self, flow->id) == self->count && !has_fault("replaces_anything"))
        return fail(error, MP_E_INVALID, "the flow is not installed");
    if (has_fault("cannot_replace"))
        return fail(error, MP_E_UNSUPPORTED, "this cannot be done");
    return MP_OK;
}

static mp_status remove_flows(void *instance, const mp_flow_id *ids, uint32_t count,
                              mp_flow_reading *finals, mp_error *error)
{
    struct table *self = instance;
    mp_status status = MP_OK;

    for (uint32_t i = 0; i < count; ++i) {
        const uint32_t place = find(self, ids[i]);
        finals[i] = reading_of(has_fault("mixes_finals_up") ? 0 : ids[i]);
        if (place == self->count) {
            if (has_fault("crashes_on_unknown"))
                abort();
            status = fail(error, MP_E_INVALID, "the flow is not installed");
            continue;
        }
        if (has_fault("closes_sockets"))
            close(self->fds[place]);
        if (has_fault("keeps_flows"))
            continue;
        --self->count;
        self->flows[place] = self->flows[self->count];
        self->fds[place] = self->fds[self->count];
    }
    return status;
}

static mp_status read_flows(void *instance, uint64_t request, mp_error *error)
{
    struct table *self = instance;
    (void)error;

    if (has_fault("never_answers") || (has_fault("answers_flows_only") && self->count == 0))
        return MP_OK;
    if (has_fault("answers_another"))
        request += 1;
    self->events->readings(self->host, request, self->flows, self->count, 1);
    if (has_fault("answers_twice"))
        self->events->readings(self->host, request, self->flows, self->count, 1);
    return MP_OK;
}

static void destroy(void *instance, uint32_t mode)
{
    (void)mode;
    if (!has_fault("shares_its_flows"))
        free(instance);
    else
        ((struct table *)instance)->count = 0;
}

static const mp_forwarding forwarding = {
    sizeof forwarding, FLAGS, create, adopt, install, replace, remove_flows, read_flows, destroy,
};

static const void *get_interface(const char *id)
{
    return strcmp(id, MP_FORWARDING) == 0 ? &forwarding : NULL;
}

static const char *const setting_keys[] = {NULL};

MP_EXPORT const mp_plugin mediaproxy_plugin = {
    MP_ABI_VERSION, sizeof(mp_plugin), FAULT,        "0.1",
    "a faulty plugin of the tests", setting_keys, get_interface,
};
