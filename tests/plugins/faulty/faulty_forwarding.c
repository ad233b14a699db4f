/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A forwarding plugin that is right but for one thing: the FAULT that the build names (meson.build).
 * With MP_FORWARDING_READS_SOCKETS in FLAGS it forwards on the core thread, else not at all. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mediaproxy/forwarding.h>

#define MOST_FLOWS 64

struct table;

struct entry {
    struct table *table;
    mp_flow flow;
    mp_flow_reading reading;
    uint32_t caller_watch, callee_watch;
};

struct table {
    const mp_host *host;
    const mp_flow_events *events;
    struct entry *entries[MOST_FLOWS];
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
    while (i < self->count && self->entries[i]->flow.id != id)
        ++i;
    return i;
}

/* A packet is at one of the flow's sockets. */
static void forward(struct entry *entry, uint32_t side)
{
    const mp_flow *flow = &entry->flow;
    const int from_caller = side == MP_SIDE_CALLER;
    const mp_endpoint *party = from_caller ? &flow->caller_remote : &flow->callee_remote;
    const mp_endpoint *other = from_caller ? &flow->callee_remote : &flow->caller_remote;
    mp_traffic *counter = from_caller ? &entry->reading.from_caller : &entry->reading.from_callee;
    struct sockaddr_in source, target = {.sin_family = AF_INET, .sin_port = htons(other->port)};
    mp_endpoint stranger = {.family = 4};
    socklen_t length = sizeof source;
    char packet[2048];
    const ssize_t size = recvfrom(from_caller ? flow->caller_fd : flow->callee_fd, packet,
                                  sizeof packet, 0, (struct sockaddr *)&source, &length);

    if (size < 0 || has_fault("drops_packets"))
        return;
    if (ntohs(source.sin_port) != party->port && !has_fault("passes_strangers")) {
        stranger.port = ntohs(source.sin_port);
        memcpy(stranger.address, &source.sin_addr, 4);
        if (has_fault("mixes_sides_up"))
            side = !side;
        if (!has_fault("drops_strangers"))
            entry->table->events->stray(entry->table->host, flow->id, side, &stranger, packet,
                                        (uint32_t)size);
        return;
    }
    counter->packets += 1;
    counter->bytes += (uint64_t)size + (has_fault("forgets_headers") ? 0 : 28);
    memcpy(&target.sin_addr, other->address, 4);
    if (from_caller == !has_fault("sends_from_elsewhere"))
        sendto(flow->callee_fd, packet, (size_t)size, 0, (struct sockaddr *)&target, sizeof target);
    else
        sendto(flow->caller_fd, packet, (size_t)size, 0, (struct sockaddr *)&target, sizeof target);
}

static void on_caller(void *entry, uint32_t events)
{
    (void)events;
    forward(entry, MP_SIDE_CALLER);
}

static void on_callee(void *entry, uint32_t events)
{
    (void)events;
    forward(entry, MP_SIDE_CALLEE);
}

static void add(struct table *self, const mp_flow *flow)
{
    struct entry *entry = calloc(1, sizeof *entry);

    entry->table = self;
    entry->flow = *flow;
    entry->reading = reading_of(flow->id);
    self->entries[self->count++] = entry;
    if ((FLAGS & MP_FORWARDING_READS_SOCKETS) == 0)
        return;
    self->host->watch_fd(self->host, flow->caller_fd, MP_FD_READ, on_caller, entry,
                         &entry->caller_watch);
    self->host->watch_fd(self->host, flow->callee_fd, MP_FD_READ, on_callee, entry,
                         &entry->callee_watch);
}

static void drop(struct table *self, uint32_t place)
{
    struct entry *entry = self->entries[place];

    if ((FLAGS & MP_FORWARDING_READS_SOCKETS) != 0) {
        self->host->unwatch_fd(self->host, entry->caller_watch);
        self->host->unwatch_fd(self->host, entry->callee_watch);
    }
    free(entry);
    self->entries[place] = self->entries[--self->count];
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
        add(self, flows[i]);
    }
    if (has_fault("writes_past_each"))
        each[count] = MP_OK;
    return MP_OK;
}

static mp_status replace(void *instance, const mp_flow *flow, mp_flow_reading *until_now,
                         mp_error *error)
{
    struct table *self = instance;
    const uint32_t place = find(self, flow->id);

    *until_now = reading_of(flow->id);
    if (place == self->count)
        return has_fault("replaces_anything")
                   ? MP_OK
                   : fail(error, MP_E_INVALID, "the flow is not installed");
    if (has_fault("cannot_replace"))
        return fail(error, MP_E_UNSUPPORTED, "this cannot be done");
    *until_now = self->entries[place]->reading;
    if (has_fault("replaces_another"))
        until_now->id += 1;
    self->entries[place]->flow = *flow;
    if (has_fault("counts_anew"))
        self->entries[place]->reading = reading_of(flow->id);
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
        if (!has_fault("mixes_finals_up"))
            finals[i] = self->entries[place]->reading;
        if (has_fault("closes_sockets"))
            close(self->entries[place]->flow.caller_fd);
        if (!has_fault("keeps_flows"))
            drop(self, place);
    }
    return status;
}

static mp_status read_flows(void *instance, uint64_t request, mp_error *error)
{
    struct table *self = instance;
    mp_flow_reading readings[MOST_FLOWS];
    (void)error;

    for (uint32_t i = 0; i < self->count; ++i)
        readings[i] = self->entries[i]->reading;
    if (has_fault("never_answers") || (has_fault("answers_flows_only") && self->count == 0))
        return MP_OK;
    if (has_fault("answers_another"))
        request += 1;
    self->events->readings(self->host, request, readings, self->count, 1);
    if (has_fault("answers_twice"))
        self->events->readings(self->host, request, readings, self->count, 1);
    return MP_OK;
}

static void destroy(void *instance, uint32_t mode)
{
    struct table *self = instance;
    (void)mode;

    while (self->count > 0)
        drop(self, 0);
    if (!has_fault("shares_its_flows"))
        free(self);
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
