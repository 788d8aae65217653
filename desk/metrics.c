#include "base/metric.h"

#include "desk/gather.h"
#include "desk/visit.h"

enum { TEXT_BYTES_MAX = 8 * 1024 * 1024, OWN_BYTES_MAX = 256 * 1024, WAIT_MS = 2000, PREFIX_BYTES = 160 };

/* Rows of the table; one without a name says whose the rows behind it are. */
static const struct row {
	enum role owner;
	enum metric metric;
	const char *name, *kind, *help, *advice;
} rows[] = {
#define COUNTER "counter"
#define GAUGE "gauge"
#define METRICS_OF(role) { .owner = ROLE_##role },
#define METRIC(row, exported_kind, exported, label, values, help_text, advice_text) \
	{ .metric = METRIC_##row, .name = exported, .kind = exported_kind, .help = help_text, .advice = advice_text },
#include "tables/metrics.def"
#undef METRIC
#undef GAUGE
#undef COUNTER
};

/* One role's numbers. */
struct source {
	enum role role;
	unsigned index;
	struct span text;
	bool up;
};

static bool is_printable(struct span line)
{
	for (size_t i = 0; i < line.size; i++)
		if (line.at[i] < ' ' || line.at[i] > '~')
			return false;
	return true;
}

/* Only lines of this row that the role says of itself: a captured gate cannot speak for the vault. */
static void put_lines(struct buf *out, const char *name, const struct source *from)
{
	char memory[PREFIX_BYTES];
	struct span rest = from->text, line, behind;
	struct buf prefix;

	buf_over(&prefix, memory, sizeof memory);
	buf_print(&prefix, "%s{role=\"%s\",index=\"%u\"", name, role_name(from->role), from->index);
	while (span_cut(&rest, '\n', &line)) {
		behind = span_slice(line, prefix.size, line.size);
		if (span_starts(line, buf_span(&prefix)) && behind.size && (behind.at[0] == ',' || behind.at[0] == '}') && is_printable(behind)) {
			buf_put(out, line);
			buf_put_byte(out, '\n');
		}
	}
}

/* The format wants all lines of a name together, behind its HELP and TYPE. */
static void put_row(struct buf *out, const struct row *row, enum role owner, const struct source *sources, size_t count)
{
	buf_print(out, "# HELP %s %s.%s%s\n# TYPE %s %s\n", row->name, row->help, *row->advice ? " " : "", row->advice, row->name, row->kind);
	for (size_t i = 0; i < count; i++)
		if (row->metric == METRIC_ROLE_UP)
			buf_print(out, "%s{role=\"%s\",index=\"%u\"} %d\n", row->name, role_name(sources[i].role), sources[i].index, sources[i].up);
		else if (sources[i].role == owner)
			put_lines(out, row->name, &sources[i]);
}

static void put_rows(struct buf *out, const struct source *sources, size_t count)
{
	enum role owner = ROLE_DESK;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].name)
			put_row(out, &rows[i], owner, sources, count);
		else
			owner = rows[i].owner;
}

static void on_gathered(void *self, const struct gather_part *parts, size_t count)
{
	struct visit *v = self;
	struct source sources[ERRAND_PEERS_MAX + 3];
	struct buf own, out;

	metric_set(METRIC_ROLE_UP, NULL, 1);
	buf_init(&own, OWN_BYTES_MAX);
	buf_init(&out, TEXT_BYTES_MAX);
	metric_expose(&own, "desk", 0, false);
	sources[0] = (struct source){ ROLE_DESK, 0, buf_span(&own), true };
	for (size_t i = 0; i < count; i++)
		sources[i + 1] = (struct source){ parts[i].role, parts[i].index, parts[i].result, parts[i].came };
	put_rows(&out, sources, count + 1);
	visit_answer(v, 200, SPAN("text/plain; version=0.0.4; charset=utf-8"), buf_span(&out));
	buf_free(&own);
	buf_free(&out);
}

void visit_metrics(struct visit *v)
{
	if (v->realm == ROUTE_PUBLIC && !site_may_measure(v->desk->site, &v->from)) {
		visit_fault_json(v, FAULT_FORBIDDEN, SPAN("numbers are shown to loopback and trusted_proxies alone"));
		return;
	}
	gather_start(v->desk->errands, ROLE_VAULT | ROLE_POST | ROLE_GATE, SPAN("metrics"), v->language, WAIT_MS, on_gathered, v);
}
