/* Backups as bytes: cut anywhere they read the same; altered, cut off, moved or mixed they do not read. */
#include "queue/archive.h"

#include "base/rand.h"
#include "tests/test.h"

static const char key_bytes[SEAL_KEY_BYTES] = "a key of thirty-two bytes in all", other_key[SEAL_KEY_BYTES] = "another key of thirty-two bytes ";
#define KEY ((struct span){ key_bytes, sizeof key_bytes })

enum { BYTES_MAX = 4 * 1024 * 1024, TRANSCRIPT_BYTES_MAX = 64 * 1024 };

static const struct {
	enum archive_section section;
	enum archive_kind kind;
	const char *text;
} parts[] = {
	{ ARCHIVE_SPOOL, ARCHIVE_MESSAGE, "the first" }, { ARCHIVE_SPOOL, ARCHIVE_BODY, "its body" }, { ARCHIVE_SPOOL, ARCHIVE_BODY, "and more of it" },
	{ ARCHIVE_SPOOL, ARCHIVE_REPORT, "" },           { ARCHIVE_SPOOL, ARCHIVE_LOST, "" },         { ARCHIVE_SPOOL, ARCHIVE_SPOOL_END, "{}" },
	{ ARCHIVE_VAULT, ARCHIVE_DATABASE, "pages" },    { ARCHIVE_VAULT, ARCHIVE_END, "" },
};
enum { PARTS = sizeof parts / sizeof *parts };

static struct archive_line line_of(int64_t at_ms)
{
	struct archive_line l = { .at_ms = at_ms, .root = 0x0123456789abcdef };

	snprintf(l.version, sizeof l.version, "0.1.0");
	memset(l.sealed_key, 7, sizeof l.sealed_key);
	return l;
}

/* Writes all parts but `left_out`; `starts` gets where each begins. */
static void write_all(struct buf *out, int64_t at_ms, size_t left_out, size_t starts[PARTS + 1])
{
	struct archive_line line = line_of(at_ms);
	struct archive_writer writers[2];

	buf_init(out, BYTES_MAX);
	assert_true(archive_line_put(out, &line));
	for (enum archive_section s = ARCHIVE_SPOOL; s <= ARCHIVE_VAULT; s++) {
		struct secret *key = archive_section_key(KEY, s);

		archive_writer_init(&writers[s], s, secret_borrow(key), line.digest);
		secret_free(&key);
	}
	for (size_t i = 0; i < PARTS; i++) {
		starts[i] = out->size;
		if (i != left_out)
			assert_true(archive_put(&writers[parts[i].section], out, parts[i].kind, span_of(parts[i].text)));
	}
	starts[PARTS] = out->size;
	archive_writer_fini(&writers[0]);
	archive_writer_fini(&writers[1]);
}

struct reading {
	struct archive_reader reader;
	struct buf transcript;
	enum archive_found last;
	struct span key;
};

static void drain(struct reading *g)
{
	while ((g->last = archive_read(&g->reader)) != ARCHIVE_MORE && g->last != ARCHIVE_WHOLE && g->last != ARCHIVE_FAILED) {
		if (g->last == ARCHIVE_OPENED)
			archive_reader_key(&g->reader, g->key);
		else
			buf_print(&g->transcript, "%d %.*s\n", (int)g->reader.kind, SPAN_ARGS(g->reader.text));
	}
}

static void read_begin(struct reading *g, struct span key)
{
	archive_reader_init(&g->reader);
	buf_init(&g->transcript, TRANSCRIPT_BYTES_MAX);
	g->key = key;
	drain(g);
}

static void read_end(struct reading *g)
{
	archive_reader_fini(&g->reader);
	buf_free(&g->transcript);
}

/* Feeds pieces of at most `most` bytes; 0 for sizes by chance. */
static void feed_all(struct reading *g, struct span bytes, size_t most)
{
	while (bytes.size && g->last == ARCHIVE_MORE) {
		struct span piece = span_slice(bytes, 0, most ? most : 1 + rand_below(40));

		archive_feed(&g->reader, piece);
		bytes = span_slice(bytes, piece.size, bytes.size);
		drain(g);
	}
	if (bytes.size && g->last == ARCHIVE_WHOLE) { /* what stands behind the end */
		archive_feed(&g->reader, bytes);
		drain(g);
	}
}

static enum fault fault_of(struct span bytes, struct span key)
{
	struct reading g;
	enum fault fault;

	read_begin(&g, key);
	feed_all(&g, bytes, 4096);
	fault = g.last == ARCHIVE_WHOLE ? FAULT_OK : g.last == ARCHIVE_FAILED ? g.reader.fault : FAULT_TIMEOUT; /* the last: it waits for more */
	read_end(&g);
	return fault;
}

static void cut_anywhere_it_reads_the_same(void **state)
{
	static const char wanted[] = "1 the first\n3 its body\n3 and more of it\n2 \n4 \n5 {}\n6 pages\n7 \n";
	size_t starts[PARTS + 1];
	struct buf bytes;

	write_all(&bytes, 1000, PARTS, starts);
	for (size_t round = 0; round < 1002; round++) {
		struct reading g;

		read_begin(&g, KEY);
		feed_all(&g, buf_span(&bytes), round == 0 ? bytes.size : round == 1 ? 1 : 0);
		assert_int_equal(g.last, ARCHIVE_WHOLE);
		assert_span(buf_span(&g.transcript), wanted);
		assert_true(g.reader.line.at_ms == 1000 && g.reader.line.root == 0x0123456789abcdef && !strcmp(g.reader.line.version, "0.1.0"));
		read_end(&g);
	}
	buf_free(&bytes);
}

