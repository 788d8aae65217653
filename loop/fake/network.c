#include "loop/fake/network.h"

#include "base/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_HANDLE = 1000000, FIRST_PORT = 49152, BACKLOG_MAX = 4096, ROADS_MAX = 64 };

/* A listening socket; `listeners` counts those that accept from it. */
struct listening {
	struct address address;
	size_t handles;
	struct end *waiting[BACKLOG_MAX];
	size_t waiting_count;
	struct listening *next;
};

struct listener {
	struct loop *loop;
	struct listening *from;
	struct timer timer;
	void (*accepted)(void *self, int fd, const struct address *peer);
	void *self;
	struct listener *next;
};

struct handle {
	struct end *end;
	struct listening *listening;
};

struct road {
	struct address address;
	enum world_road state;
};

static const struct world_network usual = { 1, 20, 0, 1, 256 * 1024, 1500 };
static struct world_network network = { 1, 20, 0, 1, 256 * 1024, 1500 };
static struct stream_credentials identity;
static struct handle *handles;
static size_t handle_count;
static struct connection *connections;
static struct listening *listenings;
static struct road roads[ROADS_MAX];
static size_t road_count;
static uint64_t last_serial;
static uint16_t next_port = FIRST_PORT;

static void *fresh(size_t size)
{
	void *at = calloc(1, size);

	if (!at)
		panic("out of memory");
	return at;
}

void world_network(const struct world_network *wanted)
{
	network = *wanted;
}

size_t network_piece_max(void)
{
	return network.piece_bytes_max;
}

int network_delay_ms(const struct address *address, bool local)
{
	return local ? world_between(network.local_least_ms, network.local_most_ms) :
		       world_between(network.least_ms, network.most_ms);
}

void world_peer_identity(uint32_t uid, uint32_t gid, int32_t pid)
{
	identity = (struct stream_credentials){ uid, gid, pid };
}

struct stream_credentials network_peer_identity(void)
{
	return identity;
}

/* --- roads */

static bool on_road(const struct road *road, const struct address *address)
{
	struct address same_port = *address;

	if (!road->address.port)
		same_port.port = 0;
	return address_equal(&road->address, &same_port);
}

static enum world_road road_to(const struct address *address)
{
	for (size_t i = road_count; i > 0; i--)
		if (on_road(&roads[i - 1], address))
			return roads[i - 1].state;
	return WORLD_ROAD_OPEN;
}

static void segment_arrives(void *self);

void world_road(const char *text, uint16_t port, enum world_road state)
{
	struct road road = { .state = state };
	size_t at = 0;

	ASSERT(address_parse(&road.address, span_of(text), port));
	world_note("road to %s port %u is %s", text, port,
		   state == WORLD_ROAD_OPEN ? "open" : state == WORLD_ROAD_REFUSED ? "closed" : "silent");
	while (at < road_count && !address_equal(&roads[at].address, &road.address))
		at++;
	ASSERT(at < ROADS_MAX);
	roads[at] = road;
	road_count = at < road_count ? road_count : at + 1;
}

/* --- handles */

static int handle_new(struct end *end, struct listening *listening)
{
	handles = realloc(handles, (handle_count + 1) * sizeof *handles);
	if (!handles)
		panic("out of memory");
	handles[handle_count] = (struct handle){ end, listening };
	if (listening)
		listening->handles++;
	return FIRST_HANDLE + (int)handle_count++;
}

static struct handle *handle_at(int fd)
{
	size_t at = (size_t)(fd - FIRST_HANDLE);

	return fd >= FIRST_HANDLE && at < handle_count ? &handles[at] : NULL;
}

int network_handle_of_end(struct end *end)
{
	return handle_new(end, NULL);
}

struct end *network_end_take(int fd)
{
	struct handle *handle = handle_at(fd);
	struct end *end = handle ? handle->end : NULL;

	if (handle)
		handle->end = NULL;
	return end;
}

static void listening_drop(struct listening *);

void network_handle_close(int fd)
{
	struct handle *handle = handle_at(fd);

	if (!handle)
		return;
	if (handle->end)
		network_close(handle->end);
	if (handle->listening)
		listening_drop(handle->listening);
	*handle = (struct handle){ NULL, NULL };
}

