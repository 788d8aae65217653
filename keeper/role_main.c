#include "keeper/keeper.h"

#include "base/arena.h"
#include "base/panic.h"
#include "base/secret.h"
#include "base/trail.h"
#include "keeper/child.h"
#include "keeper/confine.h"
#include "loop/link.h"
#include "loop/prepare.h"
#include "loop/role.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILES_MAX = 160, LISTENERS_MAX = 160, FILE_BYTES_MAX = 4 * 1024 * 1024, ARENA_BYTES = 64 * 1024 * 1024 };

/* What came from the keeper since the last `go`. */
struct given {
	struct arena *arena;
	struct config *config;
	struct role_file files[FILES_MAX];
	struct role_listener listeners[LISTENERS_MAX];
	struct role_start start;
};

struct early_peer {
	enum role role;
	unsigned index;
	int fd;
};

struct host {
	struct loop *loop;
	struct link *keeper;
	struct trail trail;
	const struct role_face *face;
	void *role;
	struct given *now, *next; /* in force; being gathered */
	struct secret *mac_key;
	int watcher;
	struct early_peer early[LISTENERS_MAX];
	size_t early_count;
};

static const struct role_face *const faces[] = { &gate_role, &vault_role, &post_role, &desk_role };

static struct given *given_new(void)
{
	struct given *g = calloc(1, sizeof *g);

	if (!g)
		panic("out of memory");
	g->arena = arena_new(ARENA_BYTES);
	g->start.files = g->files;
	g->start.listeners = g->listeners;
	return g;
}

static void given_free(struct given **given)
{
	if (!*given)
		return;
	config_free(&(*given)->config);
	arena_wipe(&(*given)->arena);
	free(*given);
	*given = NULL;
}

static struct span read_file(struct arena *arena, int fd)
{
	struct buf b;
	struct span copy;
	ssize_t got;
	off_t at = 0;
	char piece[16384];

	buf_init(&b, FILE_BYTES_MAX);
	while ((got = pread(fd, piece, sizeof piece, at)) > 0 && buf_put(&b, (struct span){ piece, (size_t)got }))
		at += got;
	explicit_bzero(piece, sizeof piece);
	close(fd);
	copy = arena_copy(arena, buf_span(&b));
	buf_wipe(&b);
	return copy;
}

static void on_configure(struct host *h, const struct message_configure *m)
{
	struct given *g = h->next;
	char why[256];

	config_free(&g->config);
	if (config_read(&g->config, "boot file", m->boot, why, sizeof why) != FAULT_OK)
		fatal("%s: %s", h->face ? role_name(h->face->role) : "role", why);
	g->start.config = g->config;
	g->start.index = m->index;
}

static void on_file(struct host *h, const struct message *m)
{
	struct role_start *s = &h->next->start;

	ASSERT(s->file_count < FILES_MAX);
	h->next->files[s->file_count++] = (struct role_file){
		.purpose = arena_copy(h->next->arena, m->file.purpose),
		.name = arena_copy(h->next->arena, m->file.name),
		.bytes = read_file(h->next->arena, m->fd),
	};
}

static void on_listener(struct host *h, const struct message *m)
{
	struct role_start *s = &h->next->start;

	ASSERT(s->listener_count < LISTENERS_MAX);
	h->next->listeners[s->listener_count++] = (struct role_listener){
		.name = arena_copy(h->next->arena, m->listener.name),
		.address = arena_copy(h->next->arena, m->listener.address),
		.fd = m->fd,
	};
}

static void on_peer(struct host *h, const struct message *m)
{
	if (h->role) {
		h->face->peer(h->role, (enum role)m->peer.role, m->peer.index, m->fd);
		return;
	}
	ASSERT(h->early_count < LISTENERS_MAX);
	h->early[h->early_count++] = (struct early_peer){ (enum role)m->peer.role, m->peer.index, m->fd };
}

static void say_ready(void *self, enum fault fault, struct span why)
{
	struct host *h = self;

	if (fault == FAULT_OK)
		TRAIL(&h->trail, EVENT_ROLE_READY, TRAIL_NUMBER("pid", getpid()));
	link_send(h->keeper, &MESSAGE_OF(ready, .fault = fault, .why = why));
}

static void say_drained(void *self)
{
	struct host *h = self;

	link_send(h->keeper, &MESSAGE_OF(drained, .open = 0));
}

