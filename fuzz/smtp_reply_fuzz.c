/* Any bytes as replies: the same ones however they are cut, and never more kept than there is room. */
#include "wire/smtp_reply.h"

#include <stdlib.h>
#include <string.h>

struct seen {
	unsigned replies;
	int code;
	size_t taken;
	uint64_t hash;
};

static void mix(struct seen *s, struct span text)
{
	for (size_t i = 0; i < text.size; i++)
		s->hash = (s->hash ^ (unsigned char)text.at[i]) * 1099511628211u;
}

static void look(struct seen *s, const struct smtp_reply *r)
{
	struct span enhanced = smtp_reply_enhanced(r);

	if (r->code < 200 || r->code > 599 || r->text_size > SMTP_REPLY_TEXT_BYTES)
		abort();
	if (enhanced.size && !outcome_is_enhanced(enhanced))
		abort();
	s->replies++;
	s->code = r->code;
	mix(s, enhanced);
	mix(s, smtp_reply_text(r));
}

static struct seen read_all(struct span bytes, size_t piece)
{
	static struct smtp_reply r;
	struct seen s = { .hash = 14695981039346656037u };
	enum smtp_reply_end end = SMTP_REPLY_MORE;

	smtp_reply_init(&r);
	for (size_t at = 0; at < bytes.size && end != SMTP_REPLY_BROKEN;) {
		struct span some = span_slice(bytes, at, piece);
		size_t taken = smtp_reply_feed(&r, some, &end);

		if (!taken || taken > some.size || (taken < some.size && end == SMTP_REPLY_MORE))
			abort();
		at += taken;
		s.taken = at;
		if (end == SMTP_REPLY_WHOLE)
			look(&s, &r);
	}
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = { (const char *)data, size };
	struct seen whole = read_all(bytes, size ? size : 1);

	for (size_t piece = 1; piece <= 7; piece += 3) {
		struct seen cut = read_all(bytes, piece);

		if (cut.replies != whole.replies || cut.code != whole.code || cut.hash != whole.hash || cut.taken != whole.taken)
			abort();
	}
	return 0;
}
