/* What people keep in one file, taken apart. */
#include "loop/certificate.h"

#include "base/clock.h"
#include "tests/test.h"

#include <stdlib.h>

struct files {
	struct certificate_pair authority, one, other;
};

static void files_init(struct files *f)
{
	const struct span names[] = { SPAN("gw.example"), SPAN("127.0.0.1"), SPAN("mail.example") };

	assert_int_equal(certificate_authority(&f->authority, "Test"), FAULT_OK);
	assert_int_equal(certificate_for(&f->one, &f->authority, names, 3, false), FAULT_OK);
	assert_int_equal(certificate_for(&f->other, &f->authority, names, 1, false), FAULT_OK);
}

static void files_fini(struct files *f)
{
	certificate_pair_free(&f->authority);
	certificate_pair_free(&f->one);
	certificate_pair_free(&f->other);
}

/* NULL where it is read, else why not. */
static const char *read_all(struct certificate_pair *out, struct span first, struct span second, struct span third)
{
	const char *why = NULL;
	struct buf text;

	buf_init(&text, 1 << 20);
	buf_put(&text, first);
	buf_put(&text, second);
	buf_put(&text, third);
	bool wrong = certificate_read(out, buf_span(&text), &why) != FAULT_OK;

	assert_int_equal(wrong, why != NULL);
	buf_wipe(&text);
	return why;
}

static void one_file_is_taken_apart(void **state)
{
	struct certificate_facts facts;
	struct certificate_pair pair;
	struct files f;

	files_init(&f);
	assert_null(read_all(&pair, buf_span(&f.one.key_pem), buf_span(&f.one.certificate_pem), buf_span(&f.authority.certificate_pem)));
	assert_true(span_starts(buf_span(&pair.certificate_pem), buf_span(&f.one.certificate_pem)));
	assert_int_equal(pair.certificate_pem.size, f.one.certificate_pem.size + f.authority.certificate_pem.size);
	assert_true(span_equal(buf_span(&pair.key_pem), buf_span(&f.one.key_pem)));
	assert_true(certificate_says(&facts, buf_span(&pair.certificate_pem)));
	assert_span(buf_span(&facts.names), "gw.example mail.example");
	assert_true(llabs(facts.ends_at_ms - clock_wall_ms() - 397LL * 86400 * 1000) < 2 * 86400 * 1000LL);
	buf_free(&facts.names);
	certificate_pair_free(&pair);
	files_fini(&f);
}

static void what_is_no_pair(void **state)
{
	struct certificate_facts facts;
	struct certificate_pair pair;
	struct files f;

	files_init(&f);
	assert_non_null(strstr(read_all(&pair, buf_span(&f.one.certificate_pem), SPAN(""), SPAN("")), "no key"));
	certificate_pair_free(&pair);
	assert_non_null(strstr(read_all(&pair, buf_span(&f.one.key_pem), SPAN(""), SPAN("")), "no certificate"));
	certificate_pair_free(&pair);
	assert_non_null(strstr(read_all(&pair, buf_span(&f.one.certificate_pem), buf_span(&f.other.key_pem), SPAN("")), "another certificate"));
	certificate_pair_free(&pair);
	assert_non_null(strstr(read_all(&pair, SPAN("nonsense"), SPAN(""), SPAN("")), "no certificate"));
	certificate_pair_free(&pair);
	assert_false(certificate_says(&facts, SPAN("")));
	assert_int_equal(facts.names.size, 0);
	buf_free(&facts.names);
	files_fini(&f);
}

TESTS(one_file_is_taken_apart, what_is_no_pair)
