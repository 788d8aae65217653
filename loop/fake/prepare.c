#include "loop/prepare.h"

/* Nothing here opens a file. */
void loop_prepare(void)
{
}