/* --- connections and segments */

static struct connection *connection_new(bool local)
{
	struct connection *c = fresh(sizeof *c);

	c->serial = ++last_serial;
	c->local = local;
	for (unsigned side = 0; side < 2; side++) {
		c->ends[side].connection = c;
		c->ends[side].side = side;
		c->ends[side].arrived_end = &c->ends[side].arrived;
	}
	c->next = connections;
	connections = c;
	return c;
}

static void segment_free(struct segment *s)
{
	for (size_t i = 0; i < s->fd_count; i++)
		network_handle_close(s->fds[i]);
	free(s->fds);
	free(s->bytes);
	free(s);
}

static void connection_free(struct connection *c)
{
	struct connection **at = &connections;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	free(c);
}

static void free_if_over(struct connection *c)
{
	if (c->ends[0].closed && c->ends[1].closed && !c->under_way)
		connection_free(c);
}

struct end *network_other(const struct end *end)
{
	return &end->connection->ends[!end->side];
}

void network_send_take(struct end *from, enum segment_kind kind, char *bytes, size_t size, int *fds, size_t fd_count)
{
	struct segment *s = fresh(sizeof *s);
	int64_t now = world_now()->now_ms, at = now + network_delay_ms(&from->local, from->connection->local);

	if (at < from->last_arrival_ms)
		at = from->last_arrival_ms;
	from->last_arrival_ms = at;
	*s = (struct segment){ .to = network_other(from), .kind = kind, .size = size, .bytes = bytes,
			       .fds = fds, .fd_count = fd_count };
	if (kind == SEGMENT_BYTES) {
		from->unheard += size;
		from->window_used += size;
	}
	from->connection->under_way++;
	world_event(&s->arrival, at - now, segment_arrives, s);
}

size_t network_room(const struct end *end)
{
	return end->window_used < network.window_bytes ? network.window_bytes - end->window_used : 0;
}

static void append(struct end *end, struct segment *s)
{
	if (s->fd_count) {
		end->fds = realloc(end->fds, (end->fd_count + s->fd_count) * sizeof(int));
		if (!end->fds)
			panic("out of memory");
		memcpy(end->fds + end->fd_count, s->fds, s->fd_count * sizeof(int));
		end->fd_count += s->fd_count;
		s->fd_count = 0;
	}
	*end->arrived_end = s;
	end->arrived_end = &s->next;
}

static void arrives_at_closed(struct segment *s)
{
	struct end *end = s->to;

	if (s->kind == SEGMENT_BYTES || (s->kind >= SEGMENT_HELLO && s->kind <= SEGMENT_FINISHED))
		if (!network_other(end)->closed)
			network_send_take(end, SEGMENT_RESET, NULL, 0, NULL, 0);
	segment_free(s);
}

static void note_segment(const struct segment *s)
{
	static const char *const names[] = { "bytes", "end", "reset", "heard", "hello", "welcome", "finished", "alert" };
	struct connection *c = s->to->connection;

	if (s->kind != SEGMENT_HEARD)
		world_note("connection %llu side %u gets %s %zu", (unsigned long long)c->serial, s->to->side, names[s->kind],
			   s->size);
}

static void segment_arrives(void *self)
{
	struct segment *s = self;
	struct end *end = s->to;
	struct connection *c = end->connection;
	size_t size = s->size;

	if (c->made_to_known && road_to(&c->made_to) == WORLD_ROAD_SILENT) {
		world_event(&s->arrival, 200, segment_arrives, s);
		return;
	}
	c->under_way--;
	note_segment(s);
	if (end->closed) {
		arrives_at_closed(s);
	} else if (s->kind == SEGMENT_HEARD) {
		end->unheard -= size;
		segment_free(s);
		if (end->stream)
			stream_arrived(end->stream);
	} else {
		bool is_bytes = s->kind == SEGMENT_BYTES;

		append(end, s);
		if (is_bytes && !network_other(end)->closed)
			network_send_take(end, SEGMENT_HEARD, NULL, size, NULL, 0);
		if (end->stream)
			stream_arrived(end->stream);
	}
	free_if_over(c);
}

