"""Three machines on one: what `ray up` needs to be tried for real, without a cloud or a container.

Each host is a set of Linux namespaces (network, mounts, processes, host name, IPC) with an address
of its own on a private bridge, its own home, /tmp, /run and /dev/shm, and its own sshd. The rest of
the file system is shared, as over NFS. Killing the first process of a host ends everything in it:
that is the power switch. Needs root, iproute2, util-linux, openssh-server, rsync.

    python tests/cluster/hosts.py up | down | start HOST | off HOST | ssh HOST COMMAND
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NET, BRIDGE = "10.78.31", "drnasbr0"
ADDRESSES = {"head": f"{NET}.10", "w1": f"{NET}.11", "w2": f"{NET}.12"}
TOOLS = ("ip", "unshare", "sshd", "rsync", "ssh", "ssh-keygen")
HIDDEN = (Path("/root"), Path("/tmp"), Path("/run"))  # every host has its own

SSHD = """Port 22
ListenAddress {address}
HostKey {home}/.ssh/host_key
PidFile none
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
AuthorizedKeysFile {home}/.ssh/authorized_keys
Subsystem sftp internal-sftp
UseDNS no
MaxStartups 100
"""


def missing() -> str | None:
    """Why hosts can't be made here; None if they can."""
    if os.geteuid() != 0:
        return "needs root"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    gone = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
    if find_spec("aiohttp_cors") is None:
        return "needs ray[default]: pip install '.[cluster]'"
    return f"needs {', '.join(gone)} (iproute2, openssh-server, rsync)" if gone else None


