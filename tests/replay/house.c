#include "tests/replay/house.h"

#include "base/panic.h"
#include "base/rand.h"
#include "loop/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROLES_MAX = 8, SOCKETS_MAX = 32, FILES_MAX = 64, RELOADS_MAX = 32, WAIT_FIRST_MS = 50,
       WAIT_LONGEST_MS = 10000, CALM_MS = 30000, KEY_BYTES = 32 };

struct room {
	struct house *house;
	const struct role_face *face;
	struct loop *loop; /* NULL while it is dead */
	void *self;
	bool is_ready;
	unsigned starts;
	int64_t wait_ms, started_at_ms;
	uint64_t life; /* of the house's lives so far */
};

struct socket {
	struct span listener;
	enum role role;
	int fd;
};

struct house {
	struct span ca;
	struct config *config, *retired[RELOADS_MAX]; /* a role that refused a reload goes on with the old one */
	size_t retired_count;
	char key_encryption_key[KEY_BYTES], mac_key[KEY_BYTES];
	char certificate[512];
	struct socket sockets[SOCKETS_MAX];
	size_t socket_count;
	struct room rooms[ROLES_MAX];
	size_t room_count;
	uint64_t lives;
	struct errand *errands; /* all there ever were: a job that its loop never ran is still here */
};

/* What a posted job is about; void when the role has died since. */
struct errand {
	struct room *room;
	uint64_t life;
	enum role role; /* of the peer */
	int fd;         /* -1 once it is taken */
	struct errand *next;
};

static const struct role_face *const faces[] = { &vault_role, &post_role, &gate_role, &desk_role };

static struct room *room_of(const struct house *h, enum role role)
{
	for (size_t i = 0; i < h->room_count; i++)
		if (h->rooms[i].face->role == role)
			return (struct room *)&h->rooms[i];
	return NULL;
}

/* --- what a role is given */

static void add_file(struct role_file *files, size_t *count, const char *purpose, struct span name, struct span bytes)
{
	ASSERT(*count < FILES_MAX);
	files[(*count)++] = (struct role_file){ span_of(purpose), name, bytes };
}

static size_t gather_files(const struct house *h, struct role_file files[FILES_MAX])
{
	size_t count = 0;

	add_file(files, &count, "ca", SPAN(""), h->ca);
	add_file(files, &count, "resolv_conf", SPAN(""), SPAN(""));
	add_file(files, &count, "hosts", SPAN(""), SPAN(""));
	add_file(files, &count, "key_encryption_key", SPAN(""), (struct span){ h->key_encryption_key, KEY_BYTES });
	for (size_t i = 0; i < h->config->listener_count; i++) {
		add_file(files, &count, "certificate", h->config->listeners[i].name, span_of(h->certificate));
		add_file(files, &count, "key", h->config->listeners[i].name, SPAN("null key"));
	}
	return count;
}

static size_t gather_listeners(const struct house *h, enum role role, struct role_listener listeners[SOCKETS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < h->socket_count; i++)
		if (h->sockets[i].role == role)
			listeners[count++] = (struct role_listener){ h->sockets[i].listener, SPAN("replay"),
								     world_listener_copy(h->sockets[i].fd) };
	return count;
}

static void fails(struct room *room, enum fault fault, struct span why);

static void on_ready(void *host, enum fault fault, struct span why)
{
	struct room *room = host;

	world_note("%s is ready: %s %.*s", role_name(room->face->role), fault_row(fault)->name, SPAN_ARGS(why));
	if (fault)
		fails(room, fault, why);
	else
		room->is_ready = true;
}

static void on_drained(void *host)
{
	struct room *room = host;

	world_note("%s is drained", role_name(room->face->role));
}

static void fill_start(struct room *room, struct role_start *start, struct role_file *files, struct role_listener *listeners)
{
	struct house *h = room->house;

	*start = (struct role_start){
		.config = h->config, .files = files, .listeners = listeners, .ready = on_ready, .drained = on_drained, .host = room,
		.mac_key = { h->mac_key, KEY_BYTES },
	};
	start->file_count = gather_files(h, files);
	start->listener_count = gather_listeners(h, room->face->role, listeners);
}

