#include "cli/call.h"
#include "cli/show.h"

#include "base/span.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINE_BYTES = 4096, INDENT = 2 };

static struct span text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return span_of(text ? text : "");
}

/* "2027-01-31 (days left: 12): ", or that it is over, or that nobody knows. */
static void put_when(const json_t *lapse, char out[LINE_BYTES])
{
	struct span date = span_slice(text_of(lapse, "ends_at"), 0, 10);
	json_int_t days = json_integer_value(json_object_get(lapse, "days"));

	if (!date.size)
		snprintf(out, LINE_BYTES, "%s", cli_word(CLI_WORD_LAPSE_UNKNOWN));
	else if (days >= 0)
		snprintf(out, LINE_BYTES, cli_word(CLI_WORD_LAPSE_AHEAD), date.at, (long long)days);
	else
		snprintf(out, LINE_BYTES, cli_word(CLI_WORD_LAPSE_BEHIND), date.at);
}

static void show_lapse(const json_t *lapse)
{
	char when[LINE_BYTES], line[2 * LINE_BYTES];

	put_when(lapse, when);
	snprintf(line, sizeof line, "%s%s", when, text_of(lapse, "says").at);
	printf("- ");
	show_wrapped(span_of(line), INDENT);
	printf("%*s", INDENT, "");
	show_wrapped(text_of(lapse, "remedy"), INDENT);
}

/* Before anything else: what stops working by itself unless somebody does something. */
static void show_lapses(json_t *status)
{
	const json_t *lapses = json_object_get(status, "lapses");
	size_t index;
	json_t *lapse;

	if (json_array_size(lapses))
		printf("%s\n", cli_word(CLI_WORD_LAPSES));
	json_array_foreach(lapses, index, lapse)
		show_lapse(lapse);
	if (json_array_size(lapses))
		putchar('\n');
	json_object_del(status, "lapses");
}

/* And what waits for somebody already. */
static void show_troubles(json_t *status)
{
	const json_t *troubles = json_object_get(status, "troubles");
	size_t index;
	json_t *trouble;

	if (json_array_size(troubles))
		printf("%s\n", cli_word(CLI_WORD_TROUBLES));
	json_array_foreach(troubles, index, trouble) {
		printf("- ");
		show_wrapped(text_of(trouble, "what"), INDENT);
		printf("%*s", INDENT, "");
		show_wrapped(text_of(trouble, "says"), INDENT);
		printf("%*s", INDENT, "");
		show_wrapped(text_of(trouble, "remedy"), INDENT);
	}
	if (json_array_size(troubles))
		putchar('\n');
	json_object_del(status, "troubles");
}

int cli_status(const struct cli *c)
{
	json_t *answer;
	long status = 0;
	int result = call_daemon(c->data, "GET", SPAN("/api/v1/status"), NULL, &status, &answer);

	if (!result && status >= 400)
		result = call_failed(answer);
	else if (!result && c->json) {
		char *text = json_dumps(answer, JSON_INDENT(2));

		printf("%s\n", text);
		free(text);
	} else if (!result) {
		show_lapses(answer);
		show_troubles(answer);
		show_record(answer);
	}
	json_decref(answer);
	return result;
}
