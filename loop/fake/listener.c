#include "loop/fake/network.h"

#include "base/panic.h"
#include "loop/local_user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_PORT = 49152, BACKLOG_MAX = 4096 };

/* A listening socket, and who connected to it and was not yet accepted. */
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

static struct listening *listenings;
static uint16_t next_port = FIRST_PORT;

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
	struct listening *l = calloc(1, sizeof *l);

	if (!l)
		panic("out of memory");
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
	return network_handle(NULL, l);
}

int world_listener_copy(int fd)
{
	struct handle *handle = network_handle_at(fd);

	return handle && handle->listening ? network_handle(NULL, handle->listening) : -1;
}

struct address listener_address(int fd)
{
	struct handle *handle = network_handle_at(fd);

	return handle && handle->listening ? handle->listening->address : (struct address){ 0 };
}

void listening_hold(struct listening *l)
{
	l->handles++;
}

void listening_drop(struct listening *l)
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
	peer = end->connection->local ? local_user(network_peer_identity().uid) : network_other(end)->local;
	world_note("connection %llu accepted", (unsigned long long)end->connection->serial);
	listener->accepted(listener->self, network_handle(end, NULL), &peer);
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
	struct handle *handle = network_handle_at(fd);
	struct listener *listener = calloc(1, sizeof *listener);

	if (!listener)
		panic("out of memory");
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
	enum world_road road = network_road(to);
	struct connection *c;

	*silent_out = road == WORLD_ROAD_SILENT;
	if (road != WORLD_ROAD_OPEN || !l || l->waiting_count == BACKLOG_MAX)
		return false;
	c = network_connection(to->family == ADDRESS_PATH);
	c->made_to = *to;
	c->made_to_known = true;
	c->ends[0].local = source && !is_any(source) ? *source : source_for(to);
	if (!c->ends[0].local.port && to->family != ADDRESS_PATH)
		c->ends[0].local.port = next_port++;
	c->ends[1].local = *to;
	l->waiting[l->waiting_count++] = &c->ends[1];
	wake_listener(l);
	*from_out = &c->ends[0];
	return true;
}

void listening_end(void)
{
	while (listenings) {
		struct listening *l = listenings;

		listenings = l->next;
		free(l);
	}
	next_port = FIRST_PORT;
}
