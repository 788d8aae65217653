#include "wire/line_ends.h"
#include "wire/smtp_server_inner.h"

#include <string.h>

/* Where a run first offends against CR LF line ends, or its size; `last` is the byte before it. */
static size_t first_offence(struct span run, char last, enum fault *fault_out)
{
	for (size_t i = 0; i < run.size; last = run.at[i++]) {
		*fault_out = run.at[i] ? FAULT_BARE_NEWLINE : FAULT_NUL_BYTE;
		if ((run.at[i] == '\n') != (last == '\r') || !run.at[i])
			return i;
	}
	return run.size;
}

/* Nothing of this message is delivered; its rest is read all the same. */
static void spoil(struct smtp_server *s, enum fault f)
{
	if (s->spoiled != FAULT_OK)
		return;
	s->spoiled = f;
	s->drop = true;
}

/* Passes a run of the message on; of a run that spoils it, what stands before the offence, however it was cut. */
static void pass(struct smtp_server *s, struct span run)
{
	uint64_t room = s->limits.size_bytes ? s->limits.size_bytes - s->body_size : UINT64_MAX;
	char last = s->body_last;
	size_t good = run.size;
	enum fault f = FAULT_OK;

	if (!run.size)
		return;
	s->body_last = run.at[run.size - 1];
	if (s->spoiled != FAULT_OK)
		return;
	if (s->mail.body != PARAMETERS_BINARYMIME && !line_ends_clean(run, last))
		good = first_offence(run, last, &f);
	if (good > room) {
		good = (size_t)room;
		f = FAULT_MESSAGE_TOO_LARGE;
	}
	s->body = span_slice(run, 0, good);
	s->body_size += good;
	if (f != FAULT_OK)
		spoil(s, f);
}

static void message_end(struct smtp_server *s)
{
	if (s->spoiled == FAULT_OK) {
		s->ask = ASK_VERDICT;
		return;
	}
	smtp_server_reply_fault(s, s->spoiled);
	smtp_server_transaction_end(s);
}

void smtp_server_data_begin(struct smtp_server *s)
{
	s->state = STATE_DATA;
	s->body_state = BODY_LINE_START;
	s->body_last = '\n';
	s->message_ms = s->now_ms;
}

static bool begins_line(const struct smtp_server *s, struct span bytes, size_t at)
{
	return bytes.at[at - 1] == '\n' && (at > 1 ? bytes.at[at - 2] : s->body_last) == '\r';
}

/* The size of the run at the start that ends where a line begins with a dot, or at the end of the bytes. Dots are looked for: most mail has far
 * fewer of them than of lines. */
static size_t run_size(struct smtp_server *s, struct span bytes)
{
	size_t at = 1;

	while (at < bytes.size) {
		at += span_find_byte(span_slice(bytes, at, bytes.size), '.');
		if (at == bytes.size || begins_line(s, bytes, at))
			break;
		at++;
	}
	s->body_state = begins_line(s, bytes, at) ? BODY_LINE_START : BODY_INSIDE;
	return at;
}

/* The dot that opened the line is gone: it was stuffed, or is the end (RFC 5321 4.5.2). */
static size_t take_dot(struct smtp_server *s, char c)
{
	if (s->body_state == BODY_LINE_START) {
		s->body_state = BODY_DOT;
		s->body_last = '.';
	} else if (s->body_state == BODY_DOT) {
		s->body_state = BODY_DOT_CR;
		s->body_last = '\r';
	} else {
		s->body_state = BODY_INSIDE;
		if (c == '\n') {
			message_end(s);
			return 1;
		}
		spoil(s, FAULT_BARE_NEWLINE);
		return 0;
	}
	return 1;
}

static size_t take_data(struct smtp_server *s, struct span bytes)
{
	size_t size;

	if ((s->body_state == BODY_LINE_START && bytes.at[0] == '.') ||
	    (s->body_state == BODY_DOT && bytes.at[0] == '\r') || s->body_state == BODY_DOT_CR)
		return take_dot(s, bytes.at[0]);
	size = run_size(s, bytes);
	pass(s, span_slice(bytes, 0, size));
	return size;
}

static void chunk_end(struct smtp_server *s)
{
	if (s->chunk_fault != FAULT_OK) {
		s->state = s->chunk_back;
		smtp_server_reply_fault(s, s->chunk_fault);
		return;
	}
	if (s->chunk_is_last && s->body_last == '\r' && s->mail.body != PARAMETERS_BINARYMIME)
		spoil(s, FAULT_BARE_NEWLINE);
	s->state = STATE_CHUNKS;
	if (s->chunk_is_last)
		message_end(s);
	else if (s->spoiled != FAULT_OK)
		smtp_server_reply_fault(s, s->spoiled);
	else
		smtp_server_reply(s, 250, SPAN("2.0.0"), SPAN("chunk received"));
}

void smtp_server_data_chunk(struct smtp_server *s, uint64_t size, bool is_last, enum fault f)
{
	if (f == FAULT_OK && s->state != STATE_CHUNKS) {
		s->body_last = '\n';
		s->message_ms = s->now_ms;
	}
	s->chunk_back = s->state;
	s->chunk_left = size;
	s->chunk_is_last = is_last;
	s->chunk_fault = f;
	s->state = STATE_CHUNK;
	if (f == FAULT_OK && s->limits.size_bytes && size > s->limits.size_bytes - s->body_size)
		spoil(s, FAULT_MESSAGE_TOO_LARGE);
	if (!size)
		chunk_end(s);
}

static size_t take_chunk(struct smtp_server *s, struct span bytes)
{
	struct span run = span_slice(bytes, 0, s->chunk_left < bytes.size ? (size_t)s->chunk_left : bytes.size);

	s->chunk_left -= run.size;
	if (s->chunk_fault == FAULT_OK)
		pass(s, run);
	if (!s->chunk_left)
		chunk_end(s);
	return run.size;
}

size_t smtp_server_data_take(struct smtp_server *s, struct span bytes)
{
	s->heard_ms = s->now_ms;
	return s->state == STATE_DATA ? take_data(s, bytes) : take_chunk(s, bytes);
}

void smtp_server_spoil_names(struct smtp_server *s, const struct remedy_names *names)
{
	s->names = *names;
}

void smtp_server_spoil(struct smtp_server *s, enum fault f)
{
	if (!smtp_server_has_message(s) || (s->ask == ASK_VERDICT && s->asked) || s->spoiled != FAULT_OK)
		return;
	s->spoiled = f;
	s->body = (struct span){ 0 };
	if (s->ask == ASK_VERDICT) { /* the end came with the run that the driver gives up at */
		s->ask = ASK_NOTHING;
		message_end(s);
	}
}
