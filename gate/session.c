#include "gate/session.h"

#include "base/metric.h"
#include "base/panic.h"
#include "gate/stranger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t session_client(const struct session *s)
{
	return s->is_granted ? s->grant.client : 0;
}

struct span session_peer(const struct session *s, struct buf *text)
{
	buf_clear(text);
	address_print(text, &s->peer, false);
	return buf_span(text);
}

/* Notes what was refused where an administrator will look: the vault keeps it for `postern client refused`. */
void session_note_refused(struct session *s, enum fault f, struct span user, struct span sender, const char *why)
{
	struct buf peer;

	buf_init(&peer, 128);
	session_peer(s, &peer);
	metric_add(METRIC_GATE_REFUSED, why, 1);
	TRAIL(&s->trail, EVENT_SENDER_REFUSED, TRAIL_TEXT("client", s->is_granted ? s->grant.client_name : user),
	      TRAIL_TEXT("remote", buf_span(&peer)), TRAIL_TEXT("sender", sender), TRAIL_TEXT("fault", span_of(fault_row(f)->name)));
	if (s->gate->vault)
		link_send(s->gate->vault, &MESSAGE_OF(refused, .fault = f, .client = session_client(s), .listener = span_of(s->door->name),
						      .remote = buf_span(&peer), .user = user, .sender = sender));
	buf_free(&peer);
}

void session_step(const struct session *s, const char *step)
{
	TRAIL(&s->trail, EVENT_SESSION_STEP, TRAIL_TEXT("step", span_of(step)));
}

/* --- the core's room: an idle session has none */

static struct smtp_server_room *take_room(struct gate *g)
{
	struct smtp_server_room *room = g->room_count ? g->rooms[--g->room_count] : malloc(sizeof *room);

	if (!room)
		panic("out of memory");
	return room;
}

static void keep_room(struct gate *g, struct smtp_server_room *room)
{
	if (room && g->room_count < GATE_ROOMS_SPARE)
		g->rooms[g->room_count++] = room;
	else
		free(room);
}

/* --- logins */

static void ask_vault(struct session *s, uint8_t mechanism, struct span user, struct span password)
{
	struct buf peer;

	buf_init(&peer, 128);
	link_send(s->gate->vault, &MESSAGE_OF(authorize, .session = s->id, .protocol = GRANT_SMTP, .mechanism = mechanism, .user = user,
					      .password = password, .listener = span_of(s->door->name), .remote = session_peer(s, &peer),
					      .tls = stream_tls_version(s->stream)));
	buf_free(&peer);
	s->waits_vault = true;
	session_step(s, "grant");
}

static void on_authorize(struct session *s, const struct smtp_server_wish *w)
{
	s->mechanism = w->mechanism;
	if (s->gate->vault) {
		ask_vault(s, (uint8_t)(w->mechanism + 1), w->user, w->secret);
		return;
	}
	metric_add(METRIC_GATE_LOGINS, "away", 1);
	smtp_server_answer(&s->core, &(struct smtp_server_answer){ .fault = FAULT_VAULT_AWAY });
}

static void forget_grant(struct session *s)
{
	arena_free(&s->arena);
	buf_free(&s->sealed);
	s->is_granted = false;
}

static enum fault take_grant(struct session *s, struct span sealed)
{
	enum fault f;

	forget_grant(s);
	s->arena = arena_new(GRANT_ARENA_BYTES);
	buf_put(&s->sealed, sealed);
	f = s->sealed.overfull ? FAULT_TOO_LARGE : grant_read(&s->grant, s->arena, buf_span(&s->sealed));
	s->is_granted = f == FAULT_OK;
	if (f != FAULT_OK)
		forget_grant(s);
	return f;
}

static void note_login(struct session *s, enum fault f)
{
	struct buf peer;

	buf_init(&peer, 128);
	metric_add(METRIC_GATE_LOGINS, f == FAULT_OK ? "granted" : fault_row(f)->class == FAULT_CLASS_INTERNAL ? "away" : "refused", 1);
	if (f == FAULT_OK)
		TRAIL(&s->trail, EVENT_LOGIN_GRANTED, TRAIL_TEXT("client", s->grant.client_name), TRAIL_TEXT("remote", session_peer(s, &peer)),
		      TRAIL_TEXT("listener", span_of(s->door->name)), TRAIL_TEXT("mechanism", sasl_name(s->mechanism)),
		      TRAIL_TEXT("tls", stream_tls_version(s->stream)));
	else
		TRAIL(&s->trail, EVENT_LOGIN_REFUSED, TRAIL_TEXT("remote", session_peer(s, &peer)), TRAIL_TEXT("listener", span_of(s->door->name)),
		      TRAIL_TEXT("mechanism", sasl_name(s->mechanism)), TRAIL_TEXT("fault", span_of(fault_row(f)->name)));
	buf_free(&peer);
}

