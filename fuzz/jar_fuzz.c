/* Cookies of strangers: what was read can be written and read again, and holds no more than its ceiling. */
#include "desk/jar.h"

#include "base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span text = { (const char *)bytes, size }, rest = text, word = text;
	struct jar jar, again;
	struct buf out;

	jar_read(&jar, text);
	ASSERT(jar.count <= JAR_PAIRS_MAX);
	(void)span_cut(&rest, '~', &word);
	if (size % 2) {
		word = span_slice(word, 0, 8);
		rest = span_slice(rest, 0, 8);
	}
	if (jar_put(&jar, word, rest))
		ASSERT(span_equal(jar_browser(&jar, rest), word));
	jar_drop(&jar, size % 5);
	buf_init(&out, 4096);
	ASSERT(jar_write(&jar, &out));
	jar_read(&again, buf_span(&out));
	ASSERT(again.count == jar.count);
	for (size_t i = 0; i < jar.count; i++)
		ASSERT(span_equal(again.pairs[i].link, jar.pairs[i].link) && span_equal(again.pairs[i].browser, jar.pairs[i].browser));
	buf_free(&out);
	return 0;
}
