#include "cli/cli.h"

#include "base/remedy.h"
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

/* Which mailbox the reply was about is not known here. */
static void print_json(enum fault f)
{
	const struct fault_row *row = fault_row(f);
	json_t *object = json_pack("{s:s,s:s}", "fault", row->name, "class", class_name(row->class));
	json_t *says = json_object(), *remedy = json_object();
	char *text;

	for (unsigned l = 0; l < LANGUAGE_COUNT; l++) {
		struct buf words;

		buf_init(&words, REMEDY_BYTES_MAX);
		remedy_put(&words, f, (enum language)l, NULL);
		json_put_text(says, language_name((enum language)l), span_of(row->says[l]));
		json_put_text(remedy, language_name((enum language)l), buf_span(&words));
		buf_free(&words);
	}
	json_object_set_new(object, "says", says);
	json_object_set_new(object, "remedy", remedy);
	text = json_dumps(object, JSON_INDENT(2));
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
		print_json(f);
		return CLI_DONE;
	}
	buf_init(&text, REMEDY_BYTES_MAX);
	remedy_put(&text, f, c->language, NULL);
	printf("%s: %s\n%s: %.*s\n%s\n", cli_word(CLI_WORD_SAYS), row->says[c->language], cli_word(CLI_WORD_REMEDY), SPAN_ARGS(buf_span(&text)),
	       class_says(row->class));
	buf_free(&text);
	return CLI_DONE;
}
