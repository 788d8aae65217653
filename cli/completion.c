#include "cli/cli.h"

#include "cli/commands.h"
#include "cli/operation.h"

#include <stdio.h>
#include <string.h>

static void put_options(const char *words)
{
	struct span rest = span_of(words), word;

	while (span_cut(&rest, ' ', &word)) {
		while (word.size && strchr("!?*=", word.at[word.size - 1]))
			word.size--;
		if (word.size)
			printf(" --%.*s", SPAN_ARGS(word));
	}
	printf(" --data --json --help");
}

static void put_verbs(const char *noun)
{
	printf("\t%s) words=\"", noun);
	for (size_t i = 0; operation_row(i); i++)
		if (!strcmp(operation_row(i)->noun, noun))
			printf("%s ", operation_row(i)->verb);
	printf("\" ;;\n");
}

/* Each noun once: rows of a noun stand together. */
static void put_nouns(void (*put)(const char *))
{
	const char *last = "";

	for (size_t i = 0; operation_row(i); i++) {
		if (strcmp(operation_row(i)->noun, last))
			put(operation_row(i)->noun);
		last = operation_row(i)->noun;
	}
}

static void put_noun(const char *noun)
{
	printf(" %s", noun);
}

int cli_completion(const struct cli *c)
{
	if (!span_equal(cli_value(c, "shell"), SPAN("bash"))) {
		fprintf(stderr, "postern: bash\n");
		return CLI_USAGE;
	}
	printf("# bash completion of postern; made from its tables\n_postern() {\n\tlocal words=\"\" two=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\"\n"
	       "\tif [ \"$COMP_CWORD\" = 1 ]; then words=\"");
	for (size_t i = 0; commands_row(i); i++)
		printf("%s%s", i ? " " : "", commands_row(i)->name);
	put_nouns(put_noun);
	printf("\"\n\telif [ \"$COMP_CWORD\" = 2 ]; then case ${COMP_WORDS[1]} in\n");
	put_nouns(put_verbs);
	for (size_t i = 0; commands_row(i); i++) {
		printf("\t%s) words=\"", commands_row(i)->name);
		put_options(commands_row(i)->options);
		printf("\" ;;\n");
	}
	printf("\tesac\n\telse case $two in\n");
	for (size_t i = 0; operation_row(i); i++) {
		printf("\t\"%s %s\") words=\"", operation_row(i)->noun, operation_row(i)->verb);
		put_options(operation_row(i)->options);
		printf("\" ;;\n");
	}
	printf("\tesac\n\tfi\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\ncomplete -F _postern postern\n");
	return CLI_DONE;
}
