/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An accounting plugin that keeps records in memory and is right but for one thing: the FAULT that
 * the build names (meson.build). Each is a mistake that somebody will make. */
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mediaproxy/accounting.h>

struct sink {
    const mp_host *host;
    const mp_setting *settings; /* borrowed: of use to one fault only */
    const mp_session_record *first;
    char **ids;
    size_t count;
    pthread_t writer;
    atomic_int cancelled;
    size_t busy_at; /* how many records there were when it said so last */
};

static int has_fault(const char *name)
{
    return strcmp(FAULT, name) == 0;
}

static mp_status fail(mp_error *error, mp_status status, const char *sentence)
{
    if (has_fault("says_nothing"))
        return status;
    if (has_fault("no_zero_byte"))
        memset(error->message, '!', sizeof error->message);
    else if (has_fault("not_utf8"))
        strcpy(error->message, "caf\xe9");
    else if (has_fault("newline"))
        snprintf(error->message, sizeof error->message, "%s\n", sentence);
    else
        snprintf(error->message, sizeof error->message, "%s", sentence);
    return status;
}

static void on_readable(void *user, uint32_t events)
{
    (void)user, (void)events;
}

static void *watch(void *host)
{
    int ends[2];
    uint32_t id;

    if (pipe(ends) != 0)
        abort();
    ((const mp_host *)host)->watch_fd(host, ends[0], MP_FD_READ, on_readable, NULL, &id);
    ((const mp_host *)host)->unwatch_fd(host, id);
    close(ends[0]);
    close(ends[1]);
    return NULL;
}

static void watch_from_a_thread(const mp_host *host)
{
    pthread_t thread;
    pthread_create(&thread, NULL, watch, (void *)host);
    pthread_join(thread, NULL);
}

static void *wait_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void start_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for_ever, NULL);
}

static mp_status create(const mp_host *host, const mp_setting *settings, uint32_t setting_count,
                        void **instance, mp_error *error)
{
    static int instances;
    struct sink *self;

    if (has_fault("one_instance") && ++instances > 1)
        abort();
    if (has_fault("refuses"))
        return fail(error, MP_E_INVALID, "path: there must be one");
    if (has_fault("crashes_without_settings") && settings[0].key[0] == '\0')
        return MP_E_INVALID;
    for (uint32_t i = 0; i < setting_count; ++i) {
        if (has_fault("cuts_a_value")) {
            char small[64];
            memset(small, 0, sizeof small);
            if (strlen(settings[i].value) >= sizeof small)
                abort();
        }
        if (strcmp(settings[i].key, "colour") == 0 && strcmp(settings[i].value, "-1") == 0) {
            if (has_fault("invents_a_status"))
                return fail(error, 42, "colour: there is no such colour");
            return fail(error, MP_E_INVALID, "colour: there is no such colour");
        }
    }
    if (has_fault("long_sentence"))
        memset(error->message, 'x', sizeof error->message + 1);
    self = calloc(1, sizeof *self);
    self->host = host;
    self->settings = setting_count > 0 ? settings : NULL;
    if (has_fault("logs_newline"))
        host->log(host, MP_LOG_INFO, "ready\n");
    if (has_fault("logs_odd_level"))
        host->log(host, 7, "ready");
    if (has_fault("logs_to_a_copy")) {
        const mp_host copy = *host;
        copy.log(&copy, MP_LOG_INFO, "ready");
    }
    if (has_fault("logs_after_destroy")) {
        static const mp_host *last;
        if (last != NULL)
            last->log(last, MP_LOG_INFO, "gone");
        last = host;
    }
    if (has_fault("watches_elsewhere"))
        watch_from_a_thread(host);
    if (has_fault("prints"))
        printf("ready\n"), fflush(stdout);
    if (has_fault("changes_locale"))
        setlocale(LC_ALL, "C.UTF-8");
    if (has_fault("changes_signal"))
        signal(SIGPIPE, SIG_DFL);
    if (has_fault("changes_folder") && chdir("/") != 0)
        abort();
    if (has_fault("changes_umask"))
        umask(0);
    if (has_fault("changes_environment"))
        setenv("TZ", "UTC", 1);
    if (has_fault("leaks_descriptor") && open("/dev/null", O_RDONLY) < 0)
        abort();
    if (has_fault("leaks_thread"))
        start_thread();
    *instance = self;
    return MP_OK;
}

static mp_status open_sink(void *instance, mp_error *error)
{
    struct sink *self = instance;

    if (has_fault("does_not_open"))
        return fail(error, MP_E_AGAIN, "the database is away");
    if (has_fault("reads_old_settings") && self->settings != NULL && self->settings->key[0] == '?')
        return fail(error, MP_E_FAILED, "an odd key");
    if (has_fault("opens_once") && self->writer != 0)
        return fail(error, MP_E_FAILED, "it is open already");
    if (has_fault("ends_the_process"))
        exit(3);
    if (has_fault("fails_after_cancel") && self->cancelled)
        return fail(error, MP_E_FAILED, "interrupted");
    self->writer = pthread_self();
    return MP_OK;
}

static int is_known(const struct sink *self, const char *id)
{
    for (size_t i = 0; i < self->count; ++i)
        if (strcmp(self->ids[i], id) == 0)
            return 1;
    return 0;
}