/* --- starting */

static struct errand *errand_new(struct room *room, enum role role, int fd)
{
	struct errand *e = malloc(sizeof *e);

	if (!e)
		panic("out of memory");
	*e = (struct errand){ room, room->life, role, fd, room->house->errands };
	room->house->errands = e;
	return e;
}

static bool is_alive(const struct errand *e)
{
	return e->room->loop && e->room->life == e->life;
}

static void start_now(void *job)
{
	struct errand *e = job;
	struct room *room = e->room;
	struct role_file files[FILES_MAX];
	struct role_listener listeners[SOCKETS_MAX];
	struct role_start start;
	char why[256] = "";
	enum fault fault;

	if (!is_alive(e))
		return;
	fill_start(room, &start, files, listeners);
	fault = room->face->start(&room->self, room->loop, &start, why);
	if (fault)
		fails(room, fault, span_of(why));
}

static void peer_now(void *job)
{
	struct errand *e = job;
	int fd = e->fd;

	/* One that did not start meets nobody before it ends. */
	if (!is_alive(e) || !e->room->self)
		return;
	e->fd = -1;
	e->room->face->peer(e->room->self, e->role, 0, fd);
}

static void introduce(struct room *a, struct room *b)
{
	int fds[2];

	if (stream_pair(fds))
		panic("no pair");
	loop_post(a->loop, peer_now, errand_new(a, b->face->role, fds[0]));
	loop_post(b->loop, peer_now, errand_new(b, a->face->role, fds[1]));
}

static void begin(struct room *room)
{
	room->loop = world_loop(role_name(room->face->role));
	room->life = ++room->house->lives;
	room->is_ready = false;
	room->starts++;
	room->started_at_ms = loop_now_ms(room->loop);
	loop_post(room->loop, start_now, errand_new(room, 0, -1));
}

static void begin_and_introduce(struct room *room)
{
	struct house *h = room->house;

	begin(room);
	for (size_t i = 0; i < h->room_count; i++)
		if (&h->rooms[i] != room && h->rooms[i].loop && role_are_peers(h->rooms[i].face->role, room->face->role))
			introduce(room, &h->rooms[i]);
}

static void restart(void *self)
{
	struct errand *e = self;

	if (!e->room->loop && e->room->life == e->life)
		begin_and_introduce(e->room);
}

/* --- the house */

static void open_socket(struct house *h, struct span name, enum role role, struct span text, uint16_t port)
{
	struct socket *s = &h->sockets[h->socket_count++];
	struct address address;

	ASSERT(h->socket_count <= SOCKETS_MAX && address_parse(&address, text, port));
	*s = (struct socket){ name, role, listener_bind(&address, 100) };
	ASSERT(s->fd >= 0);
}

static void open_sockets(struct house *h, const struct config_listener *l)
{
	enum role role = span_equal(l->protocol, SPAN("http")) ? ROLE_DESK : ROLE_GATE;

	for (size_t i = 0; i < l->addresses.count; i++)
		open_socket(h, l->name, role, l->addresses.items[i], (uint16_t)l->port);
}

static void read_config(struct house *h, struct span boot)
{
	char why[256];

	if (config_read(&h->config, "boot", boot, why, sizeof why))
		panic("%s", why);
}

struct house *house_new(const struct house_settings *settings)
{
	struct house *h = calloc(1, sizeof *h);

	if (!h)
		panic("out of memory");
	h->ca = settings->ca;
	read_config(h, settings->boot);
	rand_bytes(h->key_encryption_key, KEY_BYTES);
	rand_bytes(h->mac_key, KEY_BYTES);
	world_certificate(h->certificate, "gate.replay localhost", "replay", INT64_MAX);
	for (size_t i = 0; i < h->config->listener_count; i++)
		open_sockets(h, &h->config->listeners[i]);
	open_socket(h, SPAN("control"), ROLE_DESK, SPAN(HOUSE_CONTROL), 0);
	for (size_t i = 0; i < sizeof faces / sizeof *faces; i++)
		h->rooms[h->room_count++] = (struct room){ .house = h, .face = faces[i] };
	for (size_t i = 0; i < h->room_count; i++)
		begin(&h->rooms[i]);
	for (size_t i = 0; i < h->room_count; i++)
		for (size_t j = i + 1; j < h->room_count; j++)
			if (role_are_peers(h->rooms[i].face->role, h->rooms[j].face->role))
				introduce(&h->rooms[i], &h->rooms[j]);
	return h;
}

