#include "cli/cli.h"

#include "base/buf.h"
#include "wire/recognise.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { PASTED_BYTES_MAX = 64 * 1024 };

static void read_input(struct buf *text)
{
	char piece[4096];
	size_t size;

	while ((size = fread(piece, 1, sizeof piece, stdin)) > 0 && buf_put(text, (struct span){ piece, size }))
		continue;
}

static const char *class_name(enum fault_class class)
{
	return class == FAULT_CLASS_RETRY ? "retry" : class == FAULT_CLASS_HOLD ? "hold" : "refuse";
}

static const char *class_says(enum fault_class class)
{
	return cli_word(class == FAULT_CLASS_RETRY  ? CLI_WORD_CLASS_RETRY
			: class == FAULT_CLASS_HOLD ? CLI_WORD_CLASS_HOLD
						    : CLI_WORD_CLASS_REFUSE);
}

static void print_json(const struct fault_row *row)
{
	json_t *object = json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:s,s:s}}", "fault", row->name, "class", class_name(row->class), "says", "en",
				   row->says[LANGUAGE_EN], "fr", row->says[LANGUAGE_FR], "remedy", "en", row->remedy[LANGUAGE_EN], "fr",
				   row->remedy[LANGUAGE_FR]);
	char *text = json_dumps(object, JSON_INDENT(2));

	printf("%s\n", text);
	free(text);
	json_decref(object);
}

int cli_explain(const struct cli *c)
{
	const struct fault_row *row;
	struct buf text;
	enum fault f;

	buf_init(&text, PASTED_BYTES_MAX);
	for (size_t i = 0; i < c->count; i++) {
		buf_put(&text, c->values[i].value);
		buf_put_byte(&text, ' ');
	}
	if (!c->count)
		read_input(&text);
	f = recognise_text(buf_span(&text));
	buf_free(&text);
	if (f == FAULT_OK) {
		fprintf(stderr, "%s\n", cli_word(CLI_WORD_NOT_RECOGNISED));
		return CLI_FAILED;
	}
	row = fault_row(f);
	if (c->json) {
		print_json(row);
		return CLI_DONE;
	}
	printf("%s: %s\n%s: %s\n%s\n", cli_word(CLI_WORD_SAYS), row->says[c->language], cli_word(CLI_WORD_REMEDY), row->remedy[c->language],
	       class_says(row->class));
	return CLI_DONE;
}
