"""What a disk may hold after the power went: rebuilt from a trace of the system calls that wrote to it.

The rules are those that POSIX leaves, harsher than most file systems are: what a completed fsync covers is
there; of everything later any part may be there or not, in pieces of a sector; names appear in order, and
surely only after an fsync of their directory.
"""

import os
import re
from dataclasses import dataclass, field

SECTOR = 512
CALLS = (
    "openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,fallocate,fsync,fdatasync,sync_file_range,"
    "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,link,linkat,copy_file_range,sendfile"
)
_HEAD = re.compile(r"^(\d+) +(\d+\.\d+) (.*)$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+)(?:<[^>]*>)?[^<]*(?:<([\d.]+)>)?$")
_STRING = r'"((?:\\x[0-9a-f]{2})*)"'


class Unknown(Exception):
    """The trace holds a call on the data directory that this model does not know: it must be taught first."""


@dataclass(frozen=True)
class Call:
    """One completed system call: `begin` and `end` in seconds of the wall clock."""

    begin: float
    end: float
    name: str
    arguments: str
    result: int


def read_trace(path):
    """Yields the calls of a file written by `strace -f -ttt -T -y -xx -s …`, in the order in which they
    ended.
    """
    open_calls = {}
    with open(path, encoding="latin-1") as lines:
        for line in lines:
            head = _HEAD.match(line.rstrip("\n"))
            if head is None:
                continue
            pid, time, text = head[1], float(head[2]), head[3]
            if text.endswith("<unfinished ...>"):
                open_calls[pid] = (time, text[: -len("<unfinished ...>")].rstrip())
                continue
            resumed = _RESUMED.match(text)
            if resumed is not None:
                begin, start = open_calls.pop(pid, (time, ""))
                text = start + resumed[2]
            else:
                begin = time
            call = _CALL.match(text)
            if call is None or int(call[3]) < 0:
                continue
            end = begin + float(call[4] or 0)
            yield Call(begin, end, call[1], call[2], int(call[3]))


def _bytes(hexadecimal):
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


@dataclass
class Node:
    """One file, whatever its names."""

    durable: bytearray = field(default_factory=bytearray)
    # (begin, end, kind, offset, data): writes and truncations that no fsync covers.
    pending: list = field(default_factory=list)
    position: int = 0


def _apply(content, change, keep=None):
    """Carries out a change; `keep` says which sectors of it arrive."""
    kind, offset, data = change
    if kind == "truncate":
        if len(content) > offset:
            del content[offset:]
        else:
            content.extend(bytes(offset - len(content)))
        return
    place = 0
    while place < len(data):
        at = offset + place
        size = min(SECTOR - at % SECTOR, len(data) - place)
        if keep is None or keep():
            if len(content) < at + size:
                content.extend(bytes(at + size - len(content)))
            content[at : at + size] = data[place : place + size]
        place += size