/* --- the beginning */

static void note_opening(const struct session *s)
{
	struct buf peer;

	buf_init(&peer, 128);
	if (s->deny == FAULT_OK)
		TRAIL(&s->trail, EVENT_SESSION_OPENED, TRAIL_TEXT("listener", span_of(s->door->name)), TRAIL_TEXT("remote", session_peer(s, &peer)));
	else
		TRAIL(&s->trail, EVENT_SESSION_REFUSED, TRAIL_TEXT("listener", span_of(s->door->name)), TRAIL_TEXT("remote", session_peer(s, &peer)),
		      TRAIL_TEXT("fault", span_of(fault_row(s->deny)->name)));
	buf_free(&peer);
}

static void core_start(struct session *s, bool is_trusted)
{
	struct door *d = s->door;
	enum smtp_server_tls tls = d->implicit		  ? SMTP_SERVER_TLS_IMPLICIT
				   : d->starttls_required ? SMTP_SERVER_TLS_REQUIRED
				   : d->starttls	  ? SMTP_SERVER_TLS_AVAILABLE
							  : SMTP_SERVER_TLS_NONE;

	if (d->networks_only && !is_trusted && s->deny == FAULT_OK)
		s->deny = s->gate->vault ? FAULT_RELAY_REFUSED : FAULT_VAULT_AWAY;
	note_opening(s);
	smtp_server_init(&s->core, take_room(s->gate),
			 &(struct smtp_server_limits){
				 .host = span_of(d->host_name), .size_bytes = d->size_bytes, .recipients = d->recipients,
				 .mechanisms = d->mechanisms, .tls = tls, .trusted = is_trusted, .deny = s->deny,
				 .auth_in_clear = d->clear_login && address_is_loopback(&s->peer) },
			 loop_now_ms(s->gate->loop));
	s->has_core = true;
	session_pump(s);
	stream_resume(s->stream);
}

static void ask_network(struct session *s)
{
	if (s->deny != FAULT_OK || !s->gate->vault) {
		core_start(s, false);
		return;
	}
	s->waits_network = true;
	ask_vault(s, 0, SPAN(""), SPAN(""));
}

void session_authorized(struct session *s, const struct message_authorized *m)
{
	enum fault f = (enum fault)(m->fault % FAULT_COUNT);

	if (!s->waits_vault)
		return;
	s->waits_vault = false;
	session_step(s, "granted");
	if (f == FAULT_OK)
		f = take_grant(s, m->grant);
	if (f == FAULT_OK)
		stranger_remove(s);
	s->is_by_network = s->waits_network;
	if (s->waits_network) {
		s->waits_network = false;
		core_start(s, f == FAULT_OK);
		return;
	}
	note_login(s, f);
	session_tick(s);
	smtp_server_answer(&s->core, &(struct smtp_server_answer){ .fault = f });
	session_pump(s);
	stream_resume(s->stream);
}

void session_vault_ended(struct session *s)
{
	if (s->waits_vault)
		session_authorized(s, &(struct message_authorized){ .session = s->id, .fault = FAULT_VAULT_AWAY });
}

void session_post_drained(struct session *s)
{
	if (s->stream)
		stream_resume(s->stream);
}

/* --- the session_pump: what the core wishes is done here */

static void session_end(struct session *s, struct span why)
{
	struct buf peer;

	buf_init(&peer, 128);
	if (s->has_core && smtp_server_offence(&s->core) != FAULT_OK)
		TRAIL(&s->trail, EVENT_PROTOCOL_OFFENCE, TRAIL_TEXT("remote", session_peer(s, &peer)), TRAIL_TEXT("listener", span_of(s->door->name)),
		      TRAIL_TEXT("fault", span_of(fault_row(smtp_server_offence(&s->core))->name)));
	TRAIL(&s->trail, EVENT_SESSION_ENDED, TRAIL_TEXT("remote", session_peer(s, &peer)), TRAIL_TEXT("why", why));
	buf_free(&peer);
	incoming_check_heard(s);
	incoming_drop(s);
	session_free(s);
}