static const char *directory_of(const struct host *h, struct arena *arena)
{
	const char *name = confine_place(h->face->role);

	return name ? arena_print(arena, "%.*s/%s", SPAN_ARGS(h->next->config->data), name).at : NULL;
}

/* Started by hand, as tests do, a role has nobody who watches. */
static int watcher(void)
{
	int type;
	socklen_t size = sizeof type;

	return getsockopt(CHILD_WATCHER_FD, SOL_SOCKET, SO_TYPE, &type, &size) ? -1 : CHILD_WATCHER_FD;
}

/* The order matters: libraries read their files, the confinement falls, only then the role begins. */
static void begin(struct host *h)
{
	struct role_start *s = &h->next->start;
	char why[256] = "";
	enum fault f;

	trail_configure_named(h->next->config->log_level);
	loop_prepare();
	confine_role(h->face->role, directory_of(h, h->next->arena), h->watcher);
	s->mac_key = secret_borrow(h->mac_key);
	s->ready = say_ready;
	s->drained = say_drained;
	s->host = h;
	f = h->face->start(&h->role, h->loop, s, why);
	if (f != FAULT_OK) {
		h->role = NULL;
		say_ready(h, f, span_of(why));
		return;
	}
	for (size_t i = 0; i < h->early_count; i++)
		h->face->peer(h->role, h->early[i].role, h->early[i].index, h->early[i].fd);
	h->early_count = 0;
}

static void reload(struct host *h)
{
	char why[256] = "";

	h->next->start.ready = say_ready;
	h->next->start.drained = say_drained;
	h->next->start.host = h;
	if (h->role && h->face->reload(h->role, &h->next->start, why) != FAULT_OK) {
		TRAIL(&h->trail, EVENT_RELOAD_REFUSED, TRAIL_TEXT("why", span_of(why)));
		given_free(&h->next);
		h->next = given_new();
		return;
	}
	trail_configure_named(h->next->config->log_level);
	TRAIL(&h->trail, EVENT_RELOADED);
}

static void on_go(struct host *h, bool is_reload)
{
	if (is_reload)
		reload(h);
	else
		begin(h);
	if (!h->next->config)
		return;
	given_free(&h->now);
	h->now = h->next;
	h->next = given_new();
}

static void on_received(void *self, struct link *link, const struct message *m)
{
	struct host *h = self;

	(void)link;
	switch (m->type) {
	case MESSAGE_configure: on_configure(h, &m->configure); break;
	case MESSAGE_file: on_file(h, m); break;
	case MESSAGE_listener: on_listener(h, m); break;
	case MESSAGE_peer: on_peer(h, m); break;
	case MESSAGE_mac_key:
		secret_free(&h->mac_key);
		h->mac_key = secret_new(m->mac_key.key);
		break;
	case MESSAGE_go: on_go(h, m->go.reload); break;
	case MESSAGE_drain:
		TRAIL(&h->trail, EVENT_ROLE_DRAINING);
		if (h->role)
			h->face->drain(h->role);
		else
			say_drained(h);
		break;
	default: break;
	}
}

/* Without a keeper nobody would restart or stop us. */
static void on_ended(void *self, struct link *link)
{
	struct host *h = self;

	(void)link;
	loop_stop(h->loop);
}

static const struct link_events keeper_events = { .received = on_received, .ended = on_ended };

int role_main(struct span name, unsigned index)
{
	struct host *h = calloc(1, sizeof *h);

	if (!h)
		panic("out of memory");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* a terminal's ^C reaches all of us; the keeper drains */
	signal(SIGTERM, SIG_IGN);
	for (size_t i = 0; i < sizeof faces / sizeof *faces; i++)
		if (span_equal(span_of(role_name(faces[i]->role)), name))
			h->face = faces[i];
	if (!h->face)
		fatal("there is no role of that name");
	trail_init(&h->trail, role_name(h->face->role), SPAN(""));
	h->next = given_new();
	h->watcher = watcher();
	h->loop = loop_new();
	h->keeper = link_new_take(h->loop, CHILD_LINK_FD, h->face->role, ROLE_KEEPER, index, &keeper_events, h);
	loop_run(h->loop);
	if (h->role)
		h->face->free(&h->role);
	_exit(0);
}
