# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls through Kamailio of tests/integration, forwarded by nftables on the devices."""
import test_kamailio

TABLES = {"netdev": {"plugin": "nftables", "devices": ["alice", "bob"]}}
globals().update(test_kamailio.suite(__name__, "netdev", TABLES, routed=False))
