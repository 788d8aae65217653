#include "base/fault.h"

#include "base/panic.h"

static const struct fault_row rows[] = {
#define FAULT(name, class, smtp, enhanced, imap, pop, http, level, says_en, says_fr, remedy_en, remedy_fr) \
	{ #name, FAULT_CLASS_##class, smtp, enhanced, imap, pop, http, LEVEL_##level, { says_en, says_fr }, \
	  { remedy_en, remedy_fr } },
#include "tables/faults.def"
#undef FAULT
};

const struct fault_row *fault_row(enum fault f)
{
	ASSERT((unsigned)f < FAULT_COUNT);
	return &rows[f];
}

enum fault fault_named(struct span name)
{
	for (unsigned i = 0; i < FAULT_COUNT; i++)
		if (span_equal(span_of(rows[i].name), name))
			return (enum fault)i;
	return FAULT_COUNT;
}

enum language language_named(struct span s)
{
	return span_starts_fold(s, SPAN("fr")) ? LANGUAGE_FR : LANGUAGE_EN;
}

const char *language_name(enum language l)
{
	return l == LANGUAGE_FR ? "fr" : "en";
}
