/* Any message, reply and address in a report: its lines stay lines, its head stays ours. */
#include "wire/dsn.h"

#include <stdlib.h>
#include <string.h>

enum { FIELDS = 12 };

/* Every CR stands before LF, every LF behind CR, no NUL. */
static void check_lines(struct span s)
{
	for (size_t i = 0; i < s.size; i++) {
		bool good = s.at[i] != 0 && (s.at[i] != '\r' || (i + 1 < s.size && s.at[i + 1] == '\n')) &&
			    (s.at[i] != '\n' || (i && s.at[i - 1] == '\r'));

		if (!good)
			abort();
	}
}

/* The head has just the fields we put there. */
static void check_head(struct span report)
{
	static const char *const ours[] = { "From:", "To:", "Subject:", "Date:", "Message-ID:", "In-Reply-To:", "References:",
					    "Auto-Submitted:", "X-Postern-Report:", "MIME-Version:", "Content-Language:",
					    "Content-Type:", " " };
	struct span head = span_slice(report, 0, span_find(report, SPAN("\r\n\r\n"))), line;

	while (span_cut(&head, '\n', &line)) {
		bool known = false;

		for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
			known = known || span_starts(line, span_of(ours[i]));
		if (!known)
			abort();
	}
}

static void check(const struct dsn_report *d, size_t room, bool full)
{
	struct dsn_needs needs;
	bool eight_bit = false;
	struct buf made;
	enum fault f;

	buf_init(&made, room);
	f = dsn_compose(&made, d, &needs);
	if ((f == FAULT_NOT_FOUND) != !dsn_wanted(d) || (f == FAULT_TOO_LARGE && full))
		abort();
	if (f == FAULT_OK) {
		check_lines(buf_span(&made));
		check_head(buf_span(&made));
		if (!dsn_is_report(buf_span(&made)))
			abort();
		for (size_t i = 0; i < made.size; i++)
			eight_bit = eight_bit || (unsigned char)made.at[i] > 127;
		if (eight_bit != needs.eight_bit)
			abort();
	}
	buf_free(&made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = { (const char *)data, size }, field[FIELDS];
	unsigned choice = size > 1 ? data[0] | (unsigned)data[1] << 8 : 0;
	struct outcome outcome;

	rest = span_slice(rest, 2, size);
	for (size_t i = 0; i < FIELDS; i++)
		if (!span_cut(&rest, '\x01', &field[i]))
			field[i] = (struct span){ "", 0 };
	outcome_set(&outcome, (enum fault)(choice % FAULT_COUNT), choice & 1 ? 550 : 0, field[0], field[1]);
	struct dsn_recipient recipients[2] = {
		{ field[2], field[3], choice >> 4 & 15, (enum dsn_action)(choice % 5), &outcome, field[4], 1, 2 },
		{ field[3], field[2], choice >> 8 & 15, (enum dsn_action)(choice / 5 % 5), &outcome, field[5], 0, 0 },
	};
	struct dsn_report report = {
		.host = field[4], .from = field[5], .to = field[6], .message_id = field[7], .date_ms = 1433160000000,
		.language = choice & 2 ? LANGUAGE_FR : LANGUAGE_EN, .utf8 = choice & 4, .envelope_id = field[8],
		.about = field[9], .queue_id = field[7], .returns = (enum dsn_return)(choice % 3), .header = field[10],
		.content = field[11], .recipients = recipients, .recipient_count = 2,
	};

	check(&report, 1 << 22, size < 100000);
	check(&report, 2000 + choice % 3000, false);
	(void)dsn_is_report(field[10]);
	return 0;
}