void network_drop_first(struct end *end)
{
	struct segment *s = end->arrived;

	end->arrived = s->next;
	if (!end->arrived)
		end->arrived_end = &end->arrived;
	segment_free(s);
}

void network_take(struct end *end, size_t size)
{
	struct end *other = network_other(end);

	other->window_used -= size;
	if (other->stream && !other->closed)
		stream_arrived(other->stream);
}

void network_close(struct end *end)
{
	struct connection *c = end->connection;
	bool rest = false;

	while (end->arrived) {
		if (end->arrived->kind == SEGMENT_BYTES)
			rest = true;
		network_drop_first(end);
	}
	while (end->fd_count)
		network_handle_close(end->fds[--end->fd_count]);
	free(end->fds);
	end->fds = NULL;
	end->closed = true;
	end->stream = NULL;
	if (!network_other(end)->closed && (rest || !end->ended_sent))
		network_send_take(end, rest ? SEGMENT_RESET : SEGMENT_END, NULL, 0, NULL, 0);
	free_if_over(c);
}

/* --- pairs, listening, connecting */

int stream_pair(int fds_out[2])
{
	struct connection *c = connection_new(true);

	for (unsigned side = 0; side < 2; side++) {
		c->ends[side].local.family = ADDRESS_PATH;
		fds_out[side] = handle_new(&c->ends[side], NULL);
	}
	return 0;
}

static bool is_any(const struct address *a)
{
	static const unsigned char zeros[16];

	return a->family != ADDRESS_PATH && !memcmp(a->bytes, zeros, a->family == ADDRESS_IPV4 ? 4 : 16);
}

static bool hears(const struct listening *l, const struct address *to)
{
	if (address_equal(&l->address, to))
		return true;
	return is_any(&l->address) && l->address.port == to->port && to->family != ADDRESS_PATH &&
	       (l->address.family == to->family || l->address.family == ADDRESS_IPV6);
}

static struct listening *listening_at(const struct address *to)
{
	for (struct listening *l = listenings; l; l = l->next)
		if (hears(l, to))
			return l;
	return NULL;
}

int listener_bind(const struct address *address, int backlog)
{
	struct listening *l = fresh(sizeof *l);

	l->address = *address;
	while (address->family != ADDRESS_PATH && !address->port && (!l->address.port || listening_at(&l->address)))
		l->address.port = next_port++;
	for (struct listening *other = listenings; other; other = other->next)
		if (address_equal(&other->address, &l->address)) {
			free(l);
			errno = EADDRINUSE;
			return -1;
		}
	l->next = listenings;
	listenings = l;
	return handle_new(NULL, l);
}

int world_listener_copy(int fd)
{
	struct handle *handle = handle_at(fd);

	return handle && handle->listening ? handle_new(NULL, handle->listening) : -1;
}

struct address listener_address(int fd)
{
	struct handle *handle = handle_at(fd);

	return handle && handle->listening ? handle->listening->address : (struct address){ 0 };
}

static void listening_drop(struct listening *l)
{
	struct listening **at = &listenings;

	if (--l->handles)
		return;
	while (l->waiting_count)
		network_close(l->waiting[--l->waiting_count]);
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	free(l);
}

static void accept_one(void *self)
{
	struct listener *listener = self;
	struct listening *l = listener->from;
	struct end *end;
	struct address peer;

	if (!l->waiting_count)
		return;
	end = l->waiting[0];
	memmove(l->waiting, l->waiting + 1, --l->waiting_count * sizeof *l->waiting);
	if (l->waiting_count)
		timer_after(&listener->timer, 0);
	peer = network_other(end)->local;
	world_note("connection %llu accepted", (unsigned long long)end->connection->serial);
	listener->accepted(listener->self, handle_new(end, NULL), &peer);
}

/* One of those that accept there, by the dice; NULL for none. */
static struct listener *some_listener(const struct listening *l)
{
	struct listener *chosen = NULL;
	uint64_t count = 0;

	for (struct loop *loop = world_now()->loops; loop; loop = loop->next)
		for (struct listener *at = loop->listeners; at; at = at->next)
			if (at->from == l && !loop->dead && !world_dice(++count))
				chosen = at;
	return chosen;
}

