"""Tables of roles as spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_dojo.errors import DojoError
from napari_dojo.io.roles import read_roles

IMAGES = ["a0.tif", "a1.tif", "a2.5.tif", "a3.ome.tif"]
WANTED = {"a0.tif": "test", "a1.tif": "training", "a2.5.tif": "training", "a3.ome.tif": "validation"}
PLAIN = "a0.tif,test\na1.tif,training\na2.5.tif,training\na3.ome.tif,validation\n"
TABLES = {
    "plain": PLAIN.encode(),
    "byte-order mark": PLAIN.encode("utf-8-sig"),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16 without a mark": PLAIN.encode("utf-16-le"),
    "big-endian": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "Windows lines": PLAIN.replace("\n", "\r\n").encode(),
    "old Mac lines": PLAIN.replace("\n", "\r").encode(),
    "semicolons": PLAIN.replace(",", ";").encode(),
    "tabs": PLAIN.replace(",", "\t").encode("utf-16"),
    "Excel's first line": b"sep=;\r\n" + PLAIN.replace(",", ";").encode(),
    "header": b"file,role\n" + PLAIN.encode(),
    "header in capitals": b"File name,Split\n" + PLAIN.encode(),
    "other order": b"role;n;file\n" + "".join(f"{r};{i};{f}\n" for i, (f, r) in enumerate(WANTED.items())).encode(),
    "quotes": "".join(f'"{f}","{r}"\n' for f, r in WANTED.items()).encode(),
    "blanks": "".join(f" {f} , {r.upper()} ,,\n\n" for f, r in WANTED.items()).encode() + b",,\n",
    "no ending": b"a0,test\na1,train\na2.5,Training\na3,val\n",
    "another ending": b"a0.png,test\na1.TIFF,train\na2.5.tif,Training\na3.tif,val\n",
    "folders": b"C:\\data\\a0.tif,test\nx/a1.tif,training\nA2.5.TIF,training\n/d/a3.ome.tif,validation\n",
}


@pytest.mark.parametrize("table", TABLES)
def test_tables_of_spreadsheets_say_the_same(table: str, tmp_path: Path) -> None:
    path = tmp_path / "roles.csv"
    path.write_bytes(TABLES[table])
    assert read_roles(path, IMAGES) == WANTED


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (b"", "is empty"),
        (b",,\n;;\n", "is empty"),
        (b"PK\3\4...", "workbook"),
        (b"a0.tif test\na1.tif training\n", "not understood; its first line is 'a0.tif test'"),
        (b"a0.tif,1,test\na1.tif,2,training\n", "not understood"),
        (b"a0.tif,test\na1.tif\n", "not understood"),
        (b"Datei;Rolle\na0.tif;test\n", "gives Datei the role 'Rolle'; a role is one of automatic, training"),
        (b"a0.tif;Pr\xfcfung\n", "gives a0.tif the role 'Pr\u00fcfung'"),
        (b"a0.tif,test\nb7.tif,training\n", r"names b7\.tif, but there is no image of this name; most alike is"),
        (b"a1.tif,test\na11.tif,training\n", r"most alike is a1\.tif"),
        (b"a0.tif,test\na0,training\n", "gives a0.tif two roles: test and training"),
    ],
)
def test_a_table_that_is_not_understood_is_refused(table: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "roles.csv"
    path.write_bytes(table)
    with pytest.raises(DojoError, match=says):
        read_roles(path, IMAGES)


def test_names_that_repeat_need_their_folder(tmp_path: Path) -> None:
    path = tmp_path / "roles.csv"
    path.write_text("A1/img.tif,test\nA2\\img,training\n")
    assert read_roles(path, ["A1/img.tif", "A2/img.tif"]) == {"A1/img.tif": "test", "A2/img.tif": "training"}
    path.write_text("img.tif,test\n")
    with pytest.raises(DojoError, match=r"which 2 images are called: A1/img\.tif, A2/img\.tif"):
        read_roles(path, ["A1/img.tif", "A2/img.tif"])
    with pytest.raises(DojoError, match="cannot be read"):
        read_roles(tmp_path / "none.csv", ["a.tif"])
