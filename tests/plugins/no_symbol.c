/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A shared object that is not a plugin. */
int something_else;
