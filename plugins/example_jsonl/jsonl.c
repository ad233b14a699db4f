/* SPDX-License-Identifier: 0BSD */
/* Appends every finished session to a file, one JSON object per line: a complete plugin, to start
 * your own from. The line holds a record_id; it comes twice only if the daemon was killed between
 * the write and its own note of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <mediaproxy/accounting.h>

struct jsonl {
    int fd;
    char path[]; /* a copy: settings are valid during create() only */
};

static mp_status fail(mp_error *error, mp_status status, const char *what)
{
    snprintf(error->message, sizeof error->message, "%s: %s", what, strerror(errno));
    return status;
}

static mp_status create(const mp_host *host, const mp_setting *settings, uint32_t setting_count,
                        void **instance, mp_error *error)
{
    const char *path = "/var/log/mediaproxyd/sessions.jsonl";
    struct jsonl *self;
    (void)host;

    for (uint32_t i = 0; i < setting_count; ++i)
        if (strcmp(settings[i].key, "path") == 0)
            path = settings[i].value;
    self = malloc(sizeof *self + strlen(path) + 1);
    if (self == NULL)
        return fail(error, MP_E_FAILED, "jsonl");
    self->fd = -1;
    strcpy(self->path, path);
    *instance = self;
    return MP_OK;
}

/* Also called after a failed write(), so it opens anew what was open. */
static mp_status open_file(void *instance, mp_error *error)
{
    struct jsonl *self = instance;

    if (self->fd >= 0)
        close(self->fd);
    self->fd = open(self->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return self->fd >= 0 ? MP_OK : fail(error, MP_E_AGAIN, self->path);
}

/* Somebody renamed or removed the file, to begin a new one. */
static int was_rotated(const struct jsonl *self)
{
    struct stat ours, named;

    return fstat(self->fd, &ours) != 0 || stat(self->path, &named) != 0 ||
           ours.st_dev != named.st_dev || ours.st_ino != named.st_ino;
}

/* The whole line or nothing: half a line would spoil the next one. */
static int append_line(int fd, const char *line)
{
    const struct iovec parts[2] = {{(void *)line, strlen(line)}, {(void *)"\n", 1}};
    const off_t end = lseek(fd, 0, SEEK_END);
    const ssize_t written = writev(fd, parts, 2);

    if (written == (ssize_t)(parts[0].iov_len + 1))
        return 0;
    if (written >= 0) {
        if (ftruncate(fd, end) == 0)
            errno = ENOSPC;
    }
    return -1;
}

static mp_status write_records(void *instance, const mp_session_record *const *records,
                               uint32_t count, uint32_t *done, mp_error *error)
{
    struct jsonl *self = instance;
    uint32_t written = 0;
    off_t start;

    *done = 0;
    if (was_rotated(self) && open_file(self, error) != MP_OK)
        return MP_E_AGAIN;
    start = lseek(self->fd, 0, SEEK_END);
    while (written < count && append_line(self->fd, records[written]->json) == 0)
        ++written;
    if (written < count)
        fail(error, MP_E_AGAIN, self->path);
    if (fdatasync(self->fd) != 0 && errno != EINVAL) { /* EINVAL: a pipe or a terminal */
        fail(error, MP_E_AGAIN, self->path);
        if (ftruncate(self->fd, start) != 0) /* they are written again */
            fail(error, MP_E_AGAIN, "lines that are not on the disk cannot be taken back");
        return MP_E_AGAIN;
    }
    *done = written;
    return written == count ? MP_OK : MP_E_AGAIN;
}

static void destroy(void *instance)
{
    struct jsonl *self = instance;

    if (self->fd >= 0)
        close(self->fd);
    free(self);
}

static const mp_accounting accounting = {
    .struct_size = sizeof accounting,
    .create = create,
    .open = open_file,
    .write = write_records,
    .destroy = destroy,
};

static const void *get_interface(const char *id)
{
    return strcmp(id, MP_ACCOUNTING) == 0 ? &accounting : NULL;
}

static const char *const setting_keys[] = {"path", NULL};

MP_EXPORT const mp_plugin mediaproxy_plugin = {
    .abi = MP_ABI_VERSION,
    .struct_size = sizeof(mp_plugin),
    .name = "jsonl",
    .version = "1.0",
    .description = "accounting records as JSON lines in a file",
    .setting_keys = setting_keys,
    .get_interface = get_interface,
};
