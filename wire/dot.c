#include "wire/dot.h"

#include <string.h>

void dot_init(struct dot *d)
{
	*d = (struct dot){ 0 };
}

/* The bytes before the next CR or LF. Each is looked at twice, by memchr(). */
static size_t plain_size(struct span s)
{
	size_t size = span_find_byte(s, '\n');

	return span_find_byte(span_slice(s, 0, size), '\r');
}

/* One CR or LF at the front. */
static enum fault take_newline(struct dot *d, char c)
{
	if ((c == '\n') != d->after_cr)
		return FAULT_BARE_NEWLINE;
	d->after_cr = d->inside_line = c == '\r';
	return FAULT_OK;
}

/* How many bytes may go as they are: the plain run, as far as there is room, or one byte of a line end. */
static enum fault take_run(struct dot *d, struct span rest, size_t room, size_t *run_out)
{
	size_t plain = plain_size(span_slice(rest, 0, room));

	*run_out = plain ? plain : 1;
	if (!plain)
		return take_newline(d, rest.at[0]);
	if (d->after_cr)
		return FAULT_BARE_NEWLINE;
	d->inside_line = true;
	return FAULT_OK;
}

enum fault dot_put(struct dot *d, struct span *rest, char *to, size_t room, size_t *put_out)
{
	size_t run;

	*put_out = 0;
	while (rest->size && room - *put_out >= 2) {
		bool doubles = rest->at[0] == '.' && !d->inside_line;

		if (take_run(d, *rest, room - *put_out - (doubles ? 1 : 0), &run) != FAULT_OK)
			return FAULT_BARE_NEWLINE;
		if (doubles)
			to[(*put_out)++] = '.';
		memcpy(to + *put_out, rest->at, run);
		*put_out += run;
		*rest = span_slice(*rest, run, rest->size);
	}
	return FAULT_OK;
}

enum fault dot_end(struct dot *d, char *to, size_t *put_out)
{
	struct span end = d->inside_line ? SPAN("\r\n.\r\n") : SPAN(".\r\n");

	*put_out = 0;
	if (dot_check_end(d) != FAULT_OK)
		return FAULT_BARE_NEWLINE;
	memcpy(to, end.at, end.size);
	*put_out = end.size;
	return FAULT_OK;
}

enum fault dot_check(struct dot *d, struct span bytes)
{
	size_t run;

	while (bytes.size) {
		if (take_run(d, bytes, bytes.size, &run) != FAULT_OK)
			return FAULT_BARE_NEWLINE;
		bytes = span_slice(bytes, run, bytes.size);
	}
	return FAULT_OK;
}

enum fault dot_check_end(const struct dot *d)
{
	return d->after_cr ? FAULT_BARE_NEWLINE : FAULT_OK;
}
