# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's Kamailio with its unmodified mediaproxy module, in one of the module's two modes."""
import contextlib
import os
import pathlib
import re
import subprocess
import time

from . import netns

MODULES = next(iter(pathlib.Path("/usr/lib").glob("*/kamailio/modules")), None)

_COMMON = """
debug=2
log_stderror=yes
children=4
listen=udp:{ipv4}:{port}
listen=udp:[{ipv6}]:{port}
auto_aliases=no
disable_tcp=yes
mpath="{modules}/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "dialog.so"
loadmodule "mediaproxy.so"
loadmodule "jsonrpcs.so"
modparam("rr", "append_fromtag", 1)
modparam("dialog", "dlg_flag", 4)
modparam("mediaproxy", "mediaproxy_socket", "{socket}")
modparam("mediaproxy", "ice_candidate", "high-priority")
modparam("jsonrpcs", "transport", 4)
modparam("jsonrpcs", "dgram_socket", "{management}")
"""

_ROUTES = """
request_route {{
    if ($tt != $null) {{
        if (!loose_route()) {{
            if (method == "ACK" && t_check_trans()) {{ t_relay(); }}
            exit;
        }}
        {in_dialog}
        t_relay();
        exit;
    }}
    if (method == "CANCEL") {{
        {on_cancel}
        if (t_check_trans()) {{ t_relay(); }}
        exit;
    }}
    if (method == "ACK") {{
        if (t_check_trans()) {{ t_relay(); }}
        exit;
    }}
    record_route();
    {initial}
    t_relay();
}}
"""

_USE_REPLIES = """
onreply_route[ANSWERS] {
    if (status =~ "^(18[0-9]|2[0-9][0-9])$") { use_media_proxy(); }
}
failure_route[ENDED] {
    end_media_session();
}
"""

MODES = {
    "engage": _ROUTES.format(
        initial='if (method == "INVITE") { engage_media_proxy(); }', in_dialog="", on_cancel=""
    ),
    "use": _ROUTES.format(
        initial="""if (method == "INVITE") {
        use_media_proxy();
        t_on_reply("ANSWERS");
        t_on_failure("ENDED");
    }""",
        in_dialog="""if (method == "BYE") { end_media_session(); }
        if (method == "INVITE") {
            use_media_proxy();
            t_on_reply("ANSWERS");
        }
        if (method == "ACK") { use_media_proxy(); }""",
        on_cancel="end_media_session();",
    )
    + _USE_REPLIES,
}


def _in_front():
    """Real-time scheduling, where it is allowed.

    On a busy machine (seen: Linux 6.18, three spinning processes on two CPUs) Kamailio's processes
    else wait for a CPU for seconds now and then, and calls time out that are none of our doing.
    """
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def management_socket(folder, mode):
    """Where the Kamailio of that mode is told to end dialogs."""
    return folder / f"kamailio-{mode}" / "rpc.sock"


class Kamailio:
    def __init__(self, mode, port, control_socket, folder, place="proxy"):
        self.mode, self.port = mode, port
        self._folder = folder / f"kamailio-{mode}"
        self._folder.mkdir()
        self._place = place
        config = self._folder / "kamailio.cfg"
        config.write_text(
            "#!KAMAILIO\n"
            + _COMMON.format(
                ipv4=netns.PROXY[4],
                ipv6=netns.PROXY[6],
                port=port,
                socket=control_socket,
                management=management_socket(folder, mode),
                modules=MODULES,
            )
            + MODES[mode]
        )
        self.log = self._folder / "log"
        self._process = None

    def start(self):
        command = [
            "kamailio",
            "-f",
            str(self._folder / "kamailio.cfg"),
            "-DD",
            "-E",
            "-m",
            "64",
            "-M",
            "8",
            "-Y",
            str(self._folder),
            "-w",
            str(self._folder),
        ]
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                netns.command_in(self._place, command),
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_in_front,
            )
        deadline = time.monotonic() + 10
        port = f":{self.port:04X} "
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AssertionError(f"Kamailio ({self.mode}) does not start:\n{self._tail()}")
            table = pathlib.Path(f"/proc/{self._process.pid}/net/udp6").read_text(encoding="ascii")
            if port in table:
                return
            time.sleep(0.02)
        raise AssertionError(f"Kamailio ({self.mode}) does not listen:\n{self._tail()}")

    def complaints(self):
        """What it logged about its mediaproxy module, worst first."""
        return [
            line
            for line in self.log.read_text(errors="replace").splitlines()
            if re.search(r"(ERROR|CRITICAL|WARNING).*mediaproxy", line)
        ]

    def stop(self):
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tail(self):
        return self.log.read_text(errors="replace")[-2000:]
