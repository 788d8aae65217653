/* The files of a Postfix, parted by \1: a text that begins with { is one of sasl-xoauth2, any other what it looks like. In the end each account that has a
 * token file gets the last of the texts. */
#include "fuzz/import_check.h"
#include "wire/import_postfix.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static enum fault read_one(struct import_postfix *p, struct span text)
{
	enum import_postfix_kind kind = import_postfix_guess(text);

	if (text.size && *text.at == '{')
		return import_postfix_xoauth2(p, text);
	return kind == IMPORT_POSTFIX_MAIN ? import_postfix_main(p, text, SPAN("/etc/postfix")) : import_postfix_table(p, kind, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
	struct import *i = import_new(arena);
	struct import_postfix *p = import_postfix_new(i);
	struct span rest = { (const char *)bytes, size }, text = { "", 0 };
	unsigned files = 0;

	while (i->fault == FAULT_OK && files++ < 8 && span_cut(&rest, '\x01', &text))
		(void)!read_one(p, text);
	if (i->fault == FAULT_OK && import_postfix_join(p) == FAULT_OK)
		for (size_t at = 0; at < i->account_count; at++)
			if (i->accounts[at].token_file.size)
				import_postfix_token(p, &i->accounts[at], text);
	import_check(i);
	ASSERT(p->wanted_count <= IMPORT_POSTFIX_FILES_MAX);
	arena_free(&arena);
	return 0;
}
