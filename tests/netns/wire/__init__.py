# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of forwarding are made of: phones beyond a relay that routes, and what it forwards with."""
