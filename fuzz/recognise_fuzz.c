/* Any bytes as a pasted text, as a reply and as an error of a token endpoint: the answer is always a row of the table.
 */
#include "wire/recognise.h"

#include <stdlib.h>

static void check(enum fault f)
{
	if ((unsigned)f >= FAULT_COUNT)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = { (const char *)data, size }, first = all, rest = all;
	int code = size ? 100 + data[0] * 2 : 0;

	check(recognise_text(all));
	(void)span_cut(&rest, '\n', &first);
	check(recognise_reply(code, first, rest));
	check(recognise_token_error(first, first, rest));
	return 0;
}
