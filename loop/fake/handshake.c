#include "loop/fake/stream_inner.h"

#include "base/panic.h"
#include "loop/fake/null_tls.h"

#include <stdlib.h>
#include <string.h>

enum { HANDSHAKE_MS = 30000 };

bool stream_is_shaking(const struct stream *s)
{
	return s->tls_state != TLS_OFF && s->tls_state != TLS_ON;
}

static void send_text(struct stream *s, enum segment_kind kind, struct span text)
{
	char *copy = malloc(text.size + 1);

	if (!copy)
		panic("out of memory");
	memcpy(copy, text.at, text.size);
	network_send_take(s->end, kind, copy, text.size, NULL, 0);
}

void stream_check_clear(struct stream *s)
{
	if (s->unread.size)
		stream_fail(s, FAULT_TLS_FAILED, "text where TLS was expected");
	buf_clear(&s->unread);
}

static void start_tls(struct stream *s, struct tls *tls, enum tls_state state)
{
	if (s->fault || s->is_over || !s->end || s->loop->dead)
		return;
	ASSERT(s->tls_state == TLS_OFF);
	stream_send_up_to(s, SIZE_MAX);
	s->tls = tls_hold(tls);
	s->tls_state = state;
	if (!s->offering)
		stream_check_clear(s);
	timer_after(&s->deadline, HANDSHAKE_MS);
	stream_wake(s);
}

void stream_start_tls_server(struct stream *s, struct tls *tls)
{
	start_tls(s, tls, TLS_SERVER_WAITS);
}

void stream_start_tls_client(struct stream *s, struct tls *tls, struct span host_name)
{
	start_tls(s, tls, TLS_CLIENT_WAITS);
	if (s->tls_state != TLS_CLIENT_WAITS || s->fault)
		return;
	if (host_name.size >= sizeof s->host_name)
		host_name.size = sizeof s->host_name - 1;
	memcpy(s->host_name, host_name.at, host_name.size);
	send_text(s, SEGMENT_HELLO, host_name);
}

static void established(struct stream *s)
{
	s->tls_state = TLS_ON;
	s->tell_opened = true;
	timer_stop(&s->deadline);
	stream_wake(s);
}

/* As the real one: what was shown is not kept behind the handshake. */
static void forget_shown(struct stream *s)
{
	if (null_tls_shown(s->tls).size)
		tls_drop(&s->tls);
}

static void welcomed(struct stream *s, struct span certificate)
{
	const char *why = null_tls_verify(s->tls, certificate, span_of(s->host_name));

	if (!why) {
		send_text(s, SEGMENT_FINISHED, null_tls_shown(s->tls));
		established(s);
		forget_shown(s);
		return;
	}
	send_text(s, SEGMENT_ALERT, span_of(why));
	stream_fail(s, FAULT_TLS_UNTRUSTED, why);
}

/* The first arrived segment while a handshake is due. */
void stream_shake(struct stream *s)
{
	struct segment *first = s->end->arrived;
	enum segment_kind kind = first->kind;

	if (s->tls_state == TLS_SERVER_WAITS && kind == SEGMENT_HELLO) {
		s->tls_state = TLS_SERVER_WELCOMED;
		send_text(s, SEGMENT_WELCOME, null_tls_certificate(s->tls));
	} else if (s->tls_state == TLS_SERVER_WELCOMED && kind == SEGMENT_FINISHED) {
		buf_put(&s->shown, (struct span){ first->bytes, first->size });
		established(s);
	} else if (s->tls_state == TLS_CLIENT_WAITS && kind == SEGMENT_WELCOME) {
		welcomed(s, (struct span){ first->bytes, first->size });
	} else if (kind == SEGMENT_ALERT) {
		stream_fail(s, FAULT_TLS_FAILED, "the client does not believe the certificate");
	} else if (kind == SEGMENT_BYTES) {
		network_take(s->end, first->size - first->taken);
		stream_fail(s, FAULT_TLS_FAILED, "text where TLS was expected");
	} else {
		stream_fail(s, FAULT_TLS_FAILED, "the connection was closed during the TLS handshake");
	}
	network_drop_first(s->end);
}

struct span stream_tls_version(const struct stream *s)
{
	return s->tls_state == TLS_ON ? SPAN("TLSv1.3") : SPAN("");
}

struct span stream_tls_cipher(const struct stream *s)
{
	return s->tls_state == TLS_ON ? SPAN("TLS_AES_256_GCM_SHA384") : SPAN("");
}

void stream_tls_names(const struct stream *s, struct buf *out)
{
	if (s->tls_state == TLS_ON && s->tls)
		buf_put(out, null_tls_names(s->tls, buf_span(&s->shown)));
}
