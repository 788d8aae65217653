/* Any bytes as a backup, under a key that is known here; then the same text sealed as it should be, as parts of a kind that the input chooses: what is read
 * is what was put, in order, and a spool is made of it or refused. */
#include "base/panic.h"
#include "queue/archive.h"

#include <string.h>

static const char key[SEAL_KEY_BYTES] = "a key of thirty-two bytes in all";
#define KEY ((struct span){ key, sizeof key })
enum { PIECE_BYTES = 1000 };

static enum archive_found step(struct archive_reader *r)
{
	enum archive_found found = archive_read(r);

	if (found == ARCHIVE_OPENED)
		archive_reader_key(r, KEY);
	return found;
}

/* To the end, or until something is wrong; counts parts. */
static enum archive_found run(struct span bytes, size_t *parts)
{
	enum archive_found found = ARCHIVE_MORE;
	struct archive_reader r;

	archive_reader_init(&r);
	while (found != ARCHIVE_FAILED && found != ARCHIVE_WHOLE) {
		found = step(&r);
		*parts += found == ARCHIVE_PART;
		if (found != ARCHIVE_MORE)
			continue;
		if (!bytes.size)
			break;
		archive_feed(&r, span_slice(bytes, 0, PIECE_BYTES));
		bytes = span_slice(bytes, PIECE_BYTES, bytes.size);
	}
	archive_reader_fini(&r);
	return found;
}

static void put(struct buf *out, struct archive_line *line, struct span text)
{
	struct secret *key_of = archive_section_key(KEY, ARCHIVE_SPOOL);
	struct archive_writer w;

	archive_writer_init(&w, ARCHIVE_SPOOL, secret_borrow(key_of), line->digest);
	while (text.size > 1) {
		size_t size = (unsigned char)text.at[1];
		enum archive_kind kind = (enum archive_kind)(ARCHIVE_MESSAGE + (unsigned char)text.at[0] % 4);

		ASSERT(archive_put(&w, out, kind, span_slice(text, 2, size)));
		text = span_slice(text, 2 + size, text.size);
	}
	ASSERT(archive_put(&w, out, ARCHIVE_SPOOL_END, SPAN("{}")));
	archive_writer_fini(&w);
	secret_free(&key_of);
	key_of = archive_section_key(KEY, ARCHIVE_VAULT);
	archive_writer_init(&w, ARCHIVE_VAULT, secret_borrow(key_of), line->digest);
	ASSERT(archive_put(&w, out, ARCHIVE_END, SPAN("")));
	archive_writer_fini(&w);
	secret_free(&key_of);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
	struct span bytes = { (const char *)at, size };
	struct archive_line line = { .at_ms = 1, .root = 2, .version = "0" };
	size_t parts = 0;
	struct buf whole;

	run(bytes, &parts);
	buf_init(&whole, SIZE_MAX);
	ASSERT(archive_line_put(&whole, &line));
	put(&whole, &line, bytes);
	parts = 0;
	ASSERT(run(buf_span(&whole), &parts) == ARCHIVE_WHOLE && parts >= 2);
	/* one bit of it, chosen by the input, and it is whole no more */
	if (size > 2) {
		size_t where = ((size_t)at[0] << 8 | at[1]) % whole.size;

		whole.at[where] ^= (char)(1 << at[2] % 8);
		ASSERT(run(buf_span(&whole), &parts) != ARCHIVE_WHOLE);
	}
	buf_free(&whole);
	return 0;
}
