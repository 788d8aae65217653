#include "desk/roster.h"

#include "base/arena.h"

enum { ARENA_BYTES = 32 * 1024 * 1024 };

struct roster {
	struct arena *arena;
	struct span passwd, user_name, members; /* of the group: names parted by commas */
	bool has_group;
	uint64_t gid;
	uint32_t own_uid;
};

/* The `wanted`th field of a line of either file, counted from 0. */
static struct span field(struct span line, size_t wanted)
{
	struct span piece;

	for (size_t i = 0; span_cut(&line, ':', &piece); i++)
		if (i == wanted)
			return piece;
	return SPAN("");
}

static bool number_field(struct span line, size_t wanted, uint64_t *out)
{
	return span_number(field(line, wanted), out) && *out <= UINT32_MAX;
}

static bool user_of(const struct roster *r, uint32_t uid, struct span *line_out)
{
	struct span rest = r->passwd;
	uint64_t number;

	while (span_cut(&rest, '\n', line_out))
		if (number_field(*line_out, 2, &number) && number == uid)
			return true;
	return false;
}

static void find_group(struct roster *r, struct span group, struct span name)
{
	struct span line;

	while (name.size && span_cut(&group, '\n', &line))
		if (span_equal(field(line, 0), name) && number_field(line, 2, &r->gid)) {
			r->members = arena_copy(r->arena, field(line, 3));
			r->has_group = true;
			return;
		}
}

struct roster *roster_new(const struct roster_settings *s)
{
	struct arena *arena = arena_new(ARENA_BYTES);
	struct roster *r = arena_take(arena, sizeof *r);

	r->arena = arena;
	r->passwd = arena_copy(arena, s->passwd);
	r->user_name = arena_copy(arena, s->user_name);
	r->own_uid = s->own_uid;
	find_group(r, s->group, s->group_name);
	return r;
}

void roster_free(struct roster **roster)
{
	struct arena *arena;

	if (!*roster)
		return;
	arena = (*roster)->arena;
	arena_free(&arena);
	*roster = NULL;
}

static bool is_member(const struct roster *r, struct span name)
{
	struct span rest = r->members, member;

	while (span_cut(&rest, ',', &member))
		if (span_equal(member, name))
			return true;
	return false;
}

bool roster_admits(const struct roster *r, uint32_t uid, uint32_t gid)
{
	struct span line, name;
	uint64_t first_group;

	if (uid == 0 || uid == r->own_uid || (r->has_group && gid == r->gid))
		return true;
	/* Two lines may share a uid; each of their names counts. */
	for (struct span rest = r->passwd; span_cut(&rest, '\n', &line);) {
		uint64_t number;

		name = field(line, 0);
		if (!name.size || !number_field(line, 2, &number) || number != uid)
			continue;
		if (span_equal(name, r->user_name) || is_member(r, name) ||
		    (r->has_group && number_field(line, 3, &first_group) && first_group == r->gid))
			return true;
	}
	return false;
}

bool roster_name(const struct roster *r, uint32_t uid, struct buf *out)
{
	struct span line;

	return user_of(r, uid, &line) && field(line, 0).size ? buf_put(out, field(line, 0)) : buf_print(out, "uid %u", uid);
}
