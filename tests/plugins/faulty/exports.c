/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A right plugin but for what it shows to others: a function and a weak one. */
#define FAULT "exports"
#include "faulty.c"

MP_EXPORT int sqlite3_open(void);
int sqlite3_open(void)
{
    return 0;
}

MP_EXPORT __attribute__((weak)) int copy_of_a_template(void);
int copy_of_a_template(void)
{
    return 0;
}