static void wake_listener(const struct listening *l)
{
	struct listener *chosen = l->waiting_count ? some_listener(l) : NULL;

	if (chosen && !timer_is_set(&chosen->timer))
		timer_after(&chosen->timer, 0);
}

struct listener *listener_new(struct loop *loop, int fd, void (*accepted)(void *self, int fd, const struct address *peer), void *self)
{
	struct handle *handle = handle_at(fd);
	struct listener *listener = fresh(sizeof *listener);

	ASSERT(handle && handle->listening);
	*listener = (struct listener){ .loop = loop, .from = handle->listening, .accepted = accepted, .self = self,
				       .next = loop->listeners };
	*handle = (struct handle){ NULL, NULL };
	loop->listeners = listener;
	timer_init(&listener->timer, loop, accept_one, listener);
	wake_listener(listener->from);
	return listener;
}

void listener_free(struct listener **listener_in)
{
	struct listener *listener = *listener_in, **at;
	struct listening *from;

	*listener_in = NULL;
	if (!listener)
		return;
	from = listener->from;
	timer_stop(&listener->timer);
	for (at = &listener->loop->listeners; *at != listener;)
		at = &(*at)->next;
	*at = listener->next;
	free(listener);
	from->handles++;
	wake_listener(from);
	from->handles--;
	listening_drop(from);
}

static struct address source_for(const struct address *to)
{
	struct address source = { .family = to->family };

	if (to->family == ADDRESS_PATH)
		return source;
	if (to->family == ADDRESS_IPV4)
		memcpy(source.bytes, "\x7f\0\0\1", 4);
	else
		source.bytes[15] = 1;
	return source;
}

bool network_connect(const struct address *to, const struct address *source, struct end **from_out, bool *silent_out)
{
	struct listening *l = listening_at(to);
	enum world_road road = road_to(to);
	struct connection *c;

	*silent_out = road == WORLD_ROAD_SILENT;
	if (road != WORLD_ROAD_OPEN || !l || l->waiting_count == BACKLOG_MAX)
		return false;
	c = connection_new(to->family == ADDRESS_PATH);
	c->made_to = *to;
	c->made_to_known = true;
	c->ends[0].local = source ? *source : source_for(to);
	if (!c->ends[0].local.port && to->family != ADDRESS_PATH)
		c->ends[0].local.port = next_port++;
	c->ends[1].local = *to;
	l->waiting[l->waiting_count++] = &c->ends[1];
	wake_listener(l);
	*from_out = &c->ends[0];
	return true;
}

/* What is under way between the two is gone. */
static void drop_under_way(struct connection *c)
{
	struct timers *heap = &world_now()->timers;

	for (size_t i = heap->count; i > 0; i--) {
		struct timer *timer = heap->heap[i - 1];
		struct segment *s = timer->self;

		if (timer->fire != segment_arrives || s->to->connection != c)
			continue;
		timers_remove(heap, timer);
		c->under_way--;
		segment_free(s);
		i = heap->count + 1;
	}
}

size_t world_cut(const char *text, uint16_t port)
{
	struct road road = { 0 };
	size_t count = 0;

	ASSERT(address_parse(&road.address, span_of(text), port));
	for (struct connection *c = connections; c; c = c->next) {
		if (!c->made_to_known || !on_road(&road, &c->made_to))
			continue;
		count++;
		drop_under_way(c);
		for (unsigned side = 0; side < 2; side++)
			if (!c->ends[side].closed)
				network_send_take(&c->ends[!side], SEGMENT_RESET, NULL, 0, NULL, 0);
	}
	world_note("%zu connections to %s port %u are cut", count, text, port);
	return count;
}

static void drop_everything(struct connection *c)
{
	drop_under_way(c);
	for (unsigned side = 0; side < 2; side++) {
		struct end *end = &c->ends[side];

		while (end->arrived)
			network_drop_first(end);
		free(end->fds);
	}
	connection_free(c);
}

void network_end(void)
{
	while (connections)
		drop_everything(connections);
	while (listenings) {
		struct listening *l = listenings;

		listenings = l->next;
		free(l);
	}
	free(handles);
	handles = NULL;
	handle_count = road_count = 0;
	last_serial = 0;
	next_port = FIRST_PORT;
	network = usual;
	identity = (struct stream_credentials){ 0 };
}
