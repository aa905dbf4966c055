"""The verdict on each kind of file that somebody may give to a training, and what is made of it."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from core.errors import InvalidInput
from core.trainings.images import Verdict, inspect, prepare, thumbnail
from core.trainings.likeness import NEARLY_THE_SAME, distance, doubles
from tests.unit.photographs import (
    animated,
    bomb,
    encoded,
    grey_16,
    jpeg,
    photograph,
    put,
    rgb_16,
    rotated,
)

PHOTO = jpeg()


def test_an_image_that_fits_says_so(tmp_path: Path) -> None:
    found = inspect(put(tmp_path, PHOTO))
    assert (found.format, found.width, found.height, found.bytes) == ("jpg", 640, 640, len(PHOTO))
    assert (found.verdict, found.reasons, found.converts) == (Verdict.FITS, (), False)
    assert len(found.sha256) == 64
    assert len(found.phash) == 16


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_each_format_fits_whatever_its_name_says(tmp_path: Path, format_name: str) -> None:
    found = inspect(put(tmp_path, encoded(photograph(), format_name), "photo.bmp"))
    assert found.verdict is Verdict.FITS
    assert found.format == {"JPEG": "jpg"}.get(format_name, format_name.lower())


def archive_of_zeros() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("a.jpg", bytes(20_000_000))
    return out.getvalue()


PNG = encoded(photograph(), "PNG")
REFUSED = [
    ("a text named .jpg", b"these are my holidays\n" * 50, "a text or a web page, not an image.* Add the im"),
    ("a web page", b"<!doctype html><html>404</html>" * 20, "a text or a web page"),
    ("a zip bomb", archive_of_zeros(), "a ZIP archive. Unpack it"),
    ("nothing", b"", "empty. Choose it again"),
    ("bytes", bytes(range(256)) * 9, "not an image, or of a kind"),
    ("a HEIC photograph", b"\x00\x00\x00\x18ftypheic" + bytes(500), "HEIC photograph.*Save it as JPEG"),
    ("a GIF", encoded(photograph(), "GIF"), "This is a GIF, which no trainer takes. Save it as JPEG"),
    ("a video", b"\x00\x00\x00\x18ftypmp42" + bytes(500), "This is a video"),
    ("a bomb", bomb(), r"20,000 × 20,000 pixels, more than the 80 megapixels.*Save it with at most 2048"),
    ("a truncated JPEG", PHOTO[: len(PHOTO) // 2], "damaged or cut off. Export or download it again"),
    ("a JPEG without its end", PHOTO[:-2], "damaged or cut off"),
    ("a truncated PNG", PNG[:-3000], "damaged or cut off"),
    ("a PNG with a broken inside", PNG[:3000] + bytes(2000) + PNG[5000:], "damaged or cut off"),
    ("a truncated WebP", encoded(photograph(), "WEBP")[:-900], "damaged or cut off"),
    ("an animated WebP", animated(), "an animation.*Save one frame as a still"),
    ("an animated PNG", animated("PNG"), "an animation"),
    ("a tiny one", jpeg(1, 250, 640), r"At 250 × 640 pixels it is too small: it needs 256.* larger one"),
    ("a ribbon", jpeg(1, 4200, 400), r"4,200 × 400 pixels \(its shorter side becomes 195\) it is too small"),
]


@pytest.mark.parametrize(("content", "says"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_what_cannot_be_used_is_refused_with_what_to_do(tmp_path: Path, content: bytes, says: str) -> None:
    found = inspect(put(tmp_path, content))
    assert found.verdict is Verdict.REFUSED
    (reason,) = found.reasons
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(reason)
    assert reason.endswith(".")


def test_a_bomb_is_never_decoded(tmp_path: Path) -> None:
    path = put(tmp_path, bomb())
    tracemalloc.start()
    inspect(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_file_that_is_too_large_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.write(PHOTO)
        file.truncate(60 * 1024 * 1024)
    found = inspect(path)
    assert found.verdict is Verdict.REFUSED
    assert found.reasons == ("It has 62.9 MB; an image may have 52.4 MB. Save it smaller.",)


def test_a_small_one_is_used_with_a_doubt(tmp_path: Path) -> None:
    found = inspect(put(tmp_path, jpeg(1, 400, 700)))
    assert (found.verdict, found.converts) == (Verdict.WARNED, False)
    assert "400 × 700 pixels it is small: with 512" in found.reasons[0]


# Made to fit.


def cmyk() -> bytes:
    return encoded(Image.new("CMYK", (640, 640), (255, 0, 0, 0)), quality=95)


def see_through(format_name: str = "PNG") -> bytes:
    image = photograph().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 640, 320))
    return encoded(image, format_name, **({"lossless": True} if format_name == "WEBP" else {}))


def palette(**options: int) -> bytes:
    return encoded(photograph().quantize(200), "PNG", **options)


CONVERTED = [
    ("a CMYK JPEG", cmyk(), "plain RGB"),
    ("a grey JPEG", encoded(photograph().convert("L")), "plain RGB"),
    ("16 bits of grey", grey_16(), "plain RGB"),
    ("16 bits a colour", rgb_16(), "plain RGB"),
    ("a see-through PNG", see_through(), "transparent becomes white"),
    ("a see-through WebP", see_through("WEBP"), "transparent becomes white"),
    ("a palette", palette(), "plain RGB"),
    ("a palette with a see-through colour", palette(transparency=0), "transparent becomes white"),
    ("a phone's rotated photograph", rotated(6, photograph(1, 900, 600)), "turned upright"),
    ("a large one", jpeg(1, 3000, 2000), "longest side of 3,000 pixels becomes 2,048"),
    ("a large PNG", encoded(photograph(1, 2100, 1200), "PNG"), "2,100 pixels becomes 2,048"),
]


@pytest.mark.parametrize(("content", "says"), [pytest.param(*rest, id=name) for name, *rest in CONVERTED])
def test_what_does_not_fit_becomes_a_plain_jpeg(tmp_path: Path, content: bytes, says: str) -> None:
    source, target = put(tmp_path, content), tmp_path / "made.jpg"
    found = inspect(source)
    assert (found.verdict, found.converts) == (Verdict.CONVERTED, True)
    assert says in " ".join(found.reasons)
    prepare(source, target)
    made = inspect(target)
    assert (made.format, made.verdict) == ("jpg", Verdict.FITS)
    with Image.open(target) as image:
        assert (image.mode, image.getexif().get(0x0112)) == ("RGB", None)
        assert max(image.size) <= 2048
        portrait = found.height > found.width
        assert (image.height > image.width) is portrait


def pixel(path: Path, x: int, y: int) -> tuple[int, ...]:
    with Image.open(path) as image:
        found = image.getpixel((x, y))
        assert isinstance(found, tuple)
        return found


def test_colours_and_transparency_come_out_as_they_are_seen(tmp_path: Path) -> None:
    for content, x, y, expected in (
        (cmyk(), 300, 300, (0, 255, 255)),
        (see_through(), 300, 100, (255, 255, 255)),
        (see_through("WEBP"), 300, 100, (255, 255, 255)),
        (grey_16(), 320, 100, (128, 128, 128)),
        (grey_16(), 639, 100, (255, 255, 255)),
    ):
        prepare(put(tmp_path, content), tmp_path / "made.jpg")
        seen = pixel(tmp_path / "made.jpg", x, y)
        assert all(abs(one - other) <= 6 for one, other in zip(seen, expected, strict=True)), (seen, expected)


def test_a_colour_profile_is_turned_into_srgb(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile at all"):
        content = encoded(photograph(1, 2400, 1600, grain=0), quality=90, icc_profile=profile)
        prepare(put(tmp_path, content), tmp_path / "made.jpg")
        with Image.open(tmp_path / "made.jpg") as image:
            assert (image.size, image.info.get("icc_profile")) == ((2048, 1365), None)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    upright = Image.new("RGB", (640, 900), "white")
    upright.paste((255, 0, 0), (0, 0, 320, 450))  # red above on the left
    stored = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    held = upright if stored is None else upright.transpose(Image.Transpose(stored))
    source, target = put(tmp_path, rotated(orientation, held)), tmp_path / "made.jpg"
    found = inspect(source)
    assert (found.width, found.height, found.converts) == (640, 900, orientation != 1)
    prepare(source, target)
    assert [pixel(target, *at)[1] < 60 for at in ((50, 50), (600, 50), (50, 800))] == [True, False, False]
    small = put(tmp_path, thumbnail(source), "small.jpg")
    assert pixel(small, 10, 10)[1] < 60
    with Image.open(small) as image:
        assert max(image.size) == 256


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_notes_of_a_camera_do_no_harm(tmp_path: Path) -> None:
    exif = b"Exif\x00\x00II*\x00\xff\xff\xff\x7f" + bytes(40)
    assert inspect(put(tmp_path, encoded(photograph(), exif=exif))).verdict is Verdict.FITS
    assert inspect(put(tmp_path, rotated(77, photograph()))).verdict is Verdict.FITS


def test_what_cannot_be_decoded_is_neither_shown_nor_converted(tmp_path: Path) -> None:
    path = put(tmp_path, PHOTO[: len(PHOTO) // 2])
    with pytest.raises(InvalidInput, match="damaged or cut off"):
        thumbnail(path)
    with pytest.raises(InvalidInput, match="damaged or cut off"):
        prepare(path, tmp_path / "made.jpg")


@settings(max_examples=40, deadline=None)
@given(at=st.integers(2, len(PNG) - 1), length=st.integers(1, 400), byte=st.integers(0, 255))
def test_no_damage_of_a_file_is_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, at: int, length: int, byte: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for whole in (PHOTO, PNG):
        damaged = whole[:at] + bytes([byte]) * length + whole[at + length :]
        found = inspect(put(folder, damaged, "damaged"))
        assert found.verdict is Verdict.REFUSED or found.width


# Likeness.


def test_the_same_photograph_is_known_again_and_another_is_not(tmp_path: Path) -> None:
    original = photograph(5, 1200, 900)
    variants = {
        "smaller": encoded(original.resize((800, 600)), quality=90),
        "of less quality": encoded(original, quality=30),
        "as WebP": encoded(original, "WEBP"),
        "rotated": rotated(6, original.transpose(Image.Transpose.ROTATE_90)),
    }
    first = inspect(put(tmp_path, encoded(original, quality=95))).phash
    for name, content in variants.items():
        assert distance(first, inspect(put(tmp_path, content)).phash) <= NEARLY_THE_SAME, name
    for seed in range(20, 40):
        assert distance(first, inspect(put(tmp_path, jpeg(seed))).phash) > NEARLY_THE_SAME + 4


def test_a_double_names_the_first_of_its_kind() -> None:
    one, near, far = "00000000000000ff", "00000000000000fe", "ffffffff00000000"
    assert doubles({4: near, 2: one, 7: far, 9: one}) == {4: 2, 9: 2}
    assert doubles({}) == {}


# A file that is cut within and ends properly all the same.

LARGE = jpeg(4, 900, 700)
LACKING = [
    ("its end", LARGE[: len(LARGE) * 6 // 10] + b"\xff\xd9"),
    ("its last part", LARGE[: len(LARGE) * 97 // 100] + b"\xff\xd9"),
    ("its middle", LARGE[: len(LARGE) // 3] + LARGE[len(LARGE) // 2 :]),
]


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in LACKING])
def test_what_lacks_a_part_and_ends_properly_is_doubtful(tmp_path: Path, content: bytes) -> None:
    found = inspect(put(tmp_path, content))
    assert found.verdict is Verdict.WARNED
    assert found.reasons[0].startswith("It ends in plain grey, as a file does of which a part is missing.")


@pytest.mark.parametrize(
    "options", [{"subsampling": 0}, {"restart_marker_rows": 1}, {"optimize": True}], ids=str
)
def test_however_it_was_written(tmp_path: Path, options: dict[str, int]) -> None:
    whole = jpeg(4, 900, 700, **options)
    assert inspect(put(tmp_path, whole)).verdict is Verdict.FITS
    assert inspect(put(tmp_path, whole[: len(whole) // 2] + b"\xff\xd9")).verdict is Verdict.WARNED


def test_grey_of_its_own_is_no_damage(tmp_path: Path) -> None:
    grey = Image.new("RGB", (640, 640), (128, 128, 128))
    assert inspect(put(tmp_path, encoded(grey))).verdict is Verdict.FITS
    grey.paste(photograph(2, 640, 500))
    assert inspect(put(tmp_path, encoded(grey, "PNG"))).verdict is Verdict.FITS
