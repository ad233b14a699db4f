# SPDX-License-Identifier: GPL-2.0-or-later
"""What the integration tests are made of: namespaces, Kamailio, sipp, the daemon, calls."""
