#include "wire/import_ini.h"

/* A list in the arena that doubles when it is full. */
static void *grow(struct arena *arena, void *items, size_t count, size_t *room, size_t size)
{
	void *larger;

	if (count < *room)
		return items;
	*room = *room ? 2 * *room : 16;
	larger = arena_take(arena, *room * size);
	if (count)
		memcpy(larger, items, count * size);
	return larger;
}

static bool is_section(const struct import_ini *ini, struct span name)
{
	for (size_t i = 0; i < ini->section_count; i++)
		if (span_equal(ini->sections[i], name))
			return true;
	return false;
}

static void add_section(struct import_ini *ini, struct span name)
{
	if (is_section(ini, name))
		return;
	ini->sections = grow(ini->arena, ini->sections, ini->section_count, &ini->section_room, sizeof *ini->sections);
	ini->sections[ini->section_count++] = name;
}

/* "key = value" or "key: value", whichever sign comes first. */
static bool add_row(struct import_ini *ini, struct span section, struct span line)
{
	size_t at = span_find_byte(line, '='), colon = span_find_byte(line, ':');
	struct span key;

	at = colon < at ? colon : at;
	key = span_trim(span_slice(line, 0, at));
	if (at == line.size || !key.size)
		return false;
	ini->rows = grow(ini->arena, ini->rows, ini->row_count, &ini->row_room, sizeof *ini->rows);
	ini->rows[ini->row_count++] = (struct import_ini_row){ section, key, span_trim(span_slice(line, at + 1, line.size)) };
	return true;
}

/* What stands between the lines of a value becomes blanks. */
static void go_on(struct import_ini *ini, char *copy, struct span more)
{
	struct span *value = &ini->rows[ini->row_count - 1].value;

	if (!value->size) {
		*value = more;
		return;
	}
	memset(copy + (value->at + value->size - copy), ' ', (size_t)(more.at - value->at) - value->size);
	value->size = (size_t)(more.at - value->at) + more.size;
}

static size_t indent_of(struct span line)
{
	size_t indent = 0;

	while (indent < line.size && (line.at[indent] == ' ' || line.at[indent] == '\t'))
		indent++;
	return indent;
}

bool import_ini_read(struct import_ini *ini, struct arena *arena, struct span text)
{
	char *copy = arena_text(arena, text);
	struct span line, section = { NULL, 0 };
	size_t indent = 0;
	bool may_go_on = false;

	text = (struct span){ copy, text.size };
	*ini = (struct import_ini){ .arena = arena };
	while (span_cut(&text, '\n', &line)) {
		struct span bare = span_trim(line);

		ini->line++;
		if (ini->row_count + ini->section_count >= IMPORT_INI_ROWS_MAX || span_find_byte(line, 0) < line.size)
			return false;
		if (!bare.size || *bare.at == '#' || *bare.at == ';')
			continue;
		if (may_go_on && indent_of(line) > indent) {
			go_on(ini, copy, bare);
			continue;
		}
		indent = indent_of(line);
		if (*bare.at == '[' && bare.size > 2 && bare.at[bare.size - 1] == ']') {
			section = span_slice(bare, 1, bare.size - 2);
			add_section(ini, section);
			may_go_on = false;
			continue;
		}
		may_go_on = section.at && add_row(ini, section, bare);
		if (!may_go_on)
			return false;
	}
	return true;
}

static const struct import_ini_row *find(const struct import_ini *ini, struct span section, struct span key)
{
	for (size_t i = ini->row_count; i--;)
		if (span_equal(ini->rows[i].section, section) && span_equal_fold(ini->rows[i].key, key))
			return &ini->rows[i];
	return NULL;
}

struct span import_ini_value(const struct import_ini *ini, struct span section, const char *key)
{
	const struct import_ini_row *row = find(ini, section, span_of(key));

	if (!row)
		row = find(ini, SPAN("DEFAULT"), span_of(key));
	return row ? row->value : (struct span){ "", 0 };
}

bool import_ini_has(const struct import_ini *ini, struct span section)
{
	return is_section(ini, section);
}
