#include "loop/stream.h"

#include "base/panic.h"
#include "loop/real/pump.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { FINISH_MS = 10 * 1000 };

static void dig(void *self)
{
	free(self);
}

void stream_destroy(struct stream *s)
{
	if (s->closed)
		return;
	s->closed = true;
	watch_close(&s->watch);
	if (s->fd >= 0)
		close(s->fd);
	cipher_free(&s->cipher);
	timer_stop(&s->deadline);
	loop_cancel(&s->tell);
	loop_cancel(&s->flush);
	loop_cancel(&s->grave);
	pump_keep(s, SPAN(""));
	outbox_free(&s->plain, s->loop);
	outbox_free(&s->out, s->loop);
	socket_close_descriptors(&s->descriptors);
	s->grave.run = dig;
	loop_bury(s->loop, &s->grave);
}

static void destroy_at_exit(void *self)
{
	stream_destroy(self);
}

static struct stream *make(struct loop *loop, const struct stream_events *events, void *self)
{
	struct stream *s = calloc(1, sizeof *s);

	if (!s)
		panic("out of memory");
	s->loop = loop;
	s->fd = -1;
	timer_init(&s->deadline, loop, pump_deadline, s);
	s->tell.run = pump_tell;
	s->flush.run = pump_flush;
	s->tell.self = s->flush.self = s->grave.self = s;
	s->events = events;
	s->self = self;
	buf_init(&s->unread, LOOP_PLAIN_BYTES);
	outbox_init(&s->plain, 0);
	outbox_init(&s->out, 0);
	stream_set_unsent_max(s, STREAM_UNSENT_BYTES);
	loop_opened(loop, 1);
	return s;
}

static void take_fd(struct stream *s, int fd)
{
	int on = 1;

	s->fd = fd;
	s->is_unix = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0;
	if (watch_open(&s->watch, s->loop, fd, pump_ready, s))
		pump_rewatch(s);
	else
		pump_fail_errno(s, EMFILE);
}

struct stream *stream_connect(struct loop *loop, const struct address *to, const struct address *source, int timeout_ms,
			      const struct stream_events *events, void *self)
{
	struct stream *s = make(loop, events, self);
	int fd = socket_connect(to, source);

	s->peer = *to;
	s->has_peer = true;
	s->timeout_ms = timeout_ms;
	if (fd < 0) {
		pump_fail_errno(s, errno);
		return s;
	}
	take_fd(s, fd);
	if (s->fault == FAULT_OK)
		timer_after(&s->deadline, timeout_ms);
	return s;
}

struct stream *stream_adopt_take(struct loop *loop, int fd, const struct stream_events *events, void *self)
{
	struct stream *s = make(loop, events, self);

	s->phase = OPEN;
	s->owes_opened = true;
	take_fd(s, fd);
	loop_soon(loop, &s->tell);
	return s;
}

void stream_set_events(struct stream *s, const struct stream_events *events, void *self)
{
	s->events = events;
	s->self = self;
	s->owes_offer = true;
	loop_soon(s->loop, &s->tell);
}

static void begin_tls(struct stream *s, struct cipher *cipher)
{
	ASSERT(s->phase == OPEN && !s->cipher);
	s->cipher = cipher;
	s->phase = SHAKING;
	s->owes_shake = true;
	if (s->fault == FAULT_OK)
		timer_after(&s->deadline, PUMP_SHAKE_MS);
	loop_soon(s->loop, &s->tell);
}

void stream_start_tls_server(struct stream *s, struct tls *tls)
{
	begin_tls(s, cipher_server_new(tls, &s->out.bytes));
}

void stream_start_tls_client(struct stream *s, struct tls *tls, struct span host_name)
{
	begin_tls(s, cipher_client_new(tls, host_name, &s->out.bytes));
}

void stream_write(struct stream *s, struct span bytes)
{
	if (!bytes.size || s->fault != FAULT_OK || s->hung)
		return;
	if (bytes.size > s->unsent_max || pump_unsent(s) > s->unsent_max - bytes.size) {
		pump_fail(s, FAULT_NO_MEMORY, "more than %zu bytes wait to be sent", s->unsent_max);
		return;
	}
	outbox_put(s->cipher ? &s->plain : &s->out, s->loop, bytes);
	loop_at_end(s->loop, &s->flush);
}

