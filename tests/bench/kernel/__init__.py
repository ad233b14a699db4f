# SPDX-License-Identifier: GPL-2.0-or-later
"""What a forwarded packet and a call cost, in namespaces, beside the kernel's own forwarding."""
