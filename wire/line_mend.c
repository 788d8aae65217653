#include "wire/line_mend.h"

void line_mend_init(struct line_mend *m, bool ends_at_dot)
{
	*m = (struct line_mend){ .ends_at_dot = ends_at_dot };
}

static void end_line(struct line_mend *m, struct buf *out)
{
	if (m->holds_dot)
		m->ended = true;
	else
		buf_put(out, SPAN("\r\n"));
	m->in_line = m->holds_dot = false;
}

static void end_lines(struct line_mend *m, struct buf *out, size_t count)
{
	m->returns = 0;
	while (count-- && !m->ended)
		end_line(m, out);
}

/* Up to the next line end; returns how much was taken. */
static size_t put_text(struct line_mend *m, struct span bytes, struct buf *out)
{
	size_t size = span_find_byte(bytes, '\n'), before_cr = span_find_byte(span_slice(bytes, 0, size), '\r');

	if (m->ends_at_dot && !m->in_line && *bytes.at == '.') {
		m->in_line = m->holds_dot = true;
		return 1;
	}
	if (m->holds_dot)
		buf_put_byte(out, '.');
	m->in_line = true;
	m->holds_dot = false;
	size = before_cr < size ? before_cr : size;
	buf_put(out, span_slice(bytes, 0, size));
	return size;
}

static size_t step(struct line_mend *m, struct span bytes, struct buf *out)
{
	char c = *bytes.at;

	if (c == '\r') {
		if (++m->returns == LINE_MEND_HELD_BYTES)
			end_lines(m, out, m->returns);
		return 1;
	}
	if (c == '\n') {
		end_lines(m, out, 1);
		return 1;
	}
	if (m->returns) {
		end_lines(m, out, m->returns);
		return 0;
	}
	return put_text(m, bytes, out);
}

bool line_mend_put(struct line_mend *m, struct span bytes, struct buf *out)
{
	while (bytes.size && !m->ended) {
		size_t taken = step(m, bytes, out);

		bytes = span_slice(bytes, taken, bytes.size);
	}
	return !out->overfull;
}

bool line_mend_end(struct line_mend *m, struct buf *out)
{
	if (m->returns)
		end_lines(m, out, m->returns);
	if (m->in_line && !m->ended)
		end_line(m, out);
	return !out->overfull;
}
