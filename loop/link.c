#include "loop/link.h"

#include "base/panic.h"
#include "base/trail.h"
#include "loop/stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct link {
	struct stream *stream;
	enum role me, peer;
	unsigned index;
	const struct link_events *events;
	void *self;
	struct buf frame;   /* one that is being sent */
	struct buf partial; /* the beginning of one that comes */
	bool paused, was_full, ended, closed, busy;
};

static void free_now(struct link *l)
{
	buf_wipe(&l->frame);
	buf_wipe(&l->partial);
	free(l);
}

static void end(struct link *l)
{
	if (l->ended || l->closed)
		return;
	l->ended = true;
	l->events->ended(l->self, l);
}

static bool is_allowed(const struct link *l, const struct message *m)
{
	const struct message_row *row = message_row(m->type);

	return (row->from & l->peer) && (row->to & l->me);
}

static bool take_frame(struct link *l, struct span frame)
{
	struct message m;

	if (message_decode(&m, frame) != FAULT_OK || !is_allowed(l, &m))
		return false;
	if (message_row(m.type)->has_fd) {
		m.fd = stream_take_fd(l->stream);
		if (m.fd < 0)
			return false;
	}
	l->events->received(l->self, l, &m);
	return true;
}

/* Frames that lie whole in `bytes` are read in place. False: the other side broke the rules. */
static bool take_whole(struct link *l, struct span *bytes)
{
	while (!l->closed && !l->paused && bytes->size) {
		struct span frame;
		size_t size;

		if (message_frame_size(*bytes, &size) != FAULT_OK)
			return false;
		if (!size || size > bytes->size)
			return true;
		frame = span_slice(*bytes, 0, size);
		*bytes = span_slice(*bytes, size, bytes->size);
		if (!take_frame(l, frame))
			return false;
	}
	return true;
}

static void move(struct buf *to, struct span *from, size_t upto)
{
	size_t size = upto - to->size < from->size ? upto - to->size : from->size;

	buf_put(to, span_slice(*from, 0, size));
	*from = span_slice(*from, size, from->size);
}

/* Completes the frame that was cut, its head first. */
static bool take_partial(struct link *l, struct span *bytes)
{
	size_t size;

	if (!l->partial.size || l->paused)
		return true;
	if (l->partial.size < MESSAGE_HEAD_BYTES)
		move(&l->partial, bytes, MESSAGE_HEAD_BYTES);
	if (l->partial.size < MESSAGE_HEAD_BYTES)
		return true;
	if (message_frame_size(buf_span(&l->partial), &size) != FAULT_OK)
		return false;
	move(&l->partial, bytes, size);
	if (l->partial.size < size)
		return true;
	if (!take_frame(l, buf_span(&l->partial)))
		return false;
	buf_clear(&l->partial);
	return true;
}

static void refuse(struct link *l)
{
	struct trail trail;

	trail_init(&trail, role_name(l->me), SPAN("link"));
	TRAIL(&trail, EVENT_MESSAGE_MALFORMED, TRAIL_TEXT("peer", span_of(role_name(l->peer))));
	end(l);
}

static size_t on_data(void *self, struct span bytes)
{
	struct link *l = self;
	size_t size = bytes.size;
	bool good;

	l->busy = true;
	good = take_partial(l, &bytes) && take_whole(l, &bytes);
	if (good && !l->paused && !l->closed && bytes.size)
		move(&l->partial, &bytes, bytes.size + l->partial.size);
	if (!good && !l->closed)
		refuse(l);
	l->busy = false;
	if (l->closed) {
		free_now(l);
		return 0;
	}
	return good ? size - bytes.size : size;
}

static void on_opened(void *self)
{
}

static void on_ended(void *self, enum fault fault, struct span why)
{
	end(self);
}

static void on_drained(void *self)
{
	struct link *l = self;

	if (!l->was_full || link_is_full(l))
		return;
	l->was_full = false;
	if (l->events->drained && !l->ended)
		l->events->drained(l->self, l);
}

static const struct stream_events events = { on_opened, on_data, on_drained, on_ended };

struct link *link_new_take(struct loop *loop, int fd, enum role me, enum role peer, unsigned index,
			   const struct link_events *heard, void *self)
{
	struct link *l = calloc(1, sizeof *l);

	if (!l)
		panic("out of memory");
	*l = (struct link){ .me = me, .peer = peer, .index = index, .events = heard, .self = self };
	buf_init(&l->frame, MESSAGE_BYTES_MAX + MESSAGE_HEAD_BYTES);
	buf_init(&l->partial, MESSAGE_BYTES_MAX);
	l->stream = stream_adopt_take(loop, fd, &events, l);
	stream_set_unsent_max(l->stream, LINK_UNSENT_BYTES);
	return l;
}

void link_close(struct link **link)
{
	struct link *l = *link;

	*link = NULL;
	if (!l)
		return;
	l->closed = true;
	stream_close(&l->stream);
	if (!l->busy)
		free_now(l);
}

void link_send(struct link *l, const struct message *m)
{
	const struct message_row *row = message_row(m->type);

	ASSERT((row->from & l->me) && (row->to & l->peer) && row->has_fd == (m->fd >= 0));
	buf_clear(&l->frame);
	if (!message_encode(&l->frame, m))
		panic("a message %s is larger than %d bytes", row->name, MESSAGE_BYTES_MAX);
	if (row->has_fd)
		stream_send_fd_take(l->stream, m->fd);
	stream_write(l->stream, buf_span(&l->frame));
	if (strstr(row->fields, "secret "))
		explicit_bzero(l->frame.at, l->frame.size);
}

bool link_is_full(const struct link *l)
{
	bool full = stream_unsent(l->stream) > LINK_FULL_BYTES;

	if (full)
		((struct link *)l)->was_full = true; /* whoever asks wants to hear when it is not */
	return full;
}

void link_pause(struct link *l)
{
	l->paused = true;
	stream_pause(l->stream);
}

void link_resume(struct link *l)
{
	l->paused = false;
	stream_resume(l->stream);
}

enum role link_peer(const struct link *l)
{
	return l->peer;
}

unsigned link_index(const struct link *l)
{
	return l->index;
}
