#include "tests/replay/ledger.h"

#include "base/panic.h"

#include <stdio.h>
#include <string.h>

struct letter *ledger_letter(struct ledger *l, struct span name)
{
	for (size_t i = 0; i < l->count; i++)
		if (span_equal(span_of(l->letters[i].name), name))
			return &l->letters[i];
	return NULL;
}

struct letter *ledger_add(struct ledger *l, struct span name)
{
	struct letter *letter;

	ASSERT(!ledger_letter(l, name) && l->count < LETTERS_MAX);
	letter = &l->letters[l->count++];
	*letter = (struct letter){ .copies_allowed = 1 };
	snprintf(letter->name, sizeof letter->name, "%.*s", SPAN_ARGS(name));
	snprintf(letter->message_id, sizeof letter->message_id, "<%.*s@replay.example>", SPAN_ARGS(name));
	return letter;
}

struct span ledger_field(struct span mail, struct span name)
{
	struct span line;

	while (span_cut(&mail, '\n', &line) && line.size > 1)
		if (span_starts_fold(line, name))
			return span_trim(span_slice(line, name.size, line.size));
	return SPAN("");
}

/* The groups of a report, one for each recipient: Final-Recipient, then Action (RFC 3464 2.3). */
static void read_groups(struct letter *letter, struct span report)
{
	struct span line, who = SPAN("");

	while (span_cut(&report, '\n', &line)) {
		if (span_starts_fold(line, SPAN("Final-Recipient: rfc822; ")))
			who = span_trim(span_slice(line, 25, line.size));
		if (!who.size || !span_starts_fold(line, SPAN("Action: failed")))
			continue;
		for (size_t i = 0; i < letter->recipient_count; i++)
			letter->reported[i] += span_equal_fold(span_of(letter->recipients[i]), who);
	}
}

static bool is_new_report(struct letter *letter, struct span id)
{
	for (size_t i = 0; i < letter->report_id_count; i++)
		if (span_equal(span_of(letter->report_ids[i]), id))
			return false;
	if (letter->report_id_count < LETTER_TRIES_MAX)
		snprintf(letter->report_ids[letter->report_id_count++], sizeof letter->report_ids[0], "%.*s", SPAN_ARGS(id));
	return true;
}

static bool arrived_report(struct ledger *l, struct span bytes)
{
	for (size_t i = 0; i < l->count; i++) {
		if (span_find(bytes, ledger_message_id(&l->letters[i])) == bytes.size)
			continue;
		if (span_find(bytes, SPAN("\r\nAction: delayed\r\n")) < bytes.size)
			l->letters[i].delays++; /* which excuses no loss */
		else
			l->letters[i].reports++;
		if (is_new_report(&l->letters[i], ledger_field(bytes, SPAN("message-id:"))))
			read_groups(&l->letters[i], bytes);
		else
			l->letters[i].report_copies++;
		return true;
	}
	return false;
}

bool ledger_arrived(struct ledger *l, struct span recipients, struct span bytes)
{
	struct letter *letter = ledger_letter(l, ledger_field(bytes, SPAN("subject:")));
	struct span word;

	if (span_starts_fold(ledger_field(bytes, SPAN("auto-submitted:")), SPAN("auto-")))
		return arrived_report(l, bytes);
	if (!letter)
		return false;
	while (span_cut(&recipients, ' ', &word))
		for (size_t i = 0; i < letter->recipient_count; i++)
			if (span_equal_fold(span_of(letter->recipients[i]), word))
				letter->arrived[i]++;
	return true;
}

struct span ledger_reply(const struct letter *letter)
{
	return letter->try_count ? span_of(letter->tries[letter->try_count - 1].reply) : SPAN("");
}

struct span ledger_message_id(const struct letter *letter)
{
	return span_of(letter->message_id);
}

struct span ledger_id(const struct letter *letter)
{
	for (size_t i = letter->try_count; i > 0; i--) {
		struct span rest = span_of(letter->tries[i - 1].reply), word;

		if (!span_starts(rest, SPAN("250 2.0.0 ")))
			continue;
		rest = span_slice(rest, 10, rest.size);
		span_cut(&rest, ' ', &word);
		return word;
	}
	return SPAN("");
}

