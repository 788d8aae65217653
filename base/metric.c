#include "base/metric.h"

#include "base/panic.h"

#include <string.h>

enum kind { COUNTER, GAUGE };

static const struct row {
	enum kind kind;
	const char *name, *label, *values, *help, *advice;
} rows[] = {
#define METRIC(name, kind, exported, label, values, help, advice) { kind, exported, label, values, help, advice },
#include "tables/metrics.def"
#undef METRIC
};

static int64_t numbers[METRIC_COUNT][METRIC_LABELS_MAX];
static bool hidden[METRIC_COUNT][METRIC_LABELS_MAX];

static bool value_at(const struct row *row, size_t wanted, struct span *value_out)
{
	struct span rest = span_of(row->values);

	for (size_t i = 0; span_cut(&rest, ' ', value_out); i++)
		if (i == wanted)
			return true;
	return false;
}

static size_t place(enum metric m, const char *label)
{
	struct span value;

	ASSERT((unsigned)m < METRIC_COUNT);
	if (!label)
		return 0;
	for (size_t i = 0; i < METRIC_LABELS_MAX && value_at(&rows[m], i, &value); i++)
		if (span_equal(value, span_of(label)))
			return i;
	panic("metric %s has no label value %s", rows[m].name, label);
}

void metric_add(enum metric m, const char *label, int64_t by)
{
	numbers[m][place(m, label)] += by;
}

void metric_set(enum metric m, const char *label, int64_t to)
{
	size_t at = place(m, label);

	numbers[m][at] = to;
	hidden[m][at] = false;
}

void metric_hide(enum metric m, const char *label)
{
	hidden[m][place(m, label)] = true;
}

static void put_row(struct buf *out, const struct row *row, const int64_t *at, const bool *without, const char *role, unsigned index)
{
	struct span value;

	if (!row->label[0] && !without[0])
		buf_print(out, "%s{role=\"%s\",index=\"%u\"} %lld\n", row->name, role, index, (long long)at[0]);
	for (size_t i = 0; row->label[0] && i < METRIC_LABELS_MAX && value_at(row, i, &value); i++)
		if (!without[i])
			buf_print(out, "%s{role=\"%s\",index=\"%u\",%s=\"%.*s\"} %lld\n", row->name, role, index, row->label,
				  SPAN_ARGS(value), (long long)at[i]);
}

bool metric_expose(struct buf *out, const char *role, unsigned index, bool with_help)
{
	for (size_t m = 0; m < METRIC_COUNT; m++) {
		if (with_help)
			buf_print(out, "# HELP %s %s. %s\n# TYPE %s %s\n", rows[m].name, rows[m].help, rows[m].advice, rows[m].name,
				  rows[m].kind == COUNTER ? "counter" : "gauge");
		put_row(out, &rows[m], numbers[m], hidden[m], role, index);
	}
	return !out->overfull;
}
