#include "upstream/way.h"

static const struct row {
	struct span name;
	enum way_sign_in sign_in;
} rows[WAY_END] = {
#define TOKEN WAY_BY_TOKEN
#define PASSWORD WAY_BY_PASSWORD
#define ADDRESS WAY_BY_ADDRESS
#define WAY(symbol, name, number, sign_in, en, fr) [number] = { { name, sizeof name - 1 }, sign_in },
#include "tables/ways.def"
#undef WAY
#undef TOKEN
#undef PASSWORD
#undef ADDRESS
};

enum way way_named(struct span name)
{
	for (enum way w = WAY_NONE + 1; w < WAY_END; w++)
		if (rows[w].name.size && span_equal_fold(rows[w].name, name))
			return w;
	return WAY_NONE;
}

struct span way_name(enum way way)
{
	return way < WAY_END ? rows[way].name : rows[WAY_NONE].name;
}

enum way_sign_in way_sign_in(enum way way)
{
	return rows[way].sign_in;
}

void way_body(struct way_letter *letter, struct span bytes, bool end)
{
	letter->carrier->body(letter, bytes, end);
}

void way_no_body(struct way_letter *letter, enum fault fault)
{
	letter->carrier->no_body(letter, fault);
}