/* --- the promises */

static bool was_told(const struct letter *letter, char digit)
{
	for (size_t i = 0; i < letter->try_count; i++)
		if (letter->tries[i].reply[0] == digit)
			return true;
	return false;
}

/* Refused at RCPT in every try that was answered 250: it is not part of the message. */
static bool was_left_out(const struct letter *letter, size_t recipient)
{
	for (size_t i = 0; i < letter->try_count; i++)
		if (letter->tries[i].reply[0] == '2' && !letter->tries[i].refused_recipient[recipient])
			return false;
	return true;
}

/* Tries after which the application could not know; each may have become a message with a report of its own. */
static size_t unheard(const struct letter *letter)
{
	size_t count = 0;

	for (size_t i = 0; i < letter->try_count; i++)
		count += letter->tries[i].was_sent && letter->tries[i].reply[0] != '2' && letter->tries[i].reply[0] != '5';
	return count;
}

static void check_reports(const struct letter *letter, size_t i, struct buf *complaints)
{
	const char *to = letter->recipients[i];

	if (letter->reported[i] && was_told(letter, '5') && !was_told(letter, '2') && !unheard(letter))
		buf_print(complaints, "%s: answered 5xx and yet reported for %s\n", letter->name, to);
	if (letter->reported[i] > 1 + unheard(letter))
		buf_print(complaints, "%s: %zu reports for %s\n", letter->name, letter->reported[i], to);
	if (letter->reported[i] && letter->arrived[i] && !unheard(letter))
		buf_print(complaints, "%s: arrived and yet reported for %s\n", letter->name, to);
}

static void check_recipient(const struct letter *letter, size_t i, struct buf *complaints)
{
	const char *to = letter->recipients[i];
	bool accepted = was_told(letter, '2'), refused = was_told(letter, '5');

	if (letter->arrived[i] > letter->copies_allowed)
		buf_print(complaints, "%s: %zu copies for %s\n", letter->name, letter->arrived[i], to);
	if (letter->arrived[i] && refused && !accepted)
		buf_print(complaints, "%s: answered 5xx and yet arrived for %s\n", letter->name, to);
	if (!accepted || was_left_out(letter, i))
		return;
	if (!letter->arrived[i] && !letter->is_queued && !letter->is_held && !letter->reported[i] && !letter->is_kept)
		buf_print(complaints, "%s: answered 250 and lost for %s\n", letter->name, to);
}

void ledger_check(const struct ledger *l, struct buf *complaints)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct letter *letter = &l->letters[i];

		for (size_t j = 0; j < letter->recipient_count; j++) {
			check_recipient(letter, j, complaints);
			check_reports(letter, j, complaints);
		}
		if (letter->report_copies && letter->report_copies >= letter->copies_allowed)
			buf_print(complaints, "%s: %zu further copies of a report\n", letter->name, letter->report_copies);
		if (letter->delays > 1)
			buf_print(complaints, "%s: %zu reports of its delay\n", letter->name, letter->delays);
		for (size_t j = 0; j < letter->try_count; j++)
			if (!letter->tries[j].reply[0])
				buf_print(complaints, "%s: never answered\n", letter->name);
	}
}

void ledger_print(const struct ledger *l, struct buf *out)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct letter *letter = &l->letters[i];

		for (size_t j = 0; j < letter->try_count; j++)
			buf_print(out, "letter %s try %zu after %lld ms: %s\n", letter->name, j + 1,
				  (long long)(letter->tries[j].ended_ms - letter->tries[j].begun_ms), letter->tries[j].reply);
		for (size_t j = 0; j < letter->recipient_count; j++)
			buf_print(out, "letter %s arrived %zu for %s\n", letter->name, letter->arrived[j], letter->recipients[j]);
		buf_print(out, "letter %s reports %zu delays %zu%s%s\n", letter->name, letter->reports, letter->delays, letter->is_queued ? " queued" : "",
			  letter->is_held ? " held" : letter->is_kept ? " kept" : "");
	}
}
