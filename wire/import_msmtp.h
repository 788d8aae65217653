/* wire/import_msmtp.h - the accounts of an msmtprc.
 *
 * Why       Scripts that send with msmtp keep their providers there.
 * Promise   `defaults` and the accounts that an account is based on count as msmtp counts them. Commands are never run, keyrings never opened.
 * Owns      Nothing.
 * Refuses   As wire/import.h.
 * See       msmtp(1), configuration files */
#pragma once
#include "wire/import.h"

enum { IMPORT_MSMTP_ACCOUNTS_MAX = 500 };

/* Reads the text of the file. */
MUST_CHECK enum fault import_msmtp_read(struct import *, struct span text);