void stream_send_fd_take(struct stream *s, int fd)
{
	ASSERT(!s->cipher);
	if (s->fault != FAULT_OK || s->hung)
		close(fd);
	else
		outbox_put_fd_take(&s->out, fd);
}

int stream_take_fd(struct stream *s)
{
	return socket_take_descriptor(&s->descriptors);
}

size_t stream_unread(const struct stream *s)
{
	return s->offered ? s->offered : s->unread.size;
}

size_t stream_unsent(const struct stream *s)
{
	size_t size = pump_unsent(s);

	if (size > STREAM_DRAIN_BYTES)
		((struct stream *)s)->drain_mark = size; /* whoever asks wants to hear when it is less */
	return size;
}

void stream_set_unsent_max(struct stream *s, size_t size_bytes)
{
	s->unsent_max = size_bytes;
	s->plain.bytes.max = size_bytes * 2;
	s->out.bytes.max = size_bytes * 2 + 2 * PUMP_SEALED_BYTES;
}

bool stream_is_heard(const struct stream *s)
{
	int queued = 0;

	return !pump_unsent(s) && !s->dropped && s->fd >= 0 && !ioctl(s->fd, SIOCOUTQ, &queued) && !queued;
}

void stream_pause(struct stream *s)
{
	s->paused = true;
}

void stream_resume(struct stream *s)
{
	s->paused = s->deaf = false;
	s->owes_offer = true;
	loop_soon(s->loop, &s->tell);
}

void stream_close(struct stream **stream)
{
	struct stream *s = *stream;

	*stream = NULL;
	if (!s)
		return;
	loop_opened(s->loop, -1);
	stream_destroy(s);
}

void stream_finish(struct stream **stream)
{
	struct stream *s = *stream;

	*stream = NULL;
	if (!s)
		return;
	loop_opened(s->loop, -1);
	if (s->fault != FAULT_OK || s->hung || s->phase == CONNECTING || s->phase == SHAKING) {
		stream_destroy(s);
		return;
	}
	s->finishing = true;
	s->paused = s->deaf = s->owes_opened = false;
	pump_keep(s, SPAN(""));
	timer_after(&s->deadline, FINISH_MS);
	s->grave.run = destroy_at_exit;
	loop_at_exit(s->loop, &s->grave);
	loop_at_end(s->loop, &s->flush);
	pump_rewatch(s);
}

struct address stream_peer(const struct stream *stream)
{
	struct stream *s = (struct stream *)stream; /* asked of the kernel when first wanted */
	struct sockaddr_storage name = { 0 };
	socklen_t size = sizeof name;

	if (!s->has_peer && !s->closed && !getpeername(s->fd, (struct sockaddr *)&name, &size)) {
		s->peer = socket_address(&name, size);
		s->has_peer = true;
	}
	return s->peer;
}

void stream_set_peer(struct stream *s, const struct address *peer)
{
	s->peer = *peer;
	s->has_peer = true;
}

bool stream_credentials(const struct stream *s, struct stream_credentials *out)
{
	struct ucred who;
	socklen_t size = sizeof who;

	*out = (struct stream_credentials){ 0 };
	if (!s->is_unix || getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &who, &size))
		return false;
	*out = (struct stream_credentials){ who.uid, who.gid, who.pid };
	return true;
}

struct span stream_tls_version(const struct stream *s)
{
	return s->phase == ENCRYPTED ? cipher_version(s->cipher) : SPAN("");
}

struct span stream_tls_cipher(const struct stream *s)
{
	return s->phase == ENCRYPTED ? cipher_name(s->cipher) : SPAN("");
}

void stream_tls_names(const struct stream *s, struct buf *out)
{
	if (s->phase == ENCRYPTED)
		cipher_names(s->cipher, out);
}

int stream_pair(int fds_out[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds_out);
}
