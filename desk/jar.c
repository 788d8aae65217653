#include "desk/jar.h"

#include <string.h>

static bool is_text(struct span s)
{
	for (size_t i = 0; i < s.size; i++) {
		char c = s.at[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return s.size && s.size <= JAR_TEXT_BYTES;
}

void jar_read(struct jar *jar, struct span cookie)
{
	struct span pair, browser;

	jar->count = 0;
	while (jar->count < JAR_PAIRS_MAX && span_cut(&cookie, '~', &pair))
		if (span_cut(&pair, '.', &browser) && is_text(browser) && is_text(pair)) {
			jar->pairs[jar->count].browser = browser;
			jar->pairs[jar->count++].link = pair;
		}
}

struct span jar_browser(const struct jar *jar, struct span link)
{
	for (size_t i = 0; i < jar->count; i++)
		if (span_equal(jar->pairs[i].link, link))
			return jar->pairs[i].browser;
	return SPAN("");
}

void jar_drop(struct jar *jar, size_t at)
{
	if (at >= jar->count)
		return;
	memmove(&jar->pairs[at], &jar->pairs[at + 1], (jar->count - at - 1) * sizeof jar->pairs[0]);
	jar->count--;
}

bool jar_put(struct jar *jar, struct span browser, struct span link)
{
	if (!is_text(browser) || !is_text(link))
		return false;
	for (size_t i = 0; i < jar->count; i++)
		if (span_equal(jar->pairs[i].link, link))
			jar_drop(jar, i--);
	if (jar->count == JAR_PAIRS_MAX)
		jar->count--;
	memmove(&jar->pairs[1], &jar->pairs[0], jar->count * sizeof jar->pairs[0]);
	jar->pairs[0].browser = browser;
	jar->pairs[0].link = link;
	jar->count++;
	return true;
}

bool jar_write(const struct jar *jar, struct buf *out)
{
	for (size_t i = 0; i < jar->count; i++)
		buf_print(out, "%s%.*s.%.*s", i ? "~" : "", SPAN_ARGS(jar->pairs[i].browser), SPAN_ARGS(jar->pairs[i].link));
	return !out->overfull;
}