static void any_bit_changed_is_seen(void **state)
{
	size_t starts[PARTS + 1];
	struct buf bytes;

	write_all(&bytes, 1000, PARTS, starts);
	for (size_t at = 0; at < bytes.size; at++) {
		enum fault fault;

		bytes.at[at] ^= (char)(1 << at % 8);
		fault = fault_of(buf_span(&bytes), KEY);
		/* a size may come to ask for more than there is: the file then ends too early */
		assert_true(fault == FAULT_BACKUP_DAMAGED || fault == FAULT_TIMEOUT || (fault == FAULT_BACKUP_NEWER && at == 15));
		bytes.at[at] ^= (char)(1 << at % 8);
	}
	assert_int_equal(fault_of(buf_span(&bytes), KEY), FAULT_OK);
	buf_free(&bytes);
}

static void cut_off_it_is_never_whole(void **state)
{
	size_t starts[PARTS + 1];
	struct buf bytes;

	write_all(&bytes, 1000, PARTS, starts);
	for (size_t size = 0; size < bytes.size; size++)
		assert_int_equal(fault_of(span_slice(buf_span(&bytes), 0, size), KEY), FAULT_TIMEOUT);
	buf_put_byte(&bytes, 0);
	assert_int_equal(fault_of(buf_span(&bytes), KEY), FAULT_BACKUP_DAMAGED);
	buf_free(&bytes);
}

static void no_part_can_be_left_out_moved_or_taken_from_another(void **state)
{
	size_t starts[PARTS + 1], ignored[PARTS + 1];
	struct buf bytes, later, mixed;

	write_all(&bytes, 1000, PARTS, starts);
	write_all(&later, 2000, PARTS, ignored);
	buf_init(&mixed, BYTES_MAX);
	for (size_t i = 0; i + 1 < PARTS; i++) {
		buf_clear(&mixed);
		buf_put(&mixed, span_slice(buf_span(&bytes), 0, starts[i]));
		buf_put(&mixed, span_slice(buf_span(&bytes), starts[i + 1], bytes.size));
		assert_int_equal(fault_of(buf_span(&mixed), KEY), FAULT_BACKUP_DAMAGED);
		buf_clear(&mixed);
		buf_put(&mixed, span_slice(buf_span(&bytes), 0, starts[i]));
		buf_put(&mixed, span_slice(buf_span(&later), ignored[i], later.size));
		assert_int_equal(fault_of(buf_span(&mixed), KEY), FAULT_BACKUP_DAMAGED);
	}
	buf_free(&bytes);
	buf_free(&later);
	buf_free(&mixed);
}

static void only_the_key_opens_it(void **state)
{
	size_t starts[PARTS + 1];
	struct buf bytes;

	write_all(&bytes, 1000, PARTS, starts);
	assert_int_equal(fault_of(buf_span(&bytes), (struct span){ other_key, sizeof other_key }), FAULT_BACKUP_DAMAGED);
	buf_free(&bytes);
}

static void what_is_no_backup_is_told_so_at_once(void **state)
{
	static const struct { const char *text; enum fault fault; } table[] = {
		{ "", FAULT_TIMEOUT },
		{ "postern-", FAULT_TIMEOUT },
		{ "postern-backup 1 {", FAULT_TIMEOUT },
		{ "p0stern-backup 1 {}\n", FAULT_BACKUP_DAMAGED },
		{ "SQLite format 3", FAULT_BACKUP_DAMAGED },
		{ "\n", FAULT_BACKUP_DAMAGED },
		{ "postern-backup \n", FAULT_BACKUP_DAMAGED },
		{ "postern-backup x {}\n", FAULT_BACKUP_DAMAGED },
		{ "postern-backup 0 {}\n", FAULT_BACKUP_DAMAGED },
		{ "postern-backup 1 {}\n", FAULT_BACKUP_DAMAGED },
		{ "postern-backup 1 []\n", FAULT_BACKUP_DAMAGED },
		{ "postern-backup 2 {}\n", FAULT_BACKUP_NEWER },
		{ "postern-backup 99 anything at all\n", FAULT_BACKUP_NEWER },
	};
	struct buf endless;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		assert_int_equal(fault_of(span_of(table[i].text), KEY), table[i].fault);
	buf_init(&endless, BYTES_MAX);
	buf_put(&endless, SPAN("postern-backup 1 "));
	while (endless.size < 100000)
		buf_put_byte(&endless, ' ');
	assert_int_equal(fault_of(buf_span(&endless), KEY), FAULT_BACKUP_DAMAGED);
	buf_free(&endless);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_anywhere_it_reads_the_same),
		cmocka_unit_test(any_bit_changed_is_seen),
		cmocka_unit_test(cut_off_it_is_never_whole),
		cmocka_unit_test(no_part_can_be_left_out_moved_or_taken_from_another),
		cmocka_unit_test(only_the_key_opens_it),
		cmocka_unit_test(what_is_no_backup_is_told_so_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
