# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls through Kamailio of tests/integration, forwarded by conntrack."""
import test_kamailio

globals().update(test_kamailio.suite(__name__, "conntrack"))
