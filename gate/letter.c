#include "gate/letter.h"

#include "base/clock.h"
#include "base/rand.h"

#include <stdio.h>
#include <string.h>

enum { HOPS_MAX = 100, HEADER_ROOM_BYTES = 16 * 1024 };

/* Keeps a copy of a text that the caller only lends. */
static struct span keep(struct letter *l, size_t *used, struct span s)
{
	char *at = l->texts + *used;

	s = span_slice(s, 0, sizeof l->texts - *used < 300 ? sizeof l->texts - *used : 300);
	memcpy(at, s.at, s.size);
	*used += s.size;
	return (struct span){ at, s.size };
}

void letter_begin(struct letter *l, const struct letter_settings *settings)
{
	size_t used = 0;

	letter_fini(l);
	*l = (struct letter){ .is_begun = true, .settings = *settings };
	l->settings.host = keep(l, &used, settings->host);
	l->settings.helo = keep(l, &used, settings->helo);
	l->settings.protocol = keep(l, &used, settings->protocol);
	l->settings.peer = keep(l, &used, settings->peer);
	buf_init(&l->block, settings->header_bytes_max);
	header_init(&l->header, &l->block);
	seal_hash_init(&l->hash);
}

bool letter_is_begun(const struct letter *l)
{
	return l->is_begun;
}

static void remember(char *out, size_t room, size_t *size_out, struct span s)
{
	*size_out = s.size < room ? s.size : room;
	memcpy(out, s.at, *size_out);
}

/* What the From header becomes: the same for every mailbox that may not be said, else nothing changes. */
static enum fault judge_senders(struct letter *l, bool *rewrite_out, struct span *from_out)
{
	const struct letter_settings *s = &l->settings;
	struct header_walk walk = { 0 };
	struct mailbox mailbox;
	enum mailbox_found found;
	enum fault f = FAULT_OK;
	bool may_rewrite = s->grant->sender_rule != GRANT_SENDER_REFUSE;

	*rewrite_out = false;
	*from_out = s->route->mailbox->address;
	while (f == FAULT_OK && (found = header_next_sender(&l->header, &walk, &mailbox)) != MAILBOX_END) {
		struct span becomes;

		if (found == MAILBOX_BROKEN) {
			f = may_rewrite ? FAULT_OK : FAULT_SENDER_NOT_GRANTED;
			*rewrite_out = true;
			continue;
		}
		f = envelope_from(&becomes, s->grant, s->route, mailbox.address);
		if (f != FAULT_OK)
			remember(l->from, sizeof l->from, &l->from_size, mailbox.address);
		else if (!span_equal_fold(becomes, mailbox.address)) {
			*rewrite_out = true;
			*from_out = becomes;
		}
	}
	if (l->header.from_fields > 1 && f == FAULT_OK) {
		*rewrite_out = true;
		f = may_rewrite ? FAULT_OK : FAULT_SENDER_NOT_GRANTED;
	}
	return f;
}

/* Judges the block, writes it anew and passes it on with what of the body it already holds. */
static enum fault header_ended(struct letter *l)
{
	const struct letter_settings *s = &l->settings;
	struct header_trace trace = { .helo = s->helo, .address = s->peer, .host = s->host, .protocol = s->protocol, .wall_ms = clock_wall_ms() };
	struct header_edits edits = { .trace = &trace, .date_ms = trace.wall_ms };
	char id[64], message_id[400];
	struct buf out;
	enum fault f;

	l->is_past_header = true;
	remember(l->message_id, sizeof l->message_id, &l->message_id_size, l->header.message_id);
	if (l->header.received > HOPS_MAX)
		return FAULT_MAIL_LOOP;
	f = judge_senders(l, &edits.rewrite, &edits.from);
	if (f != FAULT_OK)
		return f;
	snprintf(id, sizeof id, "%llx-%llu", (unsigned long long)s->session, (unsigned long long)s->serial);
	trace.id = span_of(id);
	if (!l->header.has_message_id) {
		snprintf(message_id, sizeof message_id, "%s.%016llx@%.*s", id, (unsigned long long)rand_below(UINT64_MAX), SPAN_ARGS(s->host));
		edits.message_id = span_of(message_id);
	}
	buf_init(&out, s->header_bytes_max + HEADER_ROOM_BYTES);
	f = header_write(&l->header, &edits, &out);
	if (f == FAULT_OK)
		s->send(s->self, buf_span(&out));
	buf_free(&out);
	buf_free(&l->block);
	return f;
}

enum fault letter_put(struct letter *l, struct span bytes)
{
	size_t taken = 0;
	enum fault f = FAULT_OK;

	seal_hash_put(&l->hash, bytes);
	if (!l->is_past_header) {
		f = header_feed(&l->header, bytes, &taken);
		if (f == FAULT_OK && l->header.ended)
			f = header_ended(l);
		bytes = span_slice(bytes, taken, bytes.size);
	}
	if (f == FAULT_OK && l->is_past_header && bytes.size)
		l->settings.send(l->settings.self, bytes);
	return f;
}

enum fault letter_end(struct letter *l, unsigned char digest_out[SEAL_DIGEST_BYTES])
{
	enum fault f = FAULT_OK;

	if (!l->is_past_header) {
		f = header_finish(&l->header);
		if (f == FAULT_OK)
			f = header_ended(l);
	}
	seal_hash_end(&l->hash, digest_out);
	return f;
}

struct span letter_message_id(const struct letter *l)
{
	return (struct span){ l->message_id, l->message_id_size };
}

struct span letter_from(const struct letter *l)
{
	return (struct span){ l->from, l->from_size };
}

void letter_fini(struct letter *l)
{
	if (l->is_begun)
		buf_free(&l->block);
	seal_hash_free(&l->hash);
	l->is_begun = false;
}
