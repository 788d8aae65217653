#include "cli/call.h"
#include "cli/show.h"

#include <stdio.h>
#include <stdlib.h>

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
		show_record(answer);
	}
	json_decref(answer);
	return result;
}