def call(*words: object, check: bool = True) -> str:
    """Run to its end; standard output."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, timeout=120
    )
    if check and done.returncode:
        raise RuntimeError(f"{shlex.join(map(str, words))}: {done.stderr or done.stdout}")
    return done.stdout


def lies_below(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


@dataclass(frozen=True)
class Lab:
    """The hosts and where their private files lie: outside of what they hide from each other."""

    folder: Path

    @property
    def key(self) -> Path:
        """The launcher's private key."""
        return self.folder / "key"

    @property
    def shared(self) -> Path:
        """Seen by all hosts and the launcher at this very path."""
        return self.folder / "shared"

    def up(self) -> None:
        """Make the bridge and start all hosts."""
        self.shared.mkdir(parents=True, exist_ok=True)
        if not self.key.exists():
            call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        self._commands()
        # While a host is off, what is sent to it must not leave this machine.
        call("ip", "route", "replace", "blackhole", f"{NET}.0/24", "metric", 5000)
        if BRIDGE not in call("ip", "-o", "link", "show"):
            call("ip", "link", "add", BRIDGE, "type", "bridge")
            call("ip", "address", "add", f"{NET}.1/24", "dev", BRIDGE)
            call("ip", "link", "set", BRIDGE, "up")
        for host in ADDRESSES:
            self.start(host)

    def down(self) -> None:
        """End all hosts and take the network away."""
        for host in ADDRESSES:
            self.off(host)
            call("ip", "netns", "delete", f"drnas-{host}", check=False)
        call("ip", "link", "delete", BRIDGE, check=False)
        call("ip", "route", "delete", "blackhole", f"{NET}.0/24", "metric", 5000, check=False)

    def _commands(self) -> None:
        """`ray`, `drnas` and `python` of the environment that runs this, from any folder."""
        binary = self.folder / "bin"
        binary.mkdir(exist_ok=True)
        modules = {"python": "", "ray": "-m ray.scripts.scripts", "drnas": "-m drnas_ray.cli"}
        for name, module in modules.items():
            script = binary / name
            python = shlex.quote(sys.executable)
            script.write_text(
                f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {python} {module} "$@"\n'
            )
            script.chmod(0o755)

    def start(self, host: str) -> None:
        """Boot a host: its home stays from the last time, /tmp does not."""
        if self.pid(host) is not None:
            return
        own = self.folder / host
        shutil.rmtree(own / "tmp", ignore_errors=True)
        for name in ("root/.ssh", "tmp"):
            (own / name).mkdir(parents=True, exist_ok=True)
        (own / "tmp").chmod(0o1777)
        self._home(host, own / "root")
        self._plug_in(host)
        (own / "boot.sh").write_text(self._boot(host, own))
        # In a session of its own, so that the host outlives the command that started it.
        first = (
            f"echo $$ > {own}/pid; exec >>{own}/console 2>&1 </dev/null; exec ip netns exec "
            f"drnas-{host} unshare --mount --pid --uts --ipc --fork --mount-proc --kill-child=KILL "
            f"bash {own}/boot.sh"
        )
        call("setsid", "--fork", "bash", "-c", first)
        end = time.monotonic() + 20
        while self.ssh(host, "true").returncode:
            if time.monotonic() > end:
                raise RuntimeError(
                    f"{host} did not come up: {(own / 'console').read_text()[-800:]}"
                )
            time.sleep(0.2)

    def _home(self, host: str, home: Path) -> None:
        shutil.copy(f"{self.key}.pub", home / ".ssh/authorized_keys")
        (home / ".ssh").chmod(0o700)
        if not (home / ".ssh/host_key").exists():
            call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / ".ssh/host_key")
        (home / ".ssh/sshd_config").write_text(SSHD.format(address=ADDRESSES[host], home="/root"))
        path = f"export PATH={self.folder}/bin:$PATH RAY_USAGE_STATS_ENABLED=0\n"
        if not (home / ".bashrc").exists():
            (home / ".bashrc").write_text(path)
            (home / ".profile").write_text(path)

    def _plug_in(self, host: str) -> None:
        space, cable = f"drnas-{host}", f"drnas-{host}"
        if space in call("ip", "netns", "list"):
            return
        call("ip", "netns", "add", space)
        call("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        call("ip", "link", "set", cable, "master", BRIDGE, "up")
        call("ip", "-n", space, "address", "add", f"{ADDRESSES[host]}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            call("ip", "-n", space, "link", "set", device, "up")
        # Ray asks by which address the world would be reached. Nothing is forwarded there.
        call("ip", "-n", space, "route", "add", "default", "via", f"{NET}.1")

    def _boot(self, host: str, own: Path) -> str:
        """What the first process does: private folders, then sshd."""
        lines = ["set -e", "mount --make-rprivate /", f"hostname drnas-{host}"]
        for path in shared_paths():
            for hidden in HIDDEN:
                if lies_below(path, hidden):
                    inside = own / hidden.name / path.relative_to(hidden)
                    lines.append(f"mkdir -p {inside}; mount --bind {path} {inside}")
        lines += [f"mount --rbind {own}/{name} /{name}" for name in ("root", "tmp")]
        lines += [
            "mount -t tmpfs -o size=2g tmpfs /dev/shm",
            "mount -t tmpfs -o size=16m tmpfs /run; mkdir -p /run/sshd",
            f"exec {shutil.which('sshd', path='/usr/sbin:/sbin')} -D -e -f ~root/.ssh/sshd_config",
        ]
        return "\n".join(lines) + "\n"

    def pid(self, host: str) -> int | None:
        """The process whose end is the host's; None while it is off."""
        noted = self.folder / host / "pid"
        if not noted.exists():
            return None
        pid = int(noted.read_text())
        command = Path(f"/proc/{pid}/cmdline")
        try:
            ours = b"unshare" in command.read_bytes() or b"netns" in command.read_bytes()
        except OSError:
            return None
        return pid if ours else None

    def off(self, host: str) -> None:
        """Pull the plug."""
        pid = self.pid(host)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)  # --kill-child takes the host's first process along
            end = time.monotonic() + 10
            while self.pid(host) is not None and time.monotonic() < end:
                time.sleep(0.05)
        (self.folder / host / "pid").unlink(missing_ok=True)

    def ssh(
        self, host: str, command: str, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there, as a login shell would."""
        return subprocess.run(
            ["ssh", "-q", "-o", "BatchMode=yes", "-o", "ConnectTimeout=3",
             "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
             "-i", str(self.key), f"root@{ADDRESSES[host]}", f"bash -lc {shlex.quote(command)}"],
            capture_output=True, text=True, check=False, timeout=timeout_s,
        )  # fmt: skip


def shared_paths() -> list[Path]:
    """What every host must see where it is: the environment, the interpreter, the code."""
    wanted = {ROOT, Path(sys.prefix), Path(sys.base_prefix), *map(Path, sys.path)}
    folders = sorted(path.resolve() for path in wanted if path.is_dir())
    return [one for one in folders if not any(lies_below(one, o) for o in folders if o != one)]


def main() -> None:
    """The command line."""
    lab = Lab(Path(os.environ.get("DRNAS_HOSTS", "/var/lib/drnas-hosts-test")))
    verb, *rest = sys.argv[1:] or ["help"]
    if verb in ("up", "down"):
        getattr(lab, verb)()
    elif verb in ("start", "off") and len(rest) == 1:
        getattr(lab, verb)(rest[0])
    elif verb == "ssh" and len(rest) > 1:
        done = lab.ssh(rest[0], " ".join(rest[1:]))
        sys.stdout.write(done.stdout + done.stderr)
        raise SystemExit(done.returncode)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