class Disk:
    """The data directory as it was, and everything that a trace did to it. Feed calls in the order of their
    ends.
    """

    def __init__(self, root):
        self.root = os.path.realpath(root)
        # Durable names, and changes of names that no fsync of the directory covers: (begin, directory, path,
        # node or None).
        self.names = {}
        self.folders = {self.root}
        self.pending_names = []
        self.current = {}
        for folder, folders, files in os.walk(self.root):
            self.folders.update(os.path.join(folder, name) for name in folders)
            for name in files:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    self.names[path] = self.current[path] = Node(bytearray(file.read()))

    def _inside(self, path):
        return path.startswith(self.root + "/") or path == self.root

    def feed(self, call):
        """Takes one more call. Returns whether it made something durable."""
        if call.name in ("fsync", "fdatasync"):
            path = re.match(r"\d+<([^>]*)>", call.arguments)
            return path is not None and self._sync(decoded(path[1]), call)
        target = re.match(r"\d+<([^>]*)>", call.arguments)
        if call.name in ("write", "pwrite64", "ftruncate"):
            if target is None or not self._inside(decoded(target[1])):
                return False
            self._write(decoded(target[1]), call)
        elif call.name in ("openat", "creat"):
            self._open(call)
        elif call.name in ("rename", "renameat", "renameat2", "link", "linkat"):
            names = [decoded(name) for name in re.findall(_STRING, call.arguments)]
            if any(self._inside(name) for name in names):
                self._rename(names, call)
        elif call.name in ("unlink", "unlinkat"):
            for name in map(decoded, re.findall(_STRING, call.arguments)):
                if self._inside(name):
                    self.current.pop(name, None)
                    self._name(name, None, call)
        elif call.name in ("mkdir", "mkdirat"):
            self.folders.update(map(decoded, re.findall(_STRING, call.arguments)))
        elif self._inside(decoded(target[1])) if target else False:
            raise Unknown(f"{call.name} on {decoded(target[1])}")
        return False

    def _name(self, path, node, call):
        self.pending_names.append((call.begin, os.path.dirname(path), path, node))

    def _open(self, call):
        name = re.search(_STRING, call.arguments)
        path = decoded(name[1]) if name else ""
        if not self._inside(path) or "O_DIRECTORY" in call.arguments:
            return
        node = self.current.get(path)
        if node is None and ("O_CREAT" in call.arguments or call.name == "creat"):
            node = self.current[path] = Node()
            self._name(path, node, call)
        if node is not None:
            node.position = 0
            if "O_TRUNC" in call.arguments:
                node.pending.append((call.begin, call.end, ("truncate", 0, b"")))

    def _write(self, path, call):
        node = self.current.get(path)
        if node is None:
            return  # Deleted while it was open: nobody will see it.
        if call.name == "ftruncate":
            length = int(call.arguments.rsplit(",", 1)[1])
            node.pending.append((call.begin, call.end, ("truncate", length, b"")))
            return
        text = re.search(_STRING, call.arguments)
        data = _bytes(text[1])[: call.result]
        if call.name == "pwrite64":
            offset = int(call.arguments.rsplit(",", 1)[1])
        else:
            offset, node.position = node.position, node.position + len(data)
        node.pending.append((call.begin, call.end, ("write", offset, data)))

    def _rename(self, names, call):
        old, new = names
        node = self.current.get(old)
        if call.name.startswith("rename"):
            self.current.pop(old, None)
        if node is not None:
            self.current[new] = node
            self._name(new, node, call)
            if call.name.startswith("rename"):
                self._name(old, None, call)

    def _sync(self, path, call):
        if not self._inside(path):
            return False
        if path in self.folders:
            covered = [entry for entry in self.pending_names if entry[1] == path and entry[0] < call.begin]
            for _, _, name, node in covered:
                _set(self.names, name, node)
            self.pending_names = [entry for entry in self.pending_names if entry not in covered]
            return True
        node = self.current.get(path)
        if node is not None:
            rest = []
            for change in node.pending:
                if change[1] <= call.begin:
                    _apply(node.durable, change[2])
                else:
                    rest.append(change)
            node.pending = rest
        return True

    def cut(self, folder, random, share):
        """Writes to `folder` what may be left if the power goes now. `share` of what is not durable arrives:
        0 none, 1 all.
        """
        names = dict(self.names)
        count = len(self.pending_names)
        kept = count if share == 1 else 0 if share == 0 else random.randint(0, count)
        for _, _, path, node in self.pending_names[:kept]:
            _set(names, path, node)
        for path, node in names.items():
            content = bytearray(node.durable)
            for _, _, change in node.pending:
                if change[0] == "truncate":
                    if random.random() < share:
                        _apply(content, change)
                else:
                    whole = random.random() < 0.5
                    if whole and random.random() < share:
                        _apply(content, change)
                    elif not whole:
                        _apply(content, change, keep=lambda: random.random() < share)
            target = folder + path[len(self.root) :]
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(content)
            os.chmod(target, 0o600)
        for path in self.folders:
            os.makedirs(folder + path[len(self.root) :], mode=0o700, exist_ok=True)


def _set(names, path, node):
    if node is None:
        names.pop(path, None)
    else:
        names[path] = node


def decoded(text):
    """A path as strace prints it, in hex or as it is."""
    return _bytes(text).decode() if text.startswith("\\x") else text
