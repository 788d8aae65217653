#include "keeper/outfit.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/panic.h"
#include "base/trail.h"
#include "keeper/ports.h"
#include "loop/stream.h"
#include "loop/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 4 * 1024 * 1024, BACKLOG = 4096, WARN_DAYS = 30, DAY_MS = 86400000 };

struct opening {
	struct outfit *outfit;
	char *why;
	size_t why_size;
};

static bool fails(struct opening *o, const char *what, struct span which, const char *why)
{
	snprintf(o->why, o->why_size, "%s %.*s: %s", what, SPAN_ARGS(which), why);
	return false;
}

static bool read_whole(int fd, struct buf *out)
{
	char piece[16384];
	ssize_t got;
	off_t at = 0;

	while ((got = pread(fd, piece, sizeof piece, at)) > 0) {
		at += got;
		if (!buf_put(out, (struct span){ piece, (size_t)got }))
			return false;
	}
	explicit_bzero(piece, sizeof piece);
	return got == 0;
}

static bool open_file(struct opening *o, const char *purpose, struct span name, struct span path, unsigned roles, bool optional)
{
	struct outfit *out = o->outfit;
	char *text = arena_text(out->config->arena, path);
	int fd = open(text, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && optional)
		return true;
	if (fd < 0)
		return fails(o, purpose, path, strerror(errno));
	ASSERT(out->file_count < OUTFIT_FILES_MAX);
	out->files[out->file_count++] = (struct outfit_file){ purpose, name, roles, fd };
	return true;
}

static struct span key_path(const struct config *c)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");

	if (credentials) {
		struct span path = arena_print(c->arena, "%s/postern.key", credentials);

		if (!access(path.at, R_OK))
			return path;
	}
	return c->key_file.size ? c->key_file : arena_print(c->arena, "%.*s/kek", SPAN_ARGS(c->data));
}

static unsigned role_of(const struct config_listener *l)
{
	return span_equal(l->protocol, SPAN("http")) ? ROLE_DESK : ROLE_GATE;
}

/* Certificates are shown to everybody who connects; the vault watches when they end. */
static bool open_listener_files(struct opening *o, const struct config_listener *l)
{
	const struct { const char *purpose; struct span path; unsigned besides; } wanted[] = {
		{ "certificate", l->certificate, ROLE_VAULT }, { "key", l->key, 0 },
		{ "rsa_certificate", l->rsa_certificate, ROLE_VAULT }, { "rsa_key", l->rsa_key, 0 },
	};

	if (span_equal(l->tls, SPAN("none")))
		return true;
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
		if (wanted[i].path.size && !open_file(o, wanted[i].purpose, l->name, wanted[i].path, role_of(l) | wanted[i].besides, false))
			return false;
	return true;
}

static bool open_files(struct opening *o)
{
	const struct config *c = o->outfit->config;
	unsigned out = ROLE_VAULT | ROLE_POST;

	if (!open_file(o, "ca", SPAN(""), c->ca_file, out, c->extra_ca_file.size != 0) ||
	    (c->extra_ca_file.size && !open_file(o, "ca", SPAN("extra"), c->extra_ca_file, out, false)) ||
	    !open_file(o, "resolv_conf", SPAN(""), c->resolv_conf, out, true) ||
	    !open_file(o, "hosts", SPAN(""), SPAN("/etc/hosts"), out, true) ||
	    !open_file(o, "passwd", SPAN(""), SPAN("/etc/passwd"), ROLE_DESK, true) ||
	    !open_file(o, "group", SPAN(""), SPAN("/etc/group"), ROLE_DESK, true) ||
	    !open_file(o, "key_encryption_key", SPAN(""), key_path(c), ROLE_VAULT, false))
		return false;
	for (size_t i = 0; i < c->listener_count; i++)
		if (!open_listener_files(o, &c->listeners[i]))
			return false;
	return true;
}

static void warn_of_end(const struct config_listener *l, int64_t days)
{
	struct trail trail;

	if (days >= WARN_DAYS)
		return;
	trail_init(&trail, "keeper", SPAN(""));
	TRAIL(&trail, EVENT_CERTIFICATE_ENDS, TRAIL_TEXT("listener", l->name), TRAIL_TEXT("file", l->certificate), TRAIL_NUMBER("days", days));
}

/* The same check that the role will make, so that a bad pair is refused before anything changes hands. */
static bool check_certificate(struct opening *o, const struct config_listener *l)
{
	struct tls_server_settings settings = { .lowest = TLS_VERSION_1_2 };
	struct buf certificate, key;
	struct tls *tls = NULL;
	const char *why = "cannot be read";
	bool good = true;

	buf_init(&certificate, FILE_BYTES_MAX);
	buf_init(&key, FILE_BYTES_MAX);
	for (size_t i = 0; i < o->outfit->file_count; i++) {
		const struct outfit_file *f = &o->outfit->files[i];

		if (!span_equal(f->name, l->name) || !(f->roles & role_of(l)))
			continue;
		if (!strcmp(f->purpose, "certificate"))
			good = good && read_whole(f->fd, &certificate);
		if (!strcmp(f->purpose, "key"))
			good = good && read_whole(f->fd, &key);
	}
	settings.certificate_pem = buf_span(&certificate);
	settings.key_pem = buf_span(&key);
	good = good && tls_server_new(&tls, &settings, &why) == FAULT_OK;
	if (!good)
		fails(o, "certificate of listener", l->name, why);
	if (tls)
		warn_of_end(l, (tls_ends_at_ms(tls) - clock_wall_ms()) / DAY_MS);
	if (tls)
		tls_drop(&tls);
	buf_free(&certificate);
	buf_wipe(&key);
	return good;
}