/* What a dying process does: nothing. What its objects do while they are freed has no effect outside. */
static void die(struct room *room)
{
	world_kill(room->loop);
	for (struct errand *e = room->house->errands; e; e = e->next)
		if (e->room == room && e->fd >= 0) {
			world_close(e->fd);
			e->fd = -1;
		}
	if (room->self)
		room->face->free(&room->self);
	room->self = NULL;
	world_buried(&room->loop);
	room->is_ready = false;
}

void house_free(struct house **house)
{
	struct house *h = *house;

	*house = NULL;
	if (!h)
		return;
	for (size_t i = 0; i < h->room_count; i++)
		if (h->rooms[i].loop)
			die(&h->rooms[i]);
	config_free(&h->config);
	while (h->errands) {
		struct errand *e = h->errands;

		h->errands = e->next;
		free(e);
	}
	while (h->retired_count)
		config_free(&h->retired[--h->retired_count]);
	free(h);
}

bool house_is_ready(const struct house *h)
{
	for (size_t i = 0; i < h->room_count; i++)
		if (!h->rooms[i].is_ready)
			return false;
	return true;
}

static void kill_room(struct room *room)
{
	bool was_calm = loop_now_ms(room->loop) - room->started_at_ms > CALM_MS;

	die(room);
	room->wait_ms = was_calm || !room->wait_ms ? WAIT_FIRST_MS : room->wait_ms * 2;
	if (room->wait_ms > WAIT_LONGEST_MS)
		room->wait_ms = WAIT_LONGEST_MS;
	world_after(room->wait_ms, restart, errand_new(room, 0, -1));
}

static void end_now(void *self)
{
	struct errand *e = self;

	if (is_alive(e))
		kill_room(e->room);
}

/* A role that cannot start ends by itself, between two events; the keeper starts it again. When the house is raised, nothing may fail. */
static void fails(struct room *room, enum fault fault, struct span why)
{
	if (room->starts == 1)
		panic("%s does not start: %s %.*s", role_name(room->face->role), fault_row(fault)->name, SPAN_ARGS(why));
	world_note("%s does not start: %s %.*s", role_name(room->face->role), fault_row(fault)->name, SPAN_ARGS(why));
	world_after(0, end_now, errand_new(room, 0, -1));
}

void house_kill(struct house *h, enum role role)
{
	struct room *room = room_of(h, role);

	ASSERT(room);
	if (room->loop)
		kill_room(room);
}

void house_power_cut(struct house *h, enum world_cut_mode mode)
{
	for (size_t i = 0; i < h->room_count; i++)
		if (h->rooms[i].loop)
			kill_room(&h->rooms[i]);
	world_power_cut("/", mode);
}

bool house_reload(struct house *h, struct span boot, char *why_out)
{
	enum fault fault = FAULT_OK;

	ASSERT(h->retired_count < RELOADS_MAX);
	h->retired[h->retired_count++] = h->config;
	read_config(h, boot);
	for (size_t i = 0; i < h->room_count && fault == FAULT_OK; i++) {
		struct room *room = &h->rooms[i];
		struct role_file files[FILES_MAX];
		struct role_listener listeners[SOCKETS_MAX];
		struct role_start start;

		if (!room->self)
			continue;
		fill_start(room, &start, files, listeners);
		start.mac_key = SPAN("");
		fault = room->face->reload(room->self, &start, why_out);
	}
	return fault == FAULT_OK;
}

unsigned house_starts(const struct house *h, enum role role)
{
	const struct room *room = room_of(h, role);

	return room ? room->starts : 0;
}
