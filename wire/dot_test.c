/* Dots doubled, line ends kept in pairs, in every cutting. */
#include "tests/test.h"
#include "wire/dot.h"

static struct {
	const char *body, *wire; /* NULL: refused */
} cases[] = {
	{ "", ".\r\n" },
	{ "a", "a\r\n.\r\n" },
	{ "a\r\n", "a\r\n.\r\n" },
	{ ".", "..\r\n.\r\n" },
	{ ".\r\n", "..\r\n.\r\n" },
	{ "..\r\na.b\r\n.c\r\n", "...\r\na.b\r\n..c\r\n.\r\n" },
	{ "\r\n\r\n.\r\n.\r\n", "\r\n\r\n..\r\n..\r\n.\r\n" },
	{ "a\n", NULL },
	{ "\n", NULL },
	{ "a\r", NULL },
	{ "a\r\r\n", NULL },
	{ "\r.\r\n", NULL },
	{ "a\r\n\n", NULL },
	{ "a\rb\r\n", NULL },
};

/* Feeds pieces of `piece` bytes into windows of `room`. */
static enum fault stream(const char *body, size_t piece, size_t room, char *to, size_t *size)
{
	struct span all = span_of(body);
	struct dot d;
	size_t put;

	dot_init(&d);
	*size = 0;
	for (size_t at = 0; at < all.size; at += piece) {
		struct span rest = span_slice(all, at, piece);

		while (rest.size) {
			enum fault f = dot_put(&d, &rest, to + *size, room, &put);

			assert_true(put <= room);
			*size += put;
			if (f != FAULT_OK)
				return f;
			assert_true(put > 0);
		}
	}
	if (dot_end(&d, to + *size, &put) != FAULT_OK)
		return FAULT_BARE_NEWLINE;
	*size += put;
	return FAULT_OK;
}

static void every_cutting(void **state)
{
	char to[64];
	size_t size;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t piece = 1; piece < 16; piece++)
			for (size_t room = 2; room < 20; room++) {
				enum fault f = stream(cases[i].body, piece, room, to, &size);

				assert_int_equal(f, cases[i].wire ? FAULT_OK : FAULT_BARE_NEWLINE);
				if (cases[i].wire)
					assert_span(((struct span){ to, size }), cases[i].wire);
			}
}

/* Chunks go as they are, so looking must find what putting refuses. */
static void checking_agrees(void **state)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t piece = 1; piece < 16; piece++) {
			struct span all = span_of(cases[i].body);
			enum fault f = FAULT_OK;
			struct dot d;

			dot_init(&d);
			for (size_t at = 0; at < all.size && f == FAULT_OK; at += piece)
				f = dot_check(&d, span_slice(all, at, piece));
			if (f == FAULT_OK)
				f = dot_check_end(&d);
			assert_int_equal(f, cases[i].wire ? FAULT_OK : FAULT_BARE_NEWLINE);
		}
}

/* Nothing behind the refusal comes out. */
static void stops_where_it_refuses(void **state)
{
	struct span rest = SPAN("good\r\nbad\nevil\r\n");
	char to[64];
	struct dot d;
	size_t put;

	dot_init(&d);
	assert_int_equal(dot_put(&d, &rest, to, sizeof to, &put), FAULT_BARE_NEWLINE);
	assert_span(((struct span){ to, put }), "good\r\nbad");
	assert_span(rest, "\nevil\r\n");
}

TESTS(every_cutting, checking_agrees, stops_where_it_refuses)