/* Where the system chose the ports, only the names tell one socket from another. */
static int take_socket(struct outfit *before, struct span name, const struct address *a)
{
	for (size_t i = 0; before && i < before->socket_count; i++) {
		const struct outfit_socket *s = &before->sockets[i];

		if (s->fd >= 0 && address_equal(&s->address, a) && s->address.port == a->port && (a->port || span_equal(s->name, name)))
			return dup(s->fd);
	}
	return -1;
}

static bool open_socket(struct opening *o, struct span name, enum role role, const struct address *a, struct outfit *before)
{
	struct outfit *out = o->outfit;
	int fd = take_socket(before, name, a);

	if (fd < 0) {
		fd = listener_bind(a, BACKLOG);
		/* Any program may speak to gate, which knows by its user what it may do. */
		if (fd >= 0 && a->family == ADDRESS_PATH && role == ROLE_GATE && chmod(a->path, 0666)) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0)
		return fails(o, "listener", name, strerror(errno));
	ASSERT(out->socket_count < OUTFIT_SOCKETS_MAX);
	out->sockets[out->socket_count++] = (struct outfit_socket){ name, role, *a, fd };
	return true;
}

static bool open_listener(struct opening *o, const struct config_listener *l, int64_t port_base, struct outfit *before)
{
	uint16_t port;

	if (!ports_effective(l->port, port_base, geteuid() == 0, &port))
		return fails(o, "listener", l->name, "the port is out of range");
	for (size_t i = 0; i < l->addresses.count; i++) {
		struct address a;

		if (!address_parse(&a, l->addresses.items[i], port))
			return fails(o, "listener", l->name, "an address is wanted, not a name");
		/* Machines without IPv6 are common; the other addresses of the listener still count. */
		if (!open_socket(o, l->name, role_of(l), &a, before) && (errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT))
			return false;
	}
	return true;
}

/* The group reaches the socket; desk checks who it is. An ordinary user may give it to a group of theirs alone, which is no failure. */
static void give_to_group(const struct config *c, const char *path)
{
	char *name = arena_text(c->arena, c->control_group);
	const struct group *group = *name ? getgrnam(name) : NULL;

	if (group && chown(path, (uid_t)-1, group->gr_gid))
		errno = 0;
}

static bool open_control(struct opening *o, struct outfit *before)
{
	const struct config *c = o->outfit->config;
	struct span path = c->control_socket.size ? c->control_socket : arena_print(c->arena, "%.*s/control.sock", SPAN_ARGS(c->data));
	struct address a;

	if (!address_parse(&a, path, 0))
		return fails(o, "control socket", path, "the path is too long");
	if (!open_socket(o, SPAN("control"), ROLE_DESK, &a, before))
		/* listener_bind() takes over a socket that nobody answers at; this one is alive. */
		return errno == EADDRINUSE ? fails(o, "data directory", c->data, fault_row(FAULT_SPOOL_LOCKED)->says[LANGUAGE_EN]) : false;
	give_to_group(c, a.path);
	return true;
}

static bool open_all(struct opening *o, int64_t port_base, struct outfit *before)
{
	const struct config *c = o->outfit->config;

	if (!open_files(o))
		return false;
	for (size_t i = 0; i < c->listener_count; i++)
		if (!span_equal(c->listeners[i].tls, SPAN("none")) && !check_certificate(o, &c->listeners[i]))
			return false;
	/* First the one that tells whether this data directory is served already; others stand in it too. */
	if (!open_control(o, before))
		return false;
	for (size_t i = 0; i < c->listener_count; i++)
		if (!open_listener(o, &c->listeners[i], port_base, before))
			return false;
	return true;
}

static bool read_boot_file(struct opening *o, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool good = fd >= 0 && read_whole(fd, &o->outfit->text);

	if (!good)
		fails(o, "boot file", span_of(path), strerror(errno));
	if (fd >= 0)
		close(fd);
	return good && config_read(&o->outfit->config, path, buf_span(&o->outfit->text), o->why, o->why_size) == FAULT_OK;
}

enum fault outfit_open(struct outfit **out, const char *config_path, int64_t port_base, struct outfit *before, char *why_out, size_t why_size)
{
	struct opening o = { calloc(1, sizeof *o.outfit), why_out, why_size };

	if (!o.outfit)
		panic("out of memory");
	buf_init(&o.outfit->text, FILE_BYTES_MAX);
	if (read_boot_file(&o, config_path) && open_all(&o, port_base, before)) {
		*out = o.outfit;
		return FAULT_OK;
	}
	*out = NULL;
	outfit_free(&o.outfit);
	return FAULT_MALFORMED;
}

void outfit_free(struct outfit **outfit)
{
	struct outfit *o = *outfit;

	if (!o)
		return;
	for (size_t i = 0; i < o->file_count; i++)
		close(o->files[i].fd);
	for (size_t i = 0; i < o->socket_count; i++)
		close(o->sockets[i].fd);
	config_free(&o->config);
	buf_free(&o->text);
	free(o);
	*outfit = NULL;
}