static void start_tls(struct session *s)
{
	s->in_handshake = true;
	stream_start_tls_server(s->stream, s->door->tls);
}

/* True while there may be more to do at once. */
static bool carry_out(struct session *s, const struct smtp_server_wish *w)
{
	switch (w->kind) {
	case SMTP_SERVER_WRITE: stream_write(s->stream, w->text); break;
	case SMTP_SERVER_START_TLS: start_tls(s); break;
	case SMTP_SERVER_AUTHORIZE: on_authorize(s, w); break;
	case SMTP_SERVER_SENDER: incoming_sender(s, w); break;
	case SMTP_SERVER_RECIPIENT: incoming_recipient(s, w); break;
	case SMTP_SERVER_BODY: incoming_body(s, w->text); break;
	case SMTP_SERVER_MESSAGE_END: incoming_end(s); break;
	case SMTP_SERVER_MESSAGE_DROP: incoming_drop(s); break;
	case SMTP_SERVER_CLOSE: return false;
	}
	return true;
}

void session_tick(struct session *s)
{
	if (!s->core.room)
		smtp_server_lend(&s->core, take_room(s->gate));
	smtp_server_tick(&s->core, loop_now_ms(s->gate->loop));
}

static void on_close_timer(void *self)
{
	session_end(self, SPAN("closed"));
}

void session_pump(struct session *s)
{
	struct smtp_server_wish w;
	bool goes_on = true;

	if (!s->core.room)
		smtp_server_lend(&s->core, take_room(s->gate));
	while (goes_on && smtp_server_poll(&s->core, &w))
		goes_on = carry_out(s, &w);
	if (!goes_on) {
		/* Not from inside a callback of the stream's: the session goes at the next turn. */
		timer_stop(&s->deadline);
		timer_after(&s->closing, 0);
		stream_pause(s->stream);
		return;
	}
	keep_room(s->gate, smtp_server_return(&s->core));
	if (smtp_server_deadline(&s->core) != INT64_MAX)
		timer_at(&s->deadline, smtp_server_deadline(&s->core));
}

static void on_deadline(void *self)
{
	struct session *s = self;

	if (!s->has_core) {
		session_end(s, SPAN("no PROXY header, or no answer, in time"));
		return;
	}
	session_tick(s);
	session_pump(s);
}

static bool is_waiting(const struct session *s)
{
	/* Who reads no replies is heard no more, until time ends it. */
	bool is_deaf = stream_unsent(s->stream) > STREAM_DRAIN_BYTES;

	return !s->has_core || s->waits_vault || s->waits_post || s->in_handshake || is_deaf || incoming_is_full(s);
}

/* --- the stream */

static size_t take_proxy_header(struct session *s, struct span bytes)
{
	struct proxy_line *p = s->proxy;
	size_t taken = proxy_line_feed(p, bytes);

	if (p->state == PROXY_LINE_MORE)
		return taken;
	if (p->state == PROXY_LINE_BROKEN || (!p->is_local && !address_parse(&s->peer, span_of(p->address), (uint16_t)p->port)))
		s->deny = FAULT_PROXY_MISSING;
	else if (!p->is_local)
		stream_set_peer(s->stream, &s->peer);
	free(s->proxy);
	s->proxy = NULL;
	timer_after(&s->deadline, OPENING_MS);
	if (s->door->implicit && s->deny == FAULT_OK)
		start_tls(s);
	else
		ask_network(s);
	return taken;
}

static size_t on_data(void *self, struct span bytes)
{
	struct session *s = self;
	size_t taken = 0;

	s->has_gone_on = true;
	incoming_check_heard(s);
	if (s->proxy)
		return take_proxy_header(s, bytes);
	if (s->in_handshake && s->has_core)
		return 0;
	while (taken < bytes.size && !is_waiting(s)) {
		size_t size;

		session_tick(s);
		size = smtp_server_feed(&s->core, span_slice(bytes, taken, PIECE_BYTES));

		taken += size;
		/* Fed again before the poll: what stands behind STARTTLS must meet the core before the reply leaves. */
		if (size && taken < bytes.size)
			taken += smtp_server_feed(&s->core, span_slice(bytes, taken, PIECE_BYTES));
		session_pump(s);
		if (!size)
			break;
	}
	return taken;
}

