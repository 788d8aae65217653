/* wire/mailbox_list.h - the address lists of header fields.
 *
 * Why       Whose message it is stands in From and Sender; a list that two programs read differently lets strangers in.
 * Promise   Every address that is given was read by mail_address_parse(). Comments nest without recursion.
 * Owns      Nothing: display names are borrowed from the list; the address is copied without folding and comments.
 * Refuses   What RFC 5322 does not derive, obsolete forms included: MAILBOX_BROKEN, never a guess.
 * See       RFC 5322 3.2, 3.4, 4.4; RFC 6854 (groups in From); RFC 6532 */
#pragma once
#include "wire/mail_address.h"

struct mailbox {
	char text[MAIL_ADDRESS_BYTES];
	struct span address; /* in `text` */
	struct span display; /* as it stands: may be quoted, encoded, folded; or empty */
};

enum mailbox_found { MAILBOX_FOUND, MAILBOX_END, MAILBOX_BROKEN };

struct mailbox_list {
	struct span rest; /* starts as the field's value */
	bool in_group;
};

/* The next mailbox. After MAILBOX_BROKEN the list is at its end. */
enum mailbox_found mailbox_list_next(struct mailbox_list *, struct mailbox *mailbox_out);

/* The text behind the blanks, folds and comments at its beginning. What is no whole comment stays. */
struct span mailbox_list_skip(struct span);
