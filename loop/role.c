#include "loop/role.h"

struct span role_file(const struct role_start *s, struct span purpose, struct span name)
{
	for (size_t i = 0; i < s->file_count; i++)
		if (span_equal(s->files[i].purpose, purpose) && span_equal(s->files[i].name, name))
			return s->files[i].bytes;
	return (struct span){ "", 0 };
}

bool role_files(const struct role_start *s, struct span purpose, struct buf *out)
{
	for (size_t i = 0; i < s->file_count; i++)
		if (span_equal(s->files[i].purpose, purpose) && (!buf_put(out, s->files[i].bytes) || !buf_put(out, SPAN("\n"))))
			return false;
	return true;
}
