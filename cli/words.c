#include "cli/cli.h"

#include <stdlib.h>

static const char *const words[][LANGUAGE_COUNT] = {
#define WORD(name, en, fr) { en, fr },
#include "tables/cli_words.def"
#undef WORD
};

enum language cli_language(void)
{
	static const char *const names[] = { "LC_ALL", "LC_MESSAGES", "LANG" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *value = getenv(names[i]);

		if (value && *value)
			return language_named(span_of(value));
	}
	return LANGUAGE_EN;
}

const char *cli_word(enum cli_word w)
{
	return words[w][cli_language()];
}
