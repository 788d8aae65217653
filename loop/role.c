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

/* The other way round is the same pair. */
static const struct {
	enum role one, other;
} peers[] = {
#define PEER(one, other, about) { ROLE_##one, ROLE_##other },
#include "tables/confine.def"
};

bool role_are_peers(enum role a, enum role b)
{
	for (size_t i = 0; i < sizeof peers / sizeof *peers; i++)
		if ((peers[i].one == a && peers[i].other == b) || (peers[i].one == b && peers[i].other == a))
			return true;
	return false;
}
