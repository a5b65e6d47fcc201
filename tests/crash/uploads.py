"""kill -9 while an image of firmware is uploaded, at each of its steps (`image-…`), and a disk that is full in
the middle of an upload.

The command ends with the server and says what to do. After the next start the same command goes on where it
was, or begins anew; then the image has the bytes of the file, and nothing else is in the folder of images.
"""

import os
import random
import shutil

from crash import disk
from crash.failpoints import die_there
from crash.server import Server, copy_of
from lib.program import Failed

PRODUCT = "uploading"
# Three pieces.
BYTES, PIECE = 2_500_000, 1 << 20
# Each step, and how much of the file is there then; None: all of it, as a file without an image.
STEPS = {
    "image-piece:1": PIECE,
    "image-piece:2": 2 * PIECE,
    "image-piece:3": BYTES,
    "image-whole:1": BYTES,
    "image-in-place:1": None,
}


def run(report, programs, folder):
    """Each step."""
    template = Server(programs, folder)
    template.json("product", "create", "meters", "--product-key", PRODUCT)
    image = _image(folder)
    for point, there in STEPS.items():
        place = folder / point.replace(":", "-")
        place.mkdir()
        try:
            faults = _round(programs, place, template.data, image, point, there)
        except Failed as error:
            faults = [str(error)]
        report.result(f"killed at {point}", faults)
        if not faults:
            shutil.rmtree(place)


def full_disk(report, programs, folder):
    """A piece finds no room: nothing of what came is lost, and the upload goes on when there is room."""
    mount, image = folder / "small", _image(folder)
    filler = mount / "filler"

    def work(server, _):
        server.json("product", "create", "meters", "--product-key", PRODUCT)
        server.spawn(settings={"NARROWGATE_KILL_AT": "image-piece:1"}).wait_ready()
        _upload(server, image)
        die_there(server)
        server.start()
        disk.fill(filler)
        code, _, noise = _upload(server, image)
        # What cannot be noted is not done.
        is_refused = code == 1 and "cannot write the audit log" in noise
        faults = [] if is_refused else [f"it ended with {code}: {noise}"]
        # Room for notes, and for no piece.
        os.truncate(filler, filler.stat().st_size - PIECE // 2)
        code, _, noise = _upload(server, image)
        wanted = ["cannot upload the firmware", str(server.data / "firmware"), "bytes are free", "goes on"]
        faults += [f"it does not say {part}: {noise}" for part in wanted if part not in noise]
        if code != 1:
            faults.append(f"the command ended with {code}")
        if _parts(server) != [PIECE]:
            faults.append(f"there were {PIECE} bytes of it, and now there are {_parts(server)}")
        filler.unlink()
        faults += _finish(server, image)
        report.result("a full disk in the middle of an upload", faults)
        server.stop()

    disk.on_small_disk(report, "a full disk in the middle of an upload", programs, mount, work)


def _image(folder):
    image = folder / "image.bin"
    image.write_bytes(random.Random(7).randbytes(BYTES))
    return image


def _upload(server, image):
    return server.run("firmware", "upload", str(image), "--product", PRODUCT, "--version", "2.1")


def _round(programs, place, template, image, point, there):
    server = Server(programs, place)
    copy_of(template, server.data)
    server.spawn(settings={"NARROWGATE_KILL_AT": point}).wait_ready()
    try:
        code, _, noise = _upload(server, image)
        die_there(server)
        faults = [] if code == 1 else [f"the command ended with {code}: {noise}"]
        if "upload the same file again" not in noise:
            faults.append(f"the command does not say how to go on: {noise}")
        if _parts(server) != ([] if there is None else [there]):
            faults.append(f"at {point} there are {_parts(server)} bytes, not {there}")
        server.start()
        if (images := server.json("firmware", "list")) != []:
            faults.append(f"the upload was not finished, and there is {images}")
        faults += _finish(server, image)
        if (code := server.stop()) != 0:
            faults.append(f"it ended with {code}: {server.tail()}")
        return faults
    finally:
        server.kill()


def _finish(server, image):
    """Gives the command again; faults of what comes of it."""
    uploaded = server.json("firmware", "upload", str(image), "--product", PRODUCT, "--version", "2.1")
    names = [path.name for path in (server.data / "firmware").iterdir()]
    if names != [uploaded["imageId"]]:
        return [f"there are {names}, and the image is {uploaded}"]
    if (server.data / "firmware" / names[0]).read_bytes() != image.read_bytes():
        return ["the image has other bytes than the file"]
    listed = server.json("firmware", "list")
    return [] if [row["imageId"] for row in listed] == names else [f"the images are {listed}"]


def _parts(server):
    """The bytes of each upload that is not complete."""
    return [path.stat().st_size for path in (server.data / "firmware").glob("*.part")]
