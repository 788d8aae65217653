#include "post/deliver_inner.h"

/* What is worth another way, and how much: a wait passes by itself, a hold needs a person, a refusal is the end. */
static unsigned weight_of(const struct outcome *o)
{
	static const unsigned weights[] = { [OUTCOME_DONE] = 0, [OUTCOME_REFUSE] = 1, [OUTCOME_HOLD] = 2, [OUTCOME_RETRY] = 3 };

	return weights[outcome_next(o)];
}

/* Nobody has it, and nothing can have arrived: neither accepted nor lost behind its end. What was said of the message or a recipient by a
 * provider that took the sign-in would be said again elsewhere. */
static const struct outcome *why_another(const struct delivery *d, const struct way_end *end)
{
	const struct outcome *first = end->begun ? &d->recipients[0].outcome : end->outcome;

	if (end->unknown || d->body_fault)
		return NULL;
	for (size_t i = 1; end->begun && i < d->count; i++)
		if (outcome_next(&d->recipients[i].outcome) != outcome_next(first))
			return NULL;
	return outcome_next(first) == OUTCOME_HOLD || (outcome_next(first) == OUTCOME_RETRY && end->blame != WAY_BLAMES_MESSAGE) ? first : NULL;
}

bool another_way_try(struct delivery *d, const struct way_end *end)
{
	struct post *p = d->post;
	const struct outcome *why = why_another(d, end);
	enum way next = post_way(p, d->mail->mailbox, d->way_at + 1);
	char id[MAIL_ID_TEXT_BYTES + 1];

	if (!why || next == WAY_NONE || !d->mail->open_count)
		return false;
	mail_id_text(id, d->mail->id);
	TRAIL(&p->trail, EVENT_OTHER_WAY, TRAIL_TEXT("id", span_of(id)), TRAIL_TEXT("mailbox", d->envelope.address), TRAIL_TEXT("way", way_name(next)),
	      TRAIL_TEXT("instead_of", way_name(d->letter.way)), TRAIL_TEXT("fault", span_of(fault_row(why->fault)->name)),
	      TRAIL_TEXT("text", span_of(why->text)));
	if (!d->has_earlier || weight_of(why) > weight_of(&d->earlier)) {
		d->earlier = *why;
		d->earlier_blame = end->blame;
		d->earlier_is_password = end->is_password;
	}
	d->has_earlier = true;
	d->way_at++;
	body_close(&d->reading);
	d->header_went = false;
	for (size_t i = 0; i < d->count; i++)
		d->recipients[i].outcome = (struct outcome){ 0 };
	d->letter.way = next;
	d->letter.at = WAY_ASKS;
	ways_send(p->ways, &d->letter);
	return true;
}

/* What waits for a person may go the other way in a minute; of two alike the preferred way's. */
void another_way_recall(struct delivery *d)
{
	const struct outcome *last = d->end.begun ? &d->recipients[0].outcome : &d->alike;

	if (!d->has_earlier || !outcome_next(last) || d->end.unknown || weight_of(&d->earlier) < weight_of(last))
		return;
	d->end.begun = false;
	d->alike = d->earlier;
	d->end.blame = d->earlier_blame;
	d->end.is_password = d->earlier_is_password;
}
