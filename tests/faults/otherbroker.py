"""The RabbitMQ of another Debian release, run from a folder that `broker-root.sh` has made.

It is a process of this machine like Debian 12's own, with the same ports and folder, so that all
strikes reach it; only its programs and libraries come from below the other root.
"""

import subprocess
from contextlib import ExitStack
from pathlib import Path

from deploy.local.broker import Broker

MOUNTS = ("/proc", "/dev")


class OtherBroker(Broker):
    """One node; needs the rights to mount and to change the root."""

    def __init__(self, folder: Path, root: Path, stack: ExitStack) -> None:
        """`stack` unmounts in the end what is mounted below `root`."""
        self.root = root
        folder.mkdir(parents=True, exist_ok=True)
        for place in (*MOUNTS, str(folder)):
            inside = root / place.lstrip("/")
            inside.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "--rbind", place, str(inside)], check=True)
            stack.callback(subprocess.run, ["umount", "--lazy", str(inside)], check=True)
        hosts = root / "etc" / "hosts"  # a node is called after the machine, `localhost`
        if not hosts.exists():
            hosts.write_text("127.0.0.1 localhost\n", encoding="ascii")
        super().__init__(folder)
        self.version = self._say("dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server")
        """Of its package."""
        self.release = self._say("sh", "-c", ". /etc/os-release; printf %s $VERSION_CODENAME")
        """Debian's name for it."""

    def _command(self) -> list[str]:
        return ["chroot", str(self.root), *super()._command()]

    def _say(self, *command: str) -> str:
        inside = ["chroot", str(self.root), *command]
        return subprocess.run(inside, capture_output=True, text=True, check=True).stdout
