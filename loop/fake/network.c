#include "loop/fake/network.h"

#include "base/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_HANDLE = 1000000, ROADS_MAX = 64 };

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
static struct road roads[ROADS_MAX];
static size_t road_count;
static uint64_t last_serial;

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

enum world_road network_road(const struct address *address)
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

int network_handle(struct end *end, struct listening *listening)
{
	handles = realloc(handles, (handle_count + 1) * sizeof *handles);
	if (!handles)
		panic("out of memory");
	handles[handle_count] = (struct handle){ end, listening };
	if (listening)
		listening_hold(listening);
	return FIRST_HANDLE + (int)handle_count++;
}

struct handle *network_handle_at(int fd)
{
	size_t at = (size_t)(fd - FIRST_HANDLE);

	return fd >= FIRST_HANDLE && at < handle_count ? &handles[at] : NULL;
}

struct end *network_end_take(int fd)
{
	struct handle *handle = network_handle_at(fd);
	struct end *end = handle ? handle->end : NULL;

	if (handle)
		handle->end = NULL;
	return end;
}

void network_handle_close(int fd)
{
	struct handle *handle = network_handle_at(fd);

	if (!handle)
		return;
	if (handle->end)
		network_close(handle->end);
	if (handle->listening)
		listening_drop(handle->listening);
	*handle = (struct handle){ NULL, NULL };
}

void world_close(int fd)
{
	network_handle_close(fd);
}

/* --- connections and segments */

struct connection *network_connection(bool local)
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
	static const char *const names[] = { "", "end", "reset", "heard", "hello", "welcome", "finished", "alert" };
	struct connection *c = s->to->connection;

	if (s->kind == SEGMENT_BYTES)
		world_note("connection %llu side %u gets %zu bytes", (unsigned long long)c->serial, s->to->side, s->size);
	else if (s->kind != SEGMENT_HEARD) /* how long a certificate is depends on a library's own dice */
		world_note("connection %llu side %u gets %s", (unsigned long long)c->serial, s->to->side, names[s->kind]);
}

static void segment_arrives(void *self)
{
	struct segment *s = self;
	struct end *end = s->to;
	struct connection *c = end->connection;
	size_t size = s->size;

	if (c->made_to_known && network_road(&c->made_to) == WORLD_ROAD_SILENT) {
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

/* --- pairs, cuts, the end */

int stream_pair(int fds_out[2])
{
	struct connection *c = network_connection(true);

	for (unsigned side = 0; side < 2; side++) {
		c->ends[side].local.family = ADDRESS_PATH;
		fds_out[side] = network_handle(&c->ends[side], NULL);
	}
	return 0;
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
	free(handles);
	handles = NULL;
	handle_count = road_count = 0;
	listening_end();
	last_serial = 0;
	network = usual;
	identity = (struct stream_credentials){ 0 };
}