static void on_opened(void *self)
{
	struct session *s = self;

	if (!s->in_handshake) {
		if (s->proxy)
			return;
		if (s->door->implicit && s->deny == FAULT_OK)
			start_tls(s);
		else
			ask_network(s);
		return;
	}
	s->in_handshake = false;
	if (!s->has_core) {
		ask_network(s);
		return;
	}
	/* RFC 3207 4.2: what was said before TLS is forgotten; the address is the same as before. */
	if (!s->is_by_network)
		forget_grant(s);
	session_tick(s);
	smtp_server_tls_started(&s->core);
	session_pump(s);
}

static void on_ended(void *self, enum fault fault, struct span why)
{
	struct session *s = self;
	struct buf peer;

	buf_init(&peer, 128);
	if (s->in_handshake)
		TRAIL(&s->trail, EVENT_TLS_HANDSHAKE_FAILED, TRAIL_TEXT("remote", session_peer(s, &peer)),
		      TRAIL_TEXT("listener", span_of(s->door->name)), TRAIL_TEXT("why", why));
	buf_free(&peer);
	session_end(s, why.size ? why : span_of(fault_row(fault)->name));
}

static void on_drained(void *self)
{
	struct session *s = self;

	stream_resume(s->stream);
}

static const struct stream_events stream_events = { .opened = on_opened, .data = on_data, .drained = on_drained, .ended = on_ended };

/* --- life */

static bool is_balancer(const struct door *d, const struct address *peer)
{
	for (size_t i = 0; i < d->balancer_count; i++)
		if (network_holds(&d->balancers[i], peer))
			return true;
	return false;
}

void session_new(struct gate *g, struct door *d, int fd, const struct address *peer)
{
	struct session *s = calloc(1, sizeof *s);
	char about[24];

	if (!s)
		panic("out of memory");
	s->gate = g;
	s->door = door_hold(d);
	s->peer = s->counted = *peer;
	s->counted.port = 0; /* sessions are counted by host */
	buf_init(&s->sealed, MESSAGE_BYTES_MAX / 2);
	buf_init(&s->in.recipients, RECIPIENTS_BYTES);
	buf_init(&s->in.envelope_id, 512);
	timer_init(&s->deadline, g->loop, on_deadline, s);
	timer_init(&s->heard, g->loop, incoming_heard_timer, s);
	timer_init(&s->closing, g->loop, on_close_timer, s);
	s->began_ms = loop_now_ms(g->loop);
	s->id = gate_session_add(g, s, &s->counted, &s->deny);
	if (!s->id) {
		close(fd);
		door_drop(&s->door);
		free(s);
		return;
	}
	if (s->deny == FAULT_OK)
		stranger_add(s);
	snprintf(about, sizeof about, "%016llx", (unsigned long long)s->id);
	trail_init(&s->trail, "gate", span_of(about));
	if (is_balancer(d, peer)) {
		s->proxy = malloc(sizeof *s->proxy);
		if (!s->proxy)
			panic("out of memory");
		proxy_line_init(s->proxy);
	}
	timer_after(&s->deadline, s->proxy ? PROXY_WAIT_MS : OPENING_MS);
	s->stream = stream_adopt_take(g->loop, fd, &stream_events, s);
}

void session_stop(struct session *s, enum fault f)
{
	if (!s->has_core) {
		s->deny = f;
		return;
	}
	smtp_server_stop(&s->core, f);
	session_pump(s);
}

void session_give_way(struct session *s)
{
	stranger_remove(s);
	s->is_in_the_way = true;
	if (s->has_core && !s->in_handshake) {
		smtp_server_leave(&s->core, FAULT_TOO_BUSY);
		session_pump(s); /* what it says is sent at the end of this turn, and the session ends at the next */
	} else {
		session_end(s, SPAN("its place was needed"));
	}
}

void session_free(struct session *s)
{
	stranger_remove(s);
	timer_stop(&s->deadline);
	timer_stop(&s->heard);
	timer_stop(&s->closing);
	incoming_forget(s);
	forget_grant(s);
	if (s->has_core) {
		smtp_server_fini(&s->core);
		keep_room(s->gate, s->core.room);
	}
	free(s->proxy);
	if (s->is_in_the_way)
		stream_close(&s->stream); /* nobody waits for it to take its leave: the descriptor is needed too */
	else if (s->stream)
		stream_finish(&s->stream);
	gate_session_remove(s->gate, s->id, &s->counted);
	door_drop(&s->door);
	free(s);
}
