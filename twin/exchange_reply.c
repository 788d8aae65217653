#include "twin/exchange_reply.h"

#include "base/text.h"

#include <time.h>

/* The name of a front end as captures show it: one in all of them, so that replies can be compared. */
#define HOST "PN4P287CA0064"
#define REGION "INDP287"

static void put_date(struct buf *out, int64_t wall_ms)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	buf_print(out, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
		  tm.tm_min, tm.tm_sec);
}

static void put_value(struct buf *out, struct span name, const struct exchange_values *v)
{
	if (span_equal(name, SPAN("host"))) {
		buf_put(out, SPAN(HOST ".outlook.office365.com"));
	} else if (span_equal(name, SPAN("tag"))) {
		buf_put(out, SPAN(HOST "." REGION ".PROD.OUTLOOK.COM "));
		text_date(out, v->wall_ms);
		buf_print(out, " %016llX", (unsigned long long)v->id);
	} else if (span_equal(name, SPAN("hostname"))) {
		buf_put(out, SPAN(HOST "." REGION ".PROD.OUTLOOK.COM"));
	} else if (span_equal(name, SPAN("mx"))) {
		buf_put(out, SPAN(HOST ".mail.protection.outlook.com"));
	} else if (span_equal(name, SPAN("bytes"))) {
		buf_print(out, "%zu", v->message_bytes);
	} else if (span_equal(name, SPAN("rate"))) {
		buf_print(out, "%zu.%03zu", v->message_bytes * 10 / 1024, v->message_bytes * 10 % 1024 * 1000 / 1024);
	} else if (span_equal(name, SPAN("id"))) {
		buf_print(out, "%016llX", (unsigned long long)v->id);
	} else if (span_equal(name, SPAN("google"))) {
		buf_print(out, "%llx-%llx.14", (unsigned long long)v->id & 0xffffffffffu, (unsigned long long)v->wall_ms);
	} else if (span_equal(name, SPAN("date"))) {
		put_date(out, v->wall_ms);
	} else if (span_equal(name, SPAN("epoch"))) {
		buf_print(out, "%lld", (long long)(v->wall_ms / 1000));
	} else if (span_equal(name, SPAN("size"))) {
		buf_print(out, "%lld", (long long)v->size_bytes);
	} else {
		const struct {
			const char *name;
			struct span text;
		} texts[] = { { "peer", v->peer },	 { "message_id", v->message_id }, { "mailbox", v->mailbox },
			      { "sender", v->sender }, { "reason", v->reason } };

		for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
			if (span_equal(name, span_of(texts[i].name)))
				text_plain(out, texts[i].text);
	}
}

void exchange_reply_put(struct buf *out, struct span text, const struct exchange_values *v)
{
	struct span line;

	while (span_cut(&text, '\n', &line)) {
		while (line.size) {
			size_t open = span_find_byte(line, '{'), close = span_find_byte(line, '}');

			buf_put(out, span_slice(line, 0, open));
			if (open < close && close < line.size)
				put_value(out, span_slice(line, open + 1, close - open - 1), v);
			line = open < line.size ? span_slice(line, close + 1, line.size) : span_slice(line, 0, 0);
		}
		buf_put(out, SPAN("\r\n"));
	}
}

struct span exchange_reply_reason(struct span text)
{
	struct span first = { 0 };

	span_cut(&text, '\n', &first);
	return span_trim(span_slice(first, 0, span_find_byte(first, '[')));
}
