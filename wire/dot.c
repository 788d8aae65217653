#include "wire/dot.h"

#include "wire/line_ends.h"

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

static char last_of(const struct dot *d)
{
	return d->after_cr ? '\r' : d->inside_line ? 'x' : '\n';
}

static void passed(struct dot *d, char last)
{
	d->after_cr = last == '\r';
	d->inside_line = last != '\n';
}

/* Where the next line begins with a dot, from the second byte on; or the end. */
static size_t find_dot(struct span run)
{
	size_t at = 1;

	while (at < run.size) {
		at += span_find_byte(span_slice(run, at, run.size), '.');
		if (at == run.size || run.at[at - 1] == '\n')
			return at;
		at++;
	}
	return run.size;
}

/* The next bytes that may go as they are, up to a line that begins with a dot. Where all is good, as nearly always, that is many lines at once;
 * `slow` once it was not. */
static enum fault take_lines(struct dot *d, struct span rest, size_t room, bool *slow, size_t *run_out)
{
	struct span run = span_slice(rest, 0, room);

	if (!*slow) {
		run.size = find_dot(run);
		*slow = !line_ends_pair(run, last_of(d));
	}
	if (*slow)
		return take_run(d, rest, room, run_out);
	passed(d, run.at[run.size - 1]);
	*run_out = run.size;
	return FAULT_OK;
}

enum fault dot_put(struct dot *d, struct span *rest, char *to, size_t room, size_t *put_out)
{
	bool slow = false;
	size_t run;

	*put_out = 0;
	while (rest->size && room - *put_out >= 2) {
		bool doubles = rest->at[0] == '.' && !d->inside_line;

		if (take_lines(d, *rest, room - *put_out - (doubles ? 1 : 0), &slow, &run) != FAULT_OK)
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

	if (bytes.size && line_ends_pair(bytes, last_of(d))) {
		passed(d, bytes.at[bytes.size - 1]);
		return FAULT_OK;
	}
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