/* What is wrong with it, for a plugin with such a fault; NULL when nothing is. */
static const char *find_trouble(const struct sink *self, const mp_session_record *record)
{
    if (has_fault("no_duplicates") && is_known(self, record->record_id))
        return "UNIQUE constraint failed";
    if (has_fault("ascii_only"))
        for (const char *c = record->from_uri; *c != '\0'; ++c)
            if ((unsigned char)*c > 127)
                return "not ASCII";
    if (has_fault("short_texts") && strlen(record->from_uri) > 255)
        return "data too long for column from_uri";
    if (has_fault("few_streams") && record->stream_count > 8)
        return "too many streams";
    if (has_fault("small_counters") && record->stream_count > 0 &&
        record->streams[0]->rtp_from_caller.bytes > UINT32_MAX)
        return "out of range";
    if (has_fault("must_know") && record->answered_at < 0)
        return "no time of the answer";
    if (has_fault("must_know_reason") && record->end_reason > MP_END_LOST)
        return "unknown end_reason";
    if (has_fault("exact_size") && record->struct_size != sizeof *record)
        return "made for another version";
    if (has_fault("one_thread") && !pthread_equal(self->writer, pthread_self()))
        return "called by another thread";
    return NULL;
}

static void touch(struct sink *self, const mp_session_record *const *records, uint32_t count,
                  uint32_t *done)
{
    if (has_fault("crashes_without_streams") && records[0]->streams[0]->reserved != 0)
        abort();
    if (has_fault("overflows") && strlen(records[0]->to_uri) > 4096)
        raise(SIGSEGV);
    if (has_fault("reads_behind") && ((const uint32_t *)(records[0] + 1))[0] == 4711)
        abort();
    if (has_fault("takes_an_array") && count > 1 && (*records)[1].struct_size == 0)
        abort();
    if (has_fault("writes_into_record"))
        *(char *)records[0]->from_uri = 'X';
    if (has_fault("writes_behind_done"))
        done[1] = count;
    if (has_fault("writes_before_done"))
        done[-1] = count;
    if (has_fault("keeps_records") && self->first != NULL && self->first->reserved != 0)
        abort();
    self->first = records[0];
}

static void keep(struct sink *self, const char *id)
{
    if (is_known(self, id))
        return;
    self->ids = realloc(self->ids, (self->count + 1) * sizeof *self->ids);
    self->ids[self->count++] = strdup(id);
}

static mp_status write_records(void *instance, const mp_session_record *const *records,
                               uint32_t count, uint32_t *done, mp_error *error)
{
    struct sink *self = instance;

    touch(self, records, count, done);
    if (has_fault("hangs"))
        wait_for_ever(NULL);
    if (has_fault("hangs_after_cancel") && self->cancelled)
        wait_for_ever(NULL);
    if (has_fault("never_ready"))
        return fail(error, MP_E_AGAIN, "a lock is held");
    for (*done = 0; *done < count; ++*done) {
        const char *trouble = find_trouble(self, records[*done]);
        if (trouble != NULL)
            return fail(error, MP_E_FAILED, trouble);
        if (has_fault("busy_at_times") && self->count % 10 == 7 && self->busy_at != self->count) {
            self->busy_at = self->count;
            return fail(error, MP_E_AGAIN, "a lock is held");
        }
        if (has_fault("small_batches") && *done == 100)
            return fail(error, MP_E_FAILED, "the batch is too large");
        if (has_fault("fails_after_cancel") && self->cancelled)
            return fail(error, MP_E_FAILED, "interrupted");
        if (has_fault("crashes_when_cancelled") && self->cancelled)
            raise(SIGSEGV);
        keep(self, records[*done]->record_id);
    }
    if (has_fault("counts_too_far"))
        *done = count + 1;
    if (has_fault("counts_too_little"))
        *done = count - 1;
    if (has_fault("done_but_failed"))
        return fail(error, MP_E_AGAIN, "the connection was lost at the end");
    return MP_OK;
}

static void cancel(void *instance)
{
    struct sink *self = instance;

    if (has_fault("cancel_hangs"))
        wait_for_ever(NULL);
    self->cancelled = 1;
}

static void destroy(void *instance)
{
    struct sink *self = instance;

    if (has_fault("destroy_hangs"))
        wait_for_ever(NULL);
    if (has_fault("frees_twice"))
        abort();
    if (has_fault("closes_what_is_not_its_own"))
        close(STDIN_FILENO);
    for (size_t i = 0; i < self->count; ++i)
        free(self->ids[i]);
    free(self->ids);
    free(self);
}

static const mp_accounting accounting = {
    sizeof accounting, 0, create, open_sink, write_records, cancel, destroy,
};

static const void *get_interface(const char *id)
{
    if (has_fault("offers_everything"))
        return &accounting;
    if (has_fault("compares_the_beginning"))
        return strncmp(id, MP_ACCOUNTING, strlen(MP_ACCOUNTING)) == 0 ? &accounting : NULL;
    return strcmp(id, MP_ACCOUNTING) == 0 ? &accounting : NULL;
}

#ifdef CRASHES_IN_CONSTRUCTOR
__attribute__((constructor)) static void start(void)
{
    raise(SIGSEGV);
}
#endif

#ifndef KEYS
#define KEYS "colour", "path"
#endif
static const char *const setting_keys[] = {KEYS, NULL};

#ifndef DESCRIPTION
#define DESCRIPTION "a faulty plugin of the tests"
#endif

MP_EXPORT const mp_plugin mediaproxy_plugin = {
    MP_ABI_VERSION, sizeof(mp_plugin), FAULT, "0.1", DESCRIPTION, setting_keys, get_interface,
};
